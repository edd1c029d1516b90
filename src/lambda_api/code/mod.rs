//! Code: zips, checked as they come in and kept as files, `<state>/code/<sha256>.zip`.
//!
//! A zip is kept before the change that names it is made, so there are moments in which nothing names it: [`Kept`] holds
//! it until then. What nothing holds and no version or layer names is [thrown away](Store::sweep).

mod garbage;
mod link;
pub mod object;
mod store;
mod zip;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{FromRequestParts, Path, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};

pub use self::store::{Kept, Store};
pub(super) use self::zip::UNPACKED;
use super::{
    Api, Error,
    body::{Fields, Query},
    error::Code,
    function::Archive,
};

/// Where zips are served from, to whoever was given the link: no signature is asked for below this path.
pub const PATH: &str = "/_klr/code/";

/// The largest zip in a request.
const LARGEST: usize = 52_428_800;

/// The paths of this area.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route(&format!("{PATH}{{file}}"), get(serve))
}

/// Where a zip comes from: the request itself, or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Decoded.
    Zip(Bytes),
    /// In a bucket.
    Object(object::Address),
}

impl Source {
    /// Reads `ZipFile`, `S3Bucket`, `S3Key`, `S3ObjectVersion`; `None` if none is there. `place` is what AWS puts before their
    /// names: where they stand in the request.
    pub(super) fn read(fields: &Fields<'_>, place: &str) -> Result<Option<Self>, Error> {
        let object = object::Address::read(fields, place)?;
        let Some(text) = fields.text("ZipFile")? else { return Ok(object.map(Self::Object)) };
        if object.is_some() {
            return Err(Error::invalid(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            ));
        }
        let zip = base64_simd::STANDARD
            .decode_to_vec(text)
            .map_err(|_| Error::new(Code::Serialization, "ZipFile is not valid base64"))?;
        if zip.len() > LARGEST {
            return Err(Error::new(
                Code::RequestEntityTooLarge,
                format!("Zipped size must be smaller than {LARGEST} bytes"),
            ));
        }
        Ok(Some(Self::Zip(zip.into())))
    }
}

impl Api {
    /// Fetches, checks and keeps a zip. Nothing is changed yet but the disk.
    pub(super) async fn take(&self, source: Source) -> Result<Kept, Error> {
        let zip = match source {
            Source::Zip(zip) => zip,
            Source::Object(address) => object::fetch(self.objects.as_deref(), &address).await?,
        };
        self.code.keep(zip).await
    }

    /// Where a caller gets a zip, for a while.
    pub(super) fn location(&self, reached: &Reached, archive: &Archive) -> String {
        format!("{}{PATH}{}", reached.0, self.code.link(archive, self.now()))
    }
}

/// Where the caller reached us, as in `http://localhost:9001`: links lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached(String);

impl<S: Send + Sync> FromRequestParts<S> for Reached {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // HTTP/2 has no Host.
        let host = text("host").or_else(|| Some(parts.uri.authority()?.as_str())).unwrap_or("localhost");
        let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
        Ok(Self(format!("{scheme}://{host}")))
    }
}

/// A zip, to who has a link that is still good. The link's own words are AWS's S3's.
async fn serve(State(api): State<Arc<Api>>, Path(file): Path<String>, query: Query) -> Response {
    let text = |name| query.get(name).unwrap_or_default();
    let allowed = api.code.links().allow(&file, text("X-Amz-Expires"), text("X-Amz-Signature"), api.now());
    if !allowed {
        return (StatusCode::FORBIDDEN, "this link is not good, or no longer: ask GetFunction for another\n")
            .into_response();
    }
    match tokio::fs::read(api.code.directory().join(&file)).await {
        Ok(zip) => ([(header::CONTENT_TYPE, "application/zip")], Body::from(zip)).into_response(),
        Err(_) => (StatusCode::NOT_FOUND, "this code is gone\n").into_response(),
    }
}
