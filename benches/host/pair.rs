//! Floor and host in turns, and what is said of it.

use super::{Subject, load::Load};

const PAIRS: usize = 5;

/// What one run came to; CPU is µs a request.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    function_cpu: f64,
    peak_mb: f64,
}

/// Host over floor.
pub struct Ratio {
    pub throughput: f64,
    pub cpu: f64,
}

/// So many connections, and as many processes of the function as they keep busy.
#[derive(Clone, Copy)]
pub struct Case {
    pub connections: usize,
    pub processes: usize,
    pub requests: usize,
}

impl Case {
    /// Five pairs, who goes first changing; prints them and their medians.
    pub fn compare(self, function: &str) -> Ratio {
        let Self { connections, processes, requests } = self;
        let what = format!("{requests} requests, {connections} at a time, {processes} processes");
        println!(
            "{what:40} {:>9} {:>8} {:>8} {:>9} {:>9} {:>8}",
            "req/s", "p50 µs", "p99 µs", "CPU µs", "its fn's", "peak MB"
        );
        let mut pairs = Vec::with_capacity(PAIRS);
        for number in 1..=PAIRS {
            let order = if number % 2 == 1 {
                [Subject::Floor, Subject::Host]
            } else {
                [Subject::Host, Subject::Floor]
            };
            let mut pair = order.map(|subject| (subject, self.measure(subject, function)));
            pair.sort_by_key(|(subject, _)| *subject == Subject::Host);
            let [(_, floor), (_, host)] = pair;
            print(&format!("  {number} floor"), &floor);
            print(&format!("  {number} host"), &host);
            pairs.push((floor, host));
        }
        summary(&pairs)
    }

    fn measure(self, subject: Subject, function: &str) -> Figures {
        let running = subject.start(function, self.processes);
        let load = Load::warm(&running.address, self.connections, self.requests);
        assert_eq!(running.functions().len(), self.processes, "processes of the function");
        let (cpu, function_cpu) = (running.cpu(), running.functions_cpu());
        let seen = load.run();
        let done = self.requests as f64;
        Figures {
            per_second: done / seen.seconds,
            p50: seen.p50,
            p99: seen.p99,
            cpu: (running.cpu() - cpu).as_secs_f64() * 1e6 / done,
            function_cpu: (running.functions_cpu() - function_cpu).as_secs_f64() * 1e6 / done,
            peak_mb: running.peak_mb(),
        }
    }
}

fn summary(pairs: &[(Figures, Figures)]) -> Ratio {
    let of = |figure: &dyn Fn(&(Figures, Figures)) -> f64| median(pairs.iter().map(figure).collect());
    let median_of = |side: fn(&(Figures, Figures)) -> Figures| Figures {
        per_second: of(&|pair| side(pair).per_second),
        p50: of(&|pair| side(pair).p50),
        p99: of(&|pair| side(pair).p99),
        cpu: of(&|pair| side(pair).cpu),
        function_cpu: of(&|pair| side(pair).function_cpu),
        peak_mb: of(&|pair| side(pair).peak_mb),
    };
    print("  floor, median", &median_of(|pair| pair.0));
    print("  host, median", &median_of(|pair| pair.1));
    let ratio = Ratio {
        throughput: of(&|(floor, host)| host.per_second / floor.per_second),
        cpu: of(&|(floor, host)| host.cpu / floor.cpu),
    };
    println!(
        "{:40} {:>9.2} {:>17} {:>9.2}\n",
        "  host / floor, median of pairs", ratio.throughput, "", ratio.cpu
    );
    ratio
}

fn print(who: &str, figures: &Figures) {
    let Figures { per_second, p50, p99, cpu, function_cpu, peak_mb } = figures;
    println!(
        "{who:40} {per_second:>9.0} {p50:>8.0} {p99:>8.0} {cpu:>9.1} {function_cpu:>9.1} {peak_mb:>8.1}"
    );
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
