//! Listings, page by page.

use super::{
    body::{Constraints, Query},
    error::Error,
};

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// The key of the last item of the page before.
    after: Option<String>,
    size: usize,
}

impl Page {
    /// Reads `Marker` and `MaxItems`, which may be up to 10,000. A page never has more than `most` items, whatever is asked for.
    pub(super) fn of(query: &Query, most: usize) -> Result<Self, Error> {
        Self::read(query, most, 10_000)
    }

    /// The same for listings whose model takes no larger page than they give: AWS's younger ones.
    pub(super) fn of_fifty(query: &Query) -> Result<Self, Error> {
        Self::read(query, 50, 50)
    }

    fn read(query: &Query, most: usize, allowed: i64) -> Result<Self, Error> {
        let size = match query.get("MaxItems") {
            None => most,
            Some(text) => size(text, allowed)?.min(most),
        };
        let after = query.get("Marker").map(key).transpose()?;
        Ok(Self { after, size })
    }

    /// The page out of all items, which come in the order of their keys, and the next page's marker.
    pub(super) fn cut<T>(&self, items: impl IntoIterator<Item = (String, T)>) -> (Vec<T>, Option<String>) {
        let mut items =
            items.into_iter().skip_while(|(key, _)| self.after.as_ref().is_some_and(|after| key <= after));
        let mut page = Vec::new();
        let mut last = String::new();
        for (key, item) in items.by_ref().take(self.size) {
            page.push(item);
            last = key;
        }
        let next = items.next().map(|_| base64_simd::URL_SAFE_NO_PAD.encode_to_string(last));
        (page, next)
    }
}

fn size(text: &str, allowed: i64) -> Result<usize, Error> {
    let mut constraints = Constraints::default();
    let number: i64 = text.parse().map_err(|_| {
        Error::new(
            super::error::Code::Serialization,
            format!("Can not deserialize value '{text}' to an Integer for field 'MaxItems'"),
        )
    })?;
    constraints.within("maxItems", number, 1..=allowed);
    constraints.check()?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

fn key(marker: &str) -> Result<String, Error> {
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(marker).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::invalid(format!("Invalid value '{marker}' for parameter 'Marker'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another() {
        let items = || ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), name));
        let mut seen = Vec::new();
        let mut query = Query::parse("MaxItems=2");
        loop {
            let (page, next) = Page::of(&query, 50).unwrap().cut(items());
            assert!(page.len() <= 2);
            seen.extend(page);
            let Some(next) = next else { break };
            query = Query::parse(&format!("MaxItems=2&Marker={next}"));
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_page_has_its_limits() {
        let refused = Page::of(&Query::parse("MaxItems=0"), 50).unwrap_err();
        assert_eq!(
            refused.message(),
            "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have \
             value greater than or equal to 1"
        );
        assert_eq!(Page::of(&Query::parse("MaxItems=900"), 50).unwrap().size, 50);
        let refused = Page::of_fifty(&Query::parse("MaxItems=51")).unwrap_err();
        assert!(refused.message().ends_with("Member must have value less than or equal to 50"));
        assert!(Page::of(&Query::parse("Marker=%20"), 50).is_err());
    }
}
