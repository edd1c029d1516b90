//! What browsers may do with a function's URL.

use http::{HeaderMap, HeaderName, HeaderValue, header};
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

    /// What a browser is told that asks whether it may send: what it may not, it hears nothing of.
    pub(super) fn allow(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        if !self.share(origin, headers) {
            return;
        }
        list(headers, header::ACCESS_CONTROL_ALLOW_METHODS, self.allow_methods.as_deref());
        list(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, self.allow_headers.as_deref());
        if let Some(seconds) = self.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
    }

    /// What is told with a function's answer. AWS ("Cross-origin resource sharing", for requests that are no preflight): beside
    /// what the function says of it, so that a browser refuses what both of them say.
    pub(super) fn tell(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        if self.share(origin, headers) {
            list(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, self.expose_headers.as_deref());
        }
    }

    /// Whether pages of this origin may read an answer; and that they may, if so.
    fn share(&self, origin: &HeaderValue, headers: &mut HeaderMap) -> bool {
        let origins = self.allow_origins.as_deref().unwrap_or_default();
        let anybody = origins.iter().any(|allowed| allowed == "*");
        if !anybody && !origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return false;
        }
        let credentials = self.allow_credentials == Some(true);
        // With credentials `*` means nothing to a browser.
        let told = if anybody && !credentials { HeaderValue::from_static("*") } else { origin.clone() };
        headers.append(header::ACCESS_CONTROL_ALLOW_ORIGIN, told);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if credentials {
            headers.append(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }
}

fn list(headers: &mut HeaderMap, name: HeaderName, items: Option<&[String]>) {
    let Some(items) = items.filter(|items| !items.is_empty()) else { return };
    if let Ok(value) = items.join(",").parse() {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told with a function's answer that has headers of its own, or with none.
    fn told(
        own: &[(HeaderName, &'static str)],
        origin: &'static str,
        by: impl Fn(&HeaderValue, &mut HeaderMap),
    ) -> HeaderMap {
        let own = own.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut headers = own.collect();
        by(&HeaderValue::from_static(origin), &mut headers);
        headers
    }

    fn all(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn only_listed_origins_share_an_answer_and_the_functions_word_stands_beside() {
        let cors = Cors {
            allow_origins: Some(vec!["https://shop.example".to_owned()]),
            allow_credentials: Some(true),
            expose_headers: Some(vec!["a".to_owned(), "b".to_owned()]),
            ..Cors::default()
        };
        let own = [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://functions.own"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "PUT"),
        ];
        let shop = told(&own, "https://shop.example", |origin, headers| cors.tell(origin, headers));
        let origins = all(&shop, header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(origins, ["https://functions.own", "https://shop.example"]);
        assert_eq!(shop[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(shop[header::ACCESS_CONTROL_EXPOSE_HEADERS], "a,b");
        assert_eq!(shop[header::ACCESS_CONTROL_ALLOW_METHODS], "PUT");
        let other = told(&own, "https://other.example", |origin, headers| cors.tell(origin, headers));
        assert_eq!(
            (other.len(), &other[header::ACCESS_CONTROL_ALLOW_ORIGIN]),
            (2, &own[0].1.parse().unwrap())
        );
    }

    #[test]
    fn a_preflight_is_told_what_it_may() {
        let all = Cors { allow_origins: Some(vec!["*".to_owned()]), max_age: Some(60), ..Cors::default() };
        let allowed = told(&[], "https://other.example", |origin, headers| all.allow(origin, headers));
        assert_eq!(allowed[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(allowed[header::ACCESS_CONTROL_MAX_AGE], "60");
    }
}
