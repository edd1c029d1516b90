//! The registry, asked over HTTP: Confluent's API, of which two calls are needed.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{StatusCode, Url, header, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::schema::Text;
use crate::Registry;

/// An answer after this is none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A schema larger than this, or that needs more than so many others, is none.
const LARGEST: usize = 4 << 20;
const MOST: usize = 256;
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// A registry's address and our way in.
pub(crate) struct Client {
    url: Url,
    user: Option<(String, String)>,
    http: reqwest::Client,
}

/// Why a schema cannot be had just now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the schema registry's URL, certificate or key cannot be used: {0}")]
    Settings(String),
    #[error("the schema registry {url} cannot be reached: {why}")]
    Unreachable { url: String, why: String },
    #[error("the schema registry {url} answers {status}: check accessConfigs, and what they may read")]
    Refused { url: String, status: StatusCode },
    #[error("the schema registry {url} answers {status}")]
    Status { url: String, status: StatusCode },
    #[error("the schema registry {url} answers with something else than a schema: {seen}")]
    Answer { url: String, seen: &'static str },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

impl Client {
    pub(crate) fn new(settings: &Registry) -> Result<Self, Error> {
        let wrong = |why: &dyn std::fmt::Display| Error::Settings(why.to_string());
        let mut url: Url = settings.url.parse().map_err(|why| wrong(&why))?;
        if url.cannot_be_a_base() {
            return Err(wrong(&"expected http:// or https://"));
        }
        // Its calls are below it, whether it ends with a slash or not.
        url.path_segments_mut().map_err(|()| wrong(&"expected http:// or https://"))?.pop_if_empty();
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("klr-bridge/", env!("CARGO_PKG_VERSION")));
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        if let Some(ca) = &settings.tls.ca {
            let certificates = reqwest::Certificate::from_pem_bundle(ca.as_bytes());
            for certificate in
                certificates.map_err(|_| wrong(&"expected the root CA's certificate in PEM"))?
            {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let Some(identity) = &settings.tls.identity {
            if identity.password.is_some() {
                return Err(wrong(&"an encrypted private key cannot be used for a registry; decrypt it"));
            }
            let pem = format!("{}\n{}", identity.private_key, identity.certificate);
            let identity = reqwest::Identity::from_pem(pem.as_bytes());
            builder = builder.identity(identity.map_err(|_| wrong(&"expected PEM, the key in PKCS#8"))?);
        }
        let http = builder.build().map_err(|why| wrong(&why))?;
        Ok(Self { url, user: settings.user.clone(), http })
    }

    /// The schema of a number, with all it refers to; `None` where the registry has no such number.
    pub(crate) async fn schema(&self, id: u32) -> Result<Option<Text>, Error> {
        let Some(found) = self.get::<Registered>(&["schemas", "ids", &id.to_string()]).await? else {
            return Ok(None);
        };
        let references = self.references(found.references).await?;
        Ok(references.map(|references| Text { format: found.schema_type, schema: found.schema, references }))
    }

    /// Depth first: what is referred to stands before what refers to it. `None`: one is not there.
    async fn references(&self, wanted: Vec<Reference>) -> Result<Option<Vec<(String, String)>>, Error> {
        enum Step {
            Fetch(Reference),
            Found(String, String),
        }
        let mut steps: Vec<_> = wanted.into_iter().rev().map(Step::Fetch).collect();
        let (mut known, mut texts) = (BTreeSet::new(), Vec::new());
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Found(name, text) => {
                    texts.push((name, text));
                    continue;
                }
                Step::Fetch(reference) if known.insert(reference.name.clone()) => reference,
                Step::Fetch(_) => continue,
            };
            if known.len() > MOST {
                return Err(Error::Answer {
                    url: self.url.to_string(),
                    seen: "a schema with more than 256 references",
                });
            }
            let path = ["subjects", &reference.subject, "versions", &reference.version.to_string()];
            let Some(found) = self.get::<Registered>(&path).await? else { return Ok(None) };
            steps.push(Step::Found(reference.name, found.schema));
            steps.extend(found.references.into_iter().rev().map(Step::Fetch));
        }
        Ok(Some(texts))
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, Error> {
        let mut url = self.url.clone();
        url.path_segments_mut().expect("checked when it was made").extend(path);
        let place = format!("{}{}", url.origin().ascii_serialization(), url.path());
        let unreachable = |why: reqwest::Error| {
            let why = crate::token::chain(&why.without_url());
            Error::Unreachable { url: place.clone(), why }
        };
        let mut request = self.http.get(url).header(header::ACCEPT, ACCEPT);
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND => return self.not_found(&mut response, place).await.map(|()| None),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(Error::Refused { url: place, status });
            }
            status => return Err(Error::Status { url: place, status }),
        }
        let body = read(&mut response).await.map_err(unreachable)?;
        let body = body.ok_or_else(|| Error::Answer { url: place.clone(), seen: "more than 4 MiB" })?;
        serde_json::from_slice(&body).map(Some).map_err(|_| Error::Answer { url: place, seen: "other JSON" })
    }

    /// A registry says what it does not find (40401 to 40403). Any other 404 is a wrong URL, which must not cost records.
    async fn not_found(&self, response: &mut reqwest::Response, url: String) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct NotFound {
            error_code: i64,
        }
        let body = read(response).await.ok().flatten().unwrap_or_default();
        let said = serde_json::from_slice::<NotFound>(&body)
            .is_ok_and(|said| (40401..=40403).contains(&said.error_code));
        said.then_some(()).ok_or(Error::Status { url, status: StatusCode::NOT_FOUND })
    }
}

/// The whole body; `None`: it is too large.
async fn read(response: &mut reqwest::Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            return Ok(None);
        }
    }
    Ok(Some(body))
}
