//! How a row is spelled: the same words in every store, so that a person who reads one can read the other.

use jiff::Timestamp;
use klr_contract::Mark;

/// The kind of a mark, and what goes with it.
pub(super) fn spell(mark: &Mark) -> (&'static str, Option<String>) {
    match mark {
        Mark::Oldest => ("oldest", None),
        Mark::Moment(moment) => ("moment", Some(moment.to_string())),
        Mark::After(position) => ("after", Some(position.clone())),
        Mark::Ended => ("ended", None),
    }
}

/// The mark that was spelled so; else what is wrong.
pub(super) fn read(kind: &str, at: Option<&str>) -> Result<Mark, &'static str> {
    match (kind, at) {
        ("oldest", None) => Ok(Mark::Oldest),
        ("moment", Some(moment)) => {
            moment.parse::<Timestamp>().map(Mark::Moment).map_err(|_| "a moment that is no timestamp")
        }
        ("after", Some(position)) => Ok(Mark::After(position.to_owned())),
        ("ended", None) => Ok(Mark::Ended),
        ("oldest" | "ended", Some(_)) => Err("a place with a mark that has none"),
        ("moment" | "after", None) => Err("a mark without its place"),
        _ => Err("a mark of an unknown kind"),
    }
}
