use std::io::Write;

use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::{
    Logs, Metrics, Settings, Source,
    flight::{Place, Saturated},
    launch::Launch,
    logs::{Writer, read},
    observer::Facts,
    variables::Variables,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn exchange(pool: &Arc<Pool>, max_concurrency: Option<usize>) -> Arc<Exchange> {
    logged(pool, max_concurrency, Writer::quiet())
}

fn logged(pool: &Arc<Pool>, max_concurrency: Option<usize>, writer: Writer) -> Arc<Exchange> {
    let settings = Settings { max_concurrency, ..Settings::default() };
    let launch = Launch::default();
    let variables = Variables::new(&settings, &launch, std::iter::empty());
    let facts = Arc::new(Facts::new(&settings, &launch, &variables));
    let observer = Arc::new(Observer::new(facts, "on-demand", "stream".to_owned(), writer, Vec::new()));
    let exchange = Exchange::new(Arc::clone(pool), observer, SECOND, max_concurrency, None);
    let exchange = Arc::new(exchange);
    exchange.release();
    exchange
}

pub(crate) fn flight(id: &str) -> (Flight, oneshot::Receiver<Result<Done, Saturated>>) {
    let invocation = Invocation {
        id: id.into(),
        payload: Bytes::from_static(b"{}"),
        arn: HeaderValue::from_static("arn"),
        trace: HeaderValue::from_static("Root=1"),
        client_context: None,
        tenant: None,
        tail: false,
        stream: None,
    };
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let (tell, told) = oneshot::channel();
    (Flight::new(invocation, Place(place), Some(tell), Arc::new(Metrics::default())), told)
}

fn reply() -> Answer {
    Answer::Response(Bytes::from_static(b"1"))
}

macro_rules! pending {
    ($future:expr) => {
        assert!(futures::poll!($future.as_mut()).is_pending())
    };
}

#[tokio::test]
async fn an_invocation_goes_through_once() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let exchange = exchange(&pool, None);
    assert!(matches!(exchange.expects("1", None), Err(Refusal::InvalidState { .. })));
    let mut next = Box::pin(exchange.next());
    pending!(next);
    exchange.ready().await.unwrap();
    let (one, told) = flight("1");
    assert_eq!(pool.submit(one), None);
    let offer = next.await.unwrap();
    assert_eq!(&*offer.invocation.id, "1");
    assert!(matches!(exchange.next().await, Err(Refusal::InvalidState { from: "Running", .. })));
    assert!(matches!(exchange.expects("2", None), Err(Refusal::InvalidRequestId)));
    assert!(matches!(exchange.expects("1", Some("before")), Err(Refusal::InvalidRequestId)));
    exchange.answer("1", offer.attempt.to_str().ok(), reply()).unwrap();
    assert_eq!(told.await.unwrap().unwrap().outcome, Outcome::Replied(Bytes::from_static(b"1")));
    assert_eq!(exchange.answer("1", None, reply()), Err(Refusal::InvalidRequestId));
    assert_eq!(exchange.overdue(Instant::now() + SECOND), Due::Stuck, "it does not ask for more");
}

#[tokio::test]
async fn two_calls_of_one_process_are_one_seat_unless_it_takes_several() {
    for (max, handed) in [(None, 1), (Some(2), 2), (Some(1), 1)] {
        let pool = Arc::new(Pool::new(1, true, Arc::default()));
        let exchange = exchange(&pool, max);
        let mut calls = [Box::pin(exchange.next()), Box::pin(exchange.next()), Box::pin(exchange.next())];
        for call in &mut calls {
            pending!(call);
        }
        let (flights, _told): (Vec<_>, Vec<_>) = ["1", "2", "3"].map(flight).into_iter().unzip();
        let queued = flights.into_iter().filter_map(|flight| pool.submit(flight)).count();
        assert_eq!(queued, 3 - handed, "{max:?}");
        let mut got = 0;
        for call in &mut calls {
            got += usize::from(futures::poll!(call.as_mut()).is_ready());
        }
        assert_eq!(got, handed, "{max:?}");
    }
}

#[tokio::test]
async fn an_overdue_answer_is_too_late_and_the_process_stays() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let exchange = exchange(&pool, Some(2));
    let mut next = Box::pin(exchange.next());
    pending!(next);
    let (one, told) = flight("1");
    pool.submit(one);
    next.await.unwrap();
    let Due::At(look) = exchange.overdue(Instant::now()) else { panic!("not yet") };
    assert!(matches!(exchange.overdue(look), Due::At(next) if next > look));
    assert!(matches!(told.await.unwrap().unwrap().outcome, Outcome::TimedOut(_)));
    assert_eq!(exchange.answer("1", None, reply()), Err(Refusal::TooLate));
    // It asks for no more, and nobody else of it does: it has as long again.
    assert_eq!(exchange.overdue(look + SECOND * 2), Due::Stuck);
}

