//! Errors of the service, not of the function, as Lambda words them.

use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::{
    front::retry_later,
    invocation::SHUTTING_DOWN,
    serve::{Answer, Unread, json},
};

/// An error of the service.
#[derive(Debug)]
pub(super) struct Exception {
    status: StatusCode,
    name: &'static str,
    reason: Option<&'static str>,
    message: String,
}

impl Exception {
    fn new(status: StatusCode, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, reason: None, message: message.into() }
    }

    pub(super) fn content(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message)
    }

    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "InvalidRequestException", "expected POST")
    }

    /// A body that was not read.
    pub(super) fn unread(unread: Unread, limit: usize) -> Self {
        match unread {
            Unread::TooLarge => {
                let message =
                    format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", message)
            }
            Unread::Truncated => Self::content("the request's body was cut off"),
            Unread::TooSlow => Self::content("the request's body took too long"),
        }
    }

    pub(super) fn throttled() -> Self {
        let reason = Some("ReservedFunctionConcurrentInvocationLimitExceeded");
        Self {
            reason,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
        }
    }

    /// The host ended what ran: who asks again may be served.
    pub(super) fn cut_off() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", SHUTTING_DOWN)
    }

    pub(super) fn answer(&self) -> Answer {
        // AWS spells the member `Message` in these two exceptions, and `message` in the others it may be here.
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(rename = "Reason", skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
            #[serde(rename = "Type")]
            kind: &'a str,
            #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
            upper: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let message = Some(self.message.as_str());
        let (kind, ours) = if self.status.is_server_error() { ("Service", true) } else { ("User", false) };
        let (upper, message) =
            if ours || self.status == StatusCode::NOT_FOUND { (message, None) } else { (None, message) };
        let document = Document { reason: self.reason, kind, upper, message };
        let mut answer = json(self.status, serde_json::to_vec(&document).expect("strings are always JSON"));
        let name = HeaderValue::from_static(self.name);
        answer.headers_mut().insert(HeaderName::from_static("x-amzn-errortype"), name);
        if self.status == StatusCode::TOO_MANY_REQUESTS { retry_later(answer) } else { answer }
    }
}
