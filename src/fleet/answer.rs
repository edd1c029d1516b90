//! Answers of the service, not of the function, as Lambda words them.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::{Value, json};

use super::archive;

/// Why an invocation did not come to the function.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// As many run as may.
    #[error("its concurrency is used up")]
    Throttled(Limit),
    /// Images are not run.
    #[error("image {0} is not run here: expected a function packaged as a zip")]
    Image(String),
    /// Its zip or a layer's.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The host cannot run it.
    #[error(transparent)]
    Host(#[from] klr_host::Error),
    /// Everything is ending.
    #[error("the functions are being stopped")]
    Stopping,
}

/// Which limit it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The function's own.
    Reserved,
    /// What this machine lets one function have.
    Machine,
}

impl Limit {
    fn reason(self) -> &'static str {
        match self {
            Self::Reserved => "ReservedFunctionConcurrentInvocationLimitExceeded",
            Self::Machine => "ConcurrentInvocationLimitExceeded",
        }
    }
}

impl Refusal {
    /// As the Invoke API answers it.
    pub(super) fn answer(&self) -> Response<Body> {
        use klr_host::Error as Host;
        match self {
            Self::Throttled(limit) => throttled(*limit),
            Self::Host(Host::OtherVersion { .. } | Host::Runtime(_) | Host::NoClient { .. })
            | Self::Image(_) => error(
                StatusCode::BAD_GATEWAY,
                "InvalidRuntimeException",
                &json!({ "Type": "User", "Message": self.to_string() }),
            ),
            Self::Archive(error_) if !matches!(error_, archive::Error::Io { .. }) => error(
                StatusCode::BAD_GATEWAY,
                "InvalidZipFileException",
                &json!({ "Type": "User", "Message": format!("Lambda could not unzip the deployment package: {error_}") }),
            ),
            Self::Archive(_) | Self::Host(_) | Self::Stopping => error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "ServiceException",
                &json!({ "Type": "Service", "Message": self.to_string() }),
            ),
        }
    }

    /// As a function's URL answers it: what went wrong is the owner's to know.
    pub(super) fn told(&self) -> Response<Body> {
        if let Self::Throttled(limit) = self {
            return throttled(*limit);
        }
        let mut answer = Response::new(Body::from("Internal Server Error"));
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        answer
    }
}

/// 429.
pub(super) fn throttled(limit: Limit) -> Response<Body> {
    let body = json!({ "Reason": limit.reason(), "Type": "User", "message": "Rate Exceeded." });
    error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", &body)
}

fn error(status: StatusCode, name: &'static str, body: &Value) -> Response<Body> {
    let mut answer = with_json(status, body);
    answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(name));
    answer
}

fn with_json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
