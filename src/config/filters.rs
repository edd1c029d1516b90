//! `filterCriteria`: the patterns as AWS takes them, and two settings of ours that stand for a quota and a doubt.

use std::sync::Arc;

use super::node::{Fields, Node};
use crate::{
    mapping::filter::{FILTERS, Filters, LONGEST, MOST_FILTERS, read},
    pattern::{Pattern, Source},
};

/// Reads the criteria of a mapping; none, or an empty list, filter nothing.
pub(super) fn criteria(spec: &Fields, source: Source) -> Arc<Filters> {
    const FIELDS: &[&str] = &["filters", "maximumFilters", "strictOperators"];
    let Some(criteria) = spec.get("filterCriteria").and_then(|node| node.fields(FIELDS)) else {
        return Arc::default();
    };
    // AWS raises the quota from 5 to 10 on request; here is who asks.
    let range = FILTERS as i64..=MOST_FILTERS as i64;
    let most = criteria.get("maximumFilters").and_then(|node| node.size(range)).unwrap_or(FILTERS);
    // Whether Lambda takes operators that its documentation does not list is not known.
    let strict = criteria.get("strictOperators").and_then(|node| node.boolean()).unwrap_or(false);
    let Some(list) = criteria.get("filters") else {
        return Arc::default();
    };
    let filters = list.items().unwrap_or_default();
    if filters.len() > most {
        let hint =
            if most < MOST_FILTERS { "; maximumFilters raises it, as a quota does on AWS" } else { "" };
        list.wrong(format!("must be at most {most} filters, is {}{hint}", filters.len()));
    }
    let filters = filters.iter().filter_map(|filter| filter.fields(&["pattern"]));
    let nodes = filters.filter_map(|filter| filter.required("pattern"));
    let patterns: Vec<Pattern> = nodes.filter_map(|node| pattern(&node, source, strict)).collect();
    Arc::new(Filters::of(&patterns))
}

fn pattern(node: &Node, source: Source, strict: bool) -> Option<Pattern> {
    let text = node.text()?;
    if text.chars().count() > LONGEST {
        return node.refuse(format!("must be at most {LONGEST} characters"));
    }
    let pattern = match read(text, source, strict) {
        Ok(pattern) => pattern,
        Err(error) => return node.refuse(error),
    };
    for warning in pattern.warnings() {
        tracing::warn!("{}: {warning}", node.place());
    }
    Some(pattern)
}
