//! The tags of a mapping, which the tagging operations change.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{Api, error::Error},
    resource::Mapping,
};

type Tags = BTreeMap<String, String>;

/// Those it has.
pub(in super::super) fn tags(api: &Api, uuid: &str) -> Result<Tags, Error> {
    Ok(find(api, uuid)?.tags.clone())
}

/// Changes them. (One of them may say where its source's server is: that holds from its next start on.)
pub(in super::super) async fn tag(
    api: &Api,
    uuid: &str,
    edit: impl FnOnce(&mut Tags) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut change = api.change().await;
    let mut mapping = Mapping::clone(&*find(api, uuid)?);
    edit(&mut mapping.tags)?;
    change.put(&api.mappings.shelf, mapping.uuid.to_string(), mapping);
    Ok(change.commit().await?)
}

fn find(api: &Api, uuid: &str) -> Result<Arc<Mapping>, Error> {
    api.mappings.shelf.get(&uuid.to_lowercase()).ok_or_else(|| {
        let arn = api.identity().arn(&format!("event-source-mapping:{uuid}"));
        Error::not_found(format!("Event source mapping not found: {arn}"))
    })
}
