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
    /// The access key that signed a request, whose whole body is at hand; none where signatures are not looked at.
    pub(super) async fn signer(
        &self,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Option<String>, Refused> {
        let Self::Signed { keys, region } = self else { return Ok(None) };
        let (claim, key) = claimed(keys.as_ref(), parts).await?;
        claim.verify(parts, body, &key.secret, region, now)?;
        Ok(Some(claim.key))
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
