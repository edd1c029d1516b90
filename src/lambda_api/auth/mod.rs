//! Who may call: requests signed with a key we know. This port runs code.

mod sigv4;

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{header, request::Parts};
use jiff::Timestamp;
pub use sigv4::{Claim, Refused};

use super::{answer, body::read, code, error::Error};
use crate::web;

/// A key that may call.
#[derive(Clone)]
pub struct Key {
    /// The secret access key.
    pub secret: String,
    /// What must come along, if the key is a session's.
    pub token: Option<String>,
}

/// Whose requests are answered.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The secret of an access key, as of now: the standard chain's keys are renewed while we run.
    async fn key(&self, access_key_id: &str) -> Option<Key>;
}

/// The access key of AWS's own examples.
const UNSIGNED: &str = "AKIAIOSFODNN7EXAMPLE";

/// How callers are told from others.
#[derive(Clone)]
pub enum Auth {
    /// By SigV4, for this region.
    Signed {
        /// Whose signatures are good.
        keys: Arc<dyn Keys>,
        /// What a signature must be for.
        region: String,
    },
    /// Not at all, which is for loopback alone.
    Off,
}

impl Auth {
    /// The access key that signed a request, whose whole body is at hand. Where signatures are not checked, the one it names,
    /// or [one that stands for it](UNSIGNED): a function whose visitors sign finds somebody in its event.
    pub(super) async fn signer(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<String, Refused> {
        let Self::Signed { keys, region } = self else {
            return Ok(Claim::of(parts).map_or_else(|_| UNSIGNED.to_owned(), |claim| claim.key));
        };
        let (claim, key) = claimed(keys.as_ref(), parts).await?;
        claim.verify(parts, body, &key.secret, region, now)?;
        Ok(claim.key)
    }
}

/// Whether `Authorization` is a signature, and not somebody's own scheme.
pub(super) fn is_signed(parts: &Parts) -> bool {
    let header = parts.headers.get(header::AUTHORIZATION);
    header.is_some_and(|header| header.as_bytes().starts_with(sigv4::ALGORITHM.as_bytes()))
}

/// What a request claims, and the key it claims to be signed with.
async fn claimed(keys: &dyn Keys, parts: &Parts) -> Result<(Claim, Key), Refused> {
    let claim = Claim::of(parts)?;
    let key = keys.key(&claim.key).await.ok_or(Refused::UnknownKey)?;
    if let Some(token) = &key.token
        && !claim.token.as_ref().is_some_and(|got| sigv4::same(got.as_bytes(), token.as_bytes()))
    {
        return Err(Refused::UnknownKey);
    }
    Ok((claim, key))
}

/// The router behind the check. `address` is where it is served.
pub fn guarded(router: Router, auth: Auth, address: SocketAddr) -> Router {
    let check = move |request: Request, next: Next| {
        let auth = auth.clone();
        async move {
            match checked(&auth, request).await {
                Ok(request) => next.run(request).await,
                Err(refusal) => refusal,
            }
        }
    };
    let checked = router.layer(middleware::from_fn(check)).layer(middleware::from_fn(answer::finish));
    web::for_local_tools(checked, address)
}

/// The request, if its sender may call. Its body is read whole only for who has a key.
async fn checked(auth: &Auth, request: Request) -> Result<Request, Response> {
    let Auth::Signed { keys, region } = auth else { return Ok(request) };
    // A link nobody can guess stands for a signature.
    if request.uri().path().starts_with(code::PATH) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let refuse = |refused: Refused| Error::new(refused.code(), refused.to_string()).into_response();
    let (claim, key) = claimed(keys.as_ref(), &parts).await.map_err(refuse)?;
    let body = read(parts.uri.path(), body).await.map_err(IntoResponse::into_response)?;
    claim.verify(&parts, &body, &key.secret, region, Timestamp::now()).map_err(refuse)?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_not_checked_is_whom_the_request_names() {
        let signer = |authorization: &str| {
            let request = http::Request::get("/").header("x-amz-date", "20261123T030000Z");
            request.header("authorization", authorization).body(()).unwrap().into_parts().0
        };
        let scope = "20261123/us-east-1/lambda/aws4_request";
        let signed = format!("AWS4-HMAC-SHA256 Credential=AKIAME/{scope}, SignedHeaders=host, Signature=0");
        for (authorization, key, is) in [(signed.as_str(), "AKIAME", true), ("Bearer x", UNSIGNED, false)] {
            let parts = signer(authorization);
            assert_eq!(Auth::Off.signer(&parts, b"", Timestamp::now()).await.unwrap(), key);
            assert_eq!(is_signed(&parts), is);
        }
    }
}
