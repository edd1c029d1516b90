//! The trace an invocation belongs to, in X-Ray's spelling.

use axum::http::HeaderValue;
use uuid::Uuid;

/// The caller's trace with what it leaves out, or a new one. AWS: a function always sees a root, a parent and whether it is
/// sampled (`Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0`).
pub(super) fn header(given: Option<&str>, now: jiff::Timestamp) -> Option<HeaderValue> {
    let mut trace = match given {
        Some(given) if given.split(';').any(|field| field.trim().starts_with("Root=")) => given.to_owned(),
        _ => {
            let random = Uuid::new_v4().simple().to_string();
            format!("Root=1-{:08x}-{}", now.as_second(), &random[..24])
        }
    };
    let has = |trace: &str, name: &str| trace.split(';').any(|field| field.trim().starts_with(name));
    if !has(&trace, "Parent=") {
        let random = Uuid::new_v4().simple().to_string();
        trace += &format!(";Parent={}", &random[16..]);
    }
    if !has(&trace, "Sampled=") {
        trace += ";Sampled=0";
    }
    HeaderValue::try_from(trace).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(given: Option<&str>) -> String {
        let now = "2026-11-28T17:00:00Z".parse().unwrap();
        header(given, now).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_missing_is_added_and_the_rest_stays() {
        let whole = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:0";
        assert_eq!(completed(Some(whole)), whole);
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        let added = completed(Some(root));
        assert!(added.starts_with(&format!("{root};Parent=")) && added.ends_with(";Sampled=0"), "{added}");
        for given in [None, Some("nonsense")] {
            let new = completed(given);
            assert_eq!((&new[..16], new.len()), ("Root=1-6b0b0890-", whole.len() - 12), "{new}");
        }
    }
}
