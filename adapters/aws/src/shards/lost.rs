//! What a lost position means: where to go on, and the words for it. Pure.

use jiff::Timestamp;
use klr_contract::{Error, Mark};

use super::{OnLostPosition, Settings};

/// Why a position is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The stream was deleted and made again under its name.
    Remade,
    /// What was to be read next has passed out of retention.
    Trimmed,
    /// The shard itself has, with records nobody had read.
    Forgotten,
}

/// The code of everything this module says.
pub(super) const CODE: &str = "shards-position-lost";

/// Where to go on; `None`: stop.
pub(super) fn go_on(choice: OnLostPosition, now: Timestamp) -> Option<Mark> {
    match choice {
        OnLostPosition::Earliest => Some(Mark::Oldest),
        OnLostPosition::Latest => Some(Mark::Moment(moment(now))),
        OnLostPosition::Stop => None,
    }
}

/// The error that reports it: of kind stop where the mapping is to stop, else only news.
pub(super) fn report(settings: &Settings, why: Why, shard: &str) -> Error {
    let stream = &settings.stream;
    let what = match why {
        Why::Remade => {
            format!("{stream} was deleted and made again: the stored positions are another stream's")
        }
        Why::Trimmed => {
            format!("the position in {shard} of {stream} is no longer there: what followed it may be lost")
        }
        Why::Forgotten => format!("{shard} of {stream} has expired before all of it was read"),
    };
    let choice = match settings.on_lost_position {
        OnLostPosition::Stop => {
            let todo = "stopped (onLostPosition: stop): set earliest or latest to go on";
            return Error::stop(CODE, format!("{what}; {todo}"));
        }
        // There is nowhere in a forgotten shard to go on at.
        _ if why == Why::Forgotten => "its children are read on",
        OnLostPosition::Earliest => "going on at the oldest record (onLostPosition: earliest)",
        OnLostPosition::Latest => "going on with what arrives from now on (onLostPosition: latest)",
    };
    Error::retry(CODE, format!("{what}; {choice}"))
}

/// A moment as services take it, in milliseconds; rounded up, so that what was there before stays outside.
pub(super) fn moment(now: Timestamp) -> Timestamp {
    let millis = now.as_millisecond();
    let up = millis + i64::from(now.as_nanosecond() > i128::from(millis) * 1_000_000);
    Timestamp::from_millisecond(up).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use klr_contract::Kind;

    use super::*;
    use crate::shards::Start;

    #[test]
    fn a_moment_is_a_millisecond_rounded_up() {
        for (nanos, millis) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            let now = Timestamp::from_nanosecond(nanos).unwrap();
            assert_eq!(moment(now).as_millisecond(), millis, "{nanos}");
        }
    }

    #[test]
    fn only_stop_stops() {
        let settings = |on_lost_position| Settings {
            mapping: "m".to_owned(),
            stream: "arn".to_owned(),
            start: Start::Latest,
            on_lost_position,
            once: false,
        };
        for (choice, stops) in
            [(OnLostPosition::Earliest, false), (OnLostPosition::Latest, false), (OnLostPosition::Stop, true)]
        {
            let error = report(&settings(choice), Why::Trimmed, "shardId-0");
            assert_eq!(error.kind() == Kind::Stop, stops, "{error}");
            assert_eq!(go_on(choice, Timestamp::UNIX_EPOCH).is_none(), stops);
        }
    }
}
