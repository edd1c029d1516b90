//! What browsers may do with a function's URL.

use serde::{Deserialize, Serialize};

use crate::lambda_api::{
    Error,
    body::{Constraints, Fields},
};

/// What was given is shown, nothing more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Cors {
    /// Cookies and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Request headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_headers: Option<Vec<String>>,
    /// Methods, or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_methods: Option<Vec<String>>,
    /// Origins, or `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_origins: Option<Vec<String>>,
    /// Response headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose_headers: Option<Vec<String>>,
    /// Seconds a browser may remember this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

impl Cors {
    /// Reads it; what the front door refuses goes to `constraints`.
    pub(super) fn read(fields: Fields<'_>, constraints: &mut Constraints) -> Result<Self, Error> {
        let mut list = |member: &str, field: &str, most: usize, shortest: usize, longest: usize| {
            let Some(list) = fields.texts(member)? else { return Ok::<_, Error>(None) };
            constraints.members(field, &list, 0..=most);
            let fits = |item: &String| (shortest..=longest).contains(&item.chars().count());
            if !list.iter().all(fits) {
                let bounds = format!(
                    "[Member must have length less than or equal to {longest}, Member must have length greater than or \
                     equal to {shortest}, Member must satisfy regular expression pattern: .*, Member must not be null]"
                );
                let shown = format!("[{}]", list.join(", "));
                constraints.broken(field, shown, format!("Member must satisfy constraint: {bounds}"));
            }
            Ok(Some(list))
        };
        let allow_headers = list("AllowHeaders", "cors.allowHeaders", 100, 0, 1024)?;
        let allow_methods = list("AllowMethods", "cors.allowMethods", 6, 0, 6)?;
        let allow_origins = list("AllowOrigins", "cors.allowOrigins", 100, 1, 253)?;
        let expose_headers = list("ExposeHeaders", "cors.exposeHeaders", 100, 0, 1024)?;
        let max_age = fields.whole("MaxAge")?;
        if let Some(seconds) = max_age {
            constraints.within("cors.maxAge", seconds, 0..=86_400);
        }
        Ok(Self {
            allow_credentials: fields.flag("AllowCredentials")?,
            allow_headers,
            allow_methods,
            allow_origins,
            expose_headers,
            max_age: max_age.and_then(|seconds| u32::try_from(seconds).ok()),
        })
    }
}
