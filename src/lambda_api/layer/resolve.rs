//! The layers a function names.

use super::model::version_key;
use super::name::{Named, VERSION_ARN, Version};
use crate::lambda_api::{Api, Error, body::Constraints, function::LayerUse};

/// AWS's limit for one function.
const MOST: usize = 5;

/// What a function uses by these ARNs, in their order. It holds the code: the layer version may be deleted.
pub(in crate::lambda_api) fn resolve(api: &Api, arns: &[String]) -> Result<Vec<LayerUse>, Error> {
    if arns.len() > MOST {
        return Err(Error::invalid(format!("Cannot reference more than {MOST} layers.")));
    }
    let mut uses: Vec<LayerUse> = Vec::new();
    for arn in arns {
        let used = version(api, arn)?;
        let layer = |arn: &str| arn.rsplit_once(':').map(|(layer, _)| layer.to_owned());
        if let Some(other) = uses.iter().find(|other| layer(&other.arn) == layer(arn)) {
            return Err(Error::invalid(format!(
                "Two different versions of the same layer are not allowed to be referenced in the same function. {} and \
                 {arn} are versions of the same layer.",
                other.arn
            )));
        }
        uses.push(used);
    }
    Ok(uses)
}

/// Whether what was resolved is there still: between that and the change that names it, it may have been deleted.
pub(in crate::lambda_api) fn there(api: &Api, uses: &[LayerUse]) -> Result<(), Error> {
    uses.iter().try_for_each(|used| version(api, &used.arn).map(drop))
}

/// What the front door refuses.
pub(in crate::lambda_api) fn constrain(arns: &[String], constraints: &mut Constraints) {
    let fits = |arn: &String| VERSION_ARN.matches(arn) && arn.len() <= 2048;
    if !arns.iter().all(fits) {
        let each = format!(
            "Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length \
             greater than or equal to 1, Member must satisfy regular expression pattern: {}, Member must not be null]",
            VERSION_ARN.text()
        );
        constraints.broken("layers", format!("[{}]", arns.join(", ")), each);
    }
}

fn version(api: &Api, arn: &str) -> Result<LayerUse, Error> {
    let missing = || Error::invalid(format!("Layer version {arn} does not exist."));
    let version = Version::parse(arn).ok_or_else(missing)?;
    let identity = api.identity();
    if version.home.account != identity.account {
        return Err(identity.denied("GetLayerVersion", arn));
    }
    if version.home.region != identity.region {
        return Err(Error::invalid(format!(
            "Layers are not in the same region as the function. Layers are expected to be in region {}.",
            identity.region
        )));
    }
    let named = Named { home: Some(version.home), name: version.name };
    let found =
        super::own(api, &named).and_then(|name| api.layer_versions.get(&version_key(name, version.number)));
    let found = found.ok_or_else(missing)?;
    Ok(LayerUse { arn: arn.to_owned(), code: found.code.clone() })
}