#[tokio::test]
async fn what_was_not_fetched_goes_to_another_once() {
    let pool = Arc::new(Pool::new(2, true, Arc::default()));
    let (first, second) = (exchange(&pool, None), exchange(&pool, None));
    let (one, _told) = flight("1");
    for exchange in [&first, &second] {
        let mut next = Box::pin(exchange.next());
        pending!(next);
    }
    // Both calls were hung up: nobody is there.
    assert!(pool.submit(one).is_some());
    let mut next = Box::pin(first.next());
    let offer = futures::poll!(&mut next);
    assert!(offer.is_ready());
    let (unfetched, running) = first.close();
    assert!(unfetched.is_empty());
    let flight = running.into_iter().next().unwrap();
    assert!(first.again(flight).is_none());
    let mut next = Box::pin(second.next());
    assert!(futures::poll!(&mut next).is_ready());
    let (_, running) = second.close();
    let flight = second.again(running.into_iter().next().unwrap());
    assert_eq!(&*flight.unwrap().invocation.id, "1");
}

#[tokio::test]
async fn a_log_that_is_read_is_not_on_the_processs_time() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let exchange = exchange(&pool, None);
    let mut next = Box::pin(exchange.next());
    pending!(next);
    let (mut one, _told) = flight("1");
    one.invocation.tail = true;
    pool.submit(one);
    next.await.unwrap();
    exchange.answer("1", None, reply()).unwrap();
    let mut next = Box::pin(exchange.next());
    pending!(next);
    assert!(matches!(exchange.overdue(Instant::now() + SECOND), Due::At(_)), "it asked in time");
}

#[tokio::test]
async fn what_was_written_before_it_asked_is_before_the_end() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let (sender, mut records) = tokio::sync::mpsc::channel(100);
    let exchange = logged(&pool, None, Writer::new(&Logs::Records(sender), None, |_| None));
    let (ours, mut theirs) = std::io::pipe().unwrap();
    let log = exchange.observer.log().clone();
    let pipe = log.watch(tokio::net::unix::pipe::Receiver::from_owned_fd(ours.into()).unwrap());
    let mut next = Box::pin(exchange.next());
    pending!(next);
    let (one, _told) = flight("1");
    pool.submit(one);
    next.await.unwrap();
    theirs.write_all(b"written\n").unwrap();
    exchange.answer("1", None, reply()).unwrap();
    let mut next = Box::pin(exchange.next());
    pending!(next);
    assert!(matches!(exchange.overdue(Instant::now() + SECOND), Due::At(_)), "it asked in time");
    let (two, _told) = flight("2");
    assert!(pool.submit(two).is_some(), "it is not free yet");
    // Its reader is late.
    tokio::spawn(read::lines(pipe, Source::Function, log));
    next.await.unwrap();
    let texts = std::iter::from_fn(|| records.try_recv().ok());
    let texts: Vec<_> = texts.map(|record| String::from_utf8(record.text.to_vec()).unwrap()).collect();
    let begins =
        ["START RequestId: 1", "written", "END RequestId: 1", "REPORT RequestId: 1", "START RequestId: 2"];
    assert_eq!(texts.len(), begins.len(), "{texts:?}");
    assert!(texts.iter().zip(begins).all(|(text, begin)| text.starts_with(begin)), "{texts:?}");
}

#[tokio::test]
async fn a_stuck_process_gets_no_more_work() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let exchange = exchange(&pool, None);
    let mut next = Box::pin(exchange.next());
    pending!(next);
    drop(next);
    assert_eq!(exchange.overdue(Instant::now() + SECOND), Due::Stuck);
    assert!(pool.submit(flight("1").0).is_some());
    assert!(exchange.next().await.is_err());
}

#[tokio::test]
async fn a_held_environment_is_not_given_work() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let exchange = exchange(&pool, None);
    exchange.hold();
    let mut next = Box::pin(exchange.next());
    pending!(next);
    assert!(pool.submit(flight("1").0).is_some());
    pending!(next);
    let (two, _told) = flight("2");
    pool.submit(two);
    exchange.release();
    // Nobody waits for the first any more.
    assert_eq!(&*next.await.unwrap().invocation.id, "2");
}

#[tokio::test]
async fn a_failed_start_is_told_once_and_for_all() {
    let pool = Arc::new(Pool::new(1, true, Arc::default()));
    let exchange = exchange(&pool, None);
    exchange.init_error(Bytes::from_static(b"why")).unwrap();
    assert_eq!(exchange.ready().await, Err(Bytes::from_static(b"why")));
    assert!(exchange.init_error(Bytes::new()).is_err());
    assert!(exchange.next().await.is_err());
}
