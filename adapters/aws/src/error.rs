use std::{error::Error as StdError, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::error::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use klr_contract::Error;

/// The code [`failure`] gives for a queue that is not there.
pub const NO_QUEUE: &str = "aws-no-queue";

/// AWS's words, whichever call found out. (The JSON protocol has shortened the code; a mapping's status still shows this.)
const NO_QUEUE_TEXT: &str = "Error occurred while ReceiveMessage. SQS Error Code: \
    AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.";

/// How long to leave AWS in peace when only a person can help. The mapping goes on trying, as AWS does: a policy or a queue
/// may be put right without our hearing of it.
const FOR_A_PERSON: Duration = Duration::from_secs(30);

/// What a failed call means to the engine. `service` and `operation` as AWS spells them: `SQS`, `ReceiveMessage`.
///
/// Throttled, 5xx, timed out, unreachable: try again after the engine's own back-off. A request that is malformed by AWS's
/// judgement would be so again: stop. Any other refusal (access, a missing queue, a key that cannot be used, a clock that
/// is wrong) is lifted on AWS's side, without touching the mapping: try again in half a minute.
pub fn failure<E>(service: &str, operation: &str, error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let SdkError::ServiceError(context) = error else { return unanswered(service, operation, error) };
    let status = context.raw().status().as_u16();
    // A proxy's or a server's own page has neither; then the status is all there is to say.
    let unnamed = format!("HTTP {status}");
    let code = context.err().code().unwrap_or(&unnamed);
    let text = context.err().message().unwrap_or("none given");
    let say = |code: &str, text: &str| {
        format!(
            "Error occurred while {operation}. {service} Error Code: {code}. {service} Error Message: {text}"
        )
    };
    match code {
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => {
            Error::retry(NO_QUEUE, NO_QUEUE_TEXT).after(FOR_A_PERSON)
        }
        _ if status == 429 || throttled(code) => Error::retry("aws-throttled", say(code, text)),
        _ if status >= 500 => Error::retry("aws-unavailable", say(code, text)),
        _ if malformed(code) => Error::stop("aws-refused", say(code, text)),
        _ if denied(code, status) => Error::retry("aws-access-denied", say(code, text)).after(FOR_A_PERSON),
        _ => Error::retry("aws-refused", say(code, text)).after(FOR_A_PERSON),
    }
}

/// Whether the call may have been carried out without our hearing of it: the answer was lost, or the server broke.
pub fn lost<E: StdError + 'static>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ServiceError(context) => context.raw().status().as_u16() >= 500,
        SdkError::ConstructionFailure(_) => false,
        _ => !without_credentials(error),
    }
}

/// No answer at all, or none that can be read.
fn unanswered<E: StdError + 'static>(service: &str, operation: &str, error: &SdkError<E>) -> Error {
    let text = format!("{service} {operation} got no answer: {}", chain(error));
    match error {
        SdkError::ConstructionFailure(_) => Error::stop("aws-refused", text),
        _ if without_credentials(error) => Error::retry("aws-credentials", text).after(FOR_A_PERSON),
        SdkError::TimeoutError(_) => Error::retry("aws-timeout", text),
        _ => Error::retry("aws-unreachable", text),
    }
}

/// Credentials are looked up on the way out, so the SDK reports their absence as one more failed dispatch.
fn without_credentials(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<CredentialsError>())
}

/// Codes of many services, and their spellings over the years.
fn throttled(code: &str) -> bool {
    const CODES: [&str; 8] = [
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "TooManyRequestsException",
    ];
    code.contains("Throttl") || CODES.contains(&code)
}

fn malformed(code: &str) -> bool {
    const PREFIXES: [&str; 7] = [
        "InvalidAddress",
        "InvalidAttribute",
        "InvalidParameter",
        "MalformedQueryString",
        "MissingParameter",
        "UnsupportedOperation",
        "Validation",
    ];
    let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
    PREFIXES.iter().any(|prefix| code.starts_with(prefix))
}

fn denied(code: &str, status: u16) -> bool {
    matches!(status, 401 | 403) || code.starts_with("AccessDenied") || code == "AuthFailure"
}

/// An error and its causes in one line: the SDK's own text is only the outermost ("dispatch failure").
fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        known if known.ends_with(&cause) => text,
        known => format!("{known}: {cause}"),
    })
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for code in [
            "RequestThrottled",
            "ThrottlingException",
            "KmsThrottled",
            "KMS.ThrottlingException",
            "OverLimit",
        ] {
            assert!(throttled(code) && !malformed(code), "{code}");
        }
        for code in
            ["InvalidParameterValue", "AWS.SimpleQueueService.UnsupportedOperation", "ValidationException"]
        {
            assert!(malformed(code) && !throttled(code), "{code}");
        }
        for code in ["InvalidClientTokenId", "InvalidSecurity", "ExpiredToken", "Kms.DisabledException"] {
            assert!(!malformed(code) && !throttled(code), "{code}");
        }
        assert!(denied("AccessDeniedException", 400) && denied("InvalidClientTokenId", 403));
    }
}
