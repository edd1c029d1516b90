//! Answers, and what every answer carries.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::error::{Code, Error};

/// What one asks AWS's support about.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What a handler returns.
pub(super) type Answer = Result<Response, Error>;

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer was not spelled");
        Error::new(Code::Service, "An error occurred and the request cannot be processed.")
    })?;
    // Said here: axum calls bytes an octet stream.
    Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// 200 with JSON.
pub(super) fn ok(body: &impl Serialize) -> Answer {
    json(StatusCode::OK, body)
}

/// 204.
pub(super) fn empty() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A moment as function configurations and layers spell it.
pub(super) fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}

/// Gives every answer its request id and a content type, where the handler gave none.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let id = || HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a UUID is a header's value");
    headers.entry(REQUEST_ID).or_insert_with(id);
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_milliseconds_and_an_offset_without_colon() {
        let at: Timestamp = "2026-11-23T03:15:00.1239Z".parse().unwrap();
        assert_eq!(date(at), "2026-11-23T03:15:00.123+0000");
    }
}
