//! Tags of mappings: as long as that area is not there, there are none.

use std::collections::BTreeMap;

use super::super::{Api, error::Error};

/// The tags of a mapping.
pub(super) fn mapping_tags(api: &Api, uuid: &str) -> Result<BTreeMap<String, String>, Error> {
    Err(missing(api, uuid))
}

/// Changes them.
pub(super) async fn tag_mapping(
    api: &Api,
    uuid: &str,
    _: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), Error>,
) -> Result<(), Error> {
    Err(missing(api, uuid))
}

fn missing(api: &Api, uuid: &str) -> Error {
    let arn = api.identity().arn(&format!("event-source-mapping:{uuid}"));
    Error::not_found(format!("Event source mapping not found: {arn}"))
}
