//! What a caller is told when the answer is no, in AWS's words.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::shelf;

/// Names the error; SDKs read it before the body.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// One of AWS's answers that are not what was asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct Error {
    code: Code,
    message: String,
    /// Members beside `Type` and the message.
    extra: Map<String, Value>,
    /// Whether it says whose fault it is.
    typed: bool,
}

/// AWS's code; the status and the body's shape hang off it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // AWS's names
pub enum Code {
    AccessDenied,
    CodeSigningConfigNotFound,
    CodeStorageExceeded,
    CodeVerificationFailed,
    IncompleteSignature,
    InvalidParameterValue,
    InvalidRequestContent,
    InvalidRuntime,
    InvalidSignature,
    InvalidZipFile,
    MissingAuthenticationToken,
    PolicyLengthExceeded,
    PreconditionFailed,
    ProvisionedConcurrencyConfigNotFound,
    RequestEntityTooLarge,
    RequestTooLarge,
    ResourceConflict,
    ResourceInUse,
    ResourceNotFound,
    ResourceNotReady,
    Serialization,
    Service,
    TooManyRequests,
    UnrecognizedClient,
    UnsupportedMediaType,
    Validation,
}

impl Code {
    /// As SDKs know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::CodeSigningConfigNotFound => "CodeSigningConfigNotFoundException",
            Self::CodeStorageExceeded => "CodeStorageExceededException",
            Self::CodeVerificationFailed => "CodeVerificationFailedException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::InvalidRequestContent => "InvalidRequestContentException",
            Self::InvalidRuntime => "InvalidRuntimeException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::InvalidZipFile => "InvalidZipFileException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::PolicyLengthExceeded => "PolicyLengthExceededException",
            Self::PreconditionFailed => "PreconditionFailedException",
            Self::ProvisionedConcurrencyConfigNotFound => "ProvisionedConcurrencyConfigNotFoundException",
            Self::RequestEntityTooLarge => "RequestEntityTooLargeException",
            Self::RequestTooLarge => "RequestTooLargeException",
            Self::ResourceConflict => "ResourceConflictException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceNotReady => "ResourceNotReadyException",
            Self::Serialization => "SerializationException",
            Self::Service => "ServiceException",
            Self::TooManyRequests => "TooManyRequestsException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::UnsupportedMediaType => "UnsupportedMediaTypeException",
            Self::Validation => "ValidationException",
        }
    }

    /// The answer's status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::AccessDenied
            | Self::IncompleteSignature
            | Self::InvalidSignature
            | Self::MissingAuthenticationToken
            | Self::UnrecognizedClient => StatusCode::FORBIDDEN,
            Self::CodeSigningConfigNotFound
            | Self::ProvisionedConcurrencyConfigNotFound
            | Self::ResourceNotFound => StatusCode::NOT_FOUND,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::RequestEntityTooLarge | Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ResourceConflict => StatusCode::CONFLICT,
            Self::InvalidRuntime | Self::InvalidZipFile | Self::ResourceNotReady => StatusCode::BAD_GATEWAY,
            Self::Service => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// AWS spells the message's member in both ways, and SDKs' types follow.
    fn message(self) -> &'static str {
        match self {
            Self::AccessDenied
            | Self::CodeSigningConfigNotFound
            | Self::CodeVerificationFailed
            | Self::InvalidRuntime
            | Self::InvalidZipFile
            | Self::ResourceInUse
            | Self::ResourceNotFound
            | Self::Service => "Message",
            _ => "message",
        }
    }

    /// Whose fault it is; what the front door refuses by itself does not say.
    fn fault(self) -> Option<&'static str> {
        match self {
            Self::AccessDenied
            | Self::IncompleteSignature
            | Self::InvalidSignature
            | Self::MissingAuthenticationToken
            | Self::RequestEntityTooLarge
            | Self::Serialization
            | Self::UnrecognizedClient
            | Self::Validation => None,
            Self::Service => Some("Service"),
            _ => Some("User"),
        }
    }
}

impl Error {
    /// Any of AWS's errors.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), extra: Map::new(), typed: true }
    }

    /// `InvalidParameterValueException`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// `ValidationException`, the front door's; see [`Constraints`](super::body::Constraints).
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(Code::Validation, message)
    }

    /// `ResourceNotFoundException`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceNotFound, message)
    }

    /// `ResourceConflictException`.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceConflict, message)
    }

    /// `PreconditionFailedException`: the caller has seen an older revision.
    pub fn stale() -> Self {
        Self::new(
            Code::PreconditionFailed,
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to \
             retrieve the latest Revision Id",
        )
    }

    /// The same with one member more.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(member.to_owned(), value.into());
        self
    }

    /// The same without `Type`, as a few of AWS's refusals are.
    #[must_use]
    pub fn untyped(mut self) -> Self {
        self.typed = false;
        self
    }

    /// Which error it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is said.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn body(&self) -> Value {
        let mut body = self.extra.clone();
        if let Some(fault) = self.code.fault().filter(|_| self.typed) {
            body.insert("Type".to_owned(), fault.into());
        }
        // AWS's front door denies without a word, and says so.
        let message = Some(self.message.as_str()).filter(|message| !message.is_empty());
        body.insert(self.code.message().to_owned(), message.into());
        Value::Object(body)
    }
}

/// The caller hears that it was us; what exactly is for our own log.
impl From<shelf::Error> for Error {
    fn from(error: shelf::Error) -> Self {
        tracing::error!(%error, "a change was not made");
        Self::new(Code::Service, "An error occurred and the request cannot be processed.")
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut answer = (self.code.status(), self.body().to_string()).into_response();
        let headers = answer.headers_mut();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(self.code.name()));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_spelled_as_aws_spells_them() {
        let body = |error: Error| error.body().to_string();
        assert_eq!(body(Error::invalid("no")), r#"{"Type":"User","message":"no"}"#);
        assert_eq!(body(Error::not_found("no")), r#"{"Message":"no","Type":"User"}"#);
        assert_eq!(body(Error::validation("no")), r#"{"message":"no"}"#);
        let slow =
            Error::new(Code::TooManyRequests, "Rate Exceeded.").with("Reason", "CallerRateLimitExceeded");
        assert_eq!(
            body(slow),
            r#"{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate Exceeded."}"#
        );
    }
}
