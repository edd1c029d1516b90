use std::{error::Error as StdError, time::Duration};

use aws_sdk_secretsmanager::error::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use klr_contract::Error;

/// The code [`failure`] gives for a queue that is not there.
pub const NO_QUEUE: &str = "aws-no-queue";

/// How long to leave AWS in peace when only a person can help. The mapping goes on trying, as AWS does: a policy or a queue
/// may be put right without our hearing of it.
const FOR_A_PERSON: Duration = Duration::from_secs(30);

/// What a failed call means to the engine. `service` and `operation` as AWS spells them: `SQS`, `ReceiveMessage`.
///
/// Throttled, 5xx, timed out, unreachable: try again after the engine's own back-off. Access denied, no such queue, a key
/// that cannot be used: try again in half a minute. Anything else AWS refuses would be refused again: stop.
pub fn failure<E>(service: &str, operation: &str, error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let SdkError::ServiceError(context) = error else { return unanswered(service, operation, error) };
    let status = context.raw().status().as_u16();
    let code = context.err().code().unwrap_or("Unknown");
    let text = context.err().message().unwrap_or("no message given");
    let say = |code: &str, text: &str| {
        format!(
            "Error occurred while {operation}. {service} Error Code: {code}. {service} Error Message: {text}"
        )
    };
    match code {
        // The JSON protocol shortened the code; AWS's own mappings still show the old one, and one text for both.
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => Error::retry(
            NO_QUEUE,
            say("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."),
        )
        .after(FOR_A_PERSON),
        _ if throttled(code) => Error::retry("aws-throttled", say(code, text)),
        _ if status >= 500 => Error::retry("aws-unavailable", say(code, text)),
        _ if curable(code) || matches!(status, 401 | 403) => {
            Error::retry("aws-access-denied", say(code, text)).after(FOR_A_PERSON)
        }
        _ => Error::stop("aws-refused", say(code, text)),
    }
}

/// No answer at all, or none that can be read.
fn unanswered<E: StdError + 'static>(service: &str, operation: &str, error: &SdkError<E>) -> Error {
    let text = format!("{service} {operation} got no answer: {}", chain(error));
    match error {
        SdkError::TimeoutError(_) => Error::retry("aws-timeout", text),
        SdkError::ConstructionFailure(_) => Error::retry("aws-credentials", text).after(FOR_A_PERSON),
        // Credentials are looked up on the way out, so their absence shows as a failed dispatch of no I/O kind.
        SdkError::DispatchFailure(why) if why.is_other() => {
            Error::retry("aws-credentials", text).after(FOR_A_PERSON)
        }
        _ => Error::retry("aws-unreachable", text),
    }
}

fn throttled(code: &str) -> bool {
    const CODES: [&str; 9] = [
        "OverLimit",
        "RequestThrottled",
        "RequestThrottledException",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "KmsThrottled",
        "KMS.ThrottlingException",
    ];
    CODES.contains(&code)
}

/// Refusals a person lifts on AWS's side, without touching the mapping.
fn curable(code: &str) -> bool {
    const CODES: [&str; 10] = [
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "ResourceNotFoundException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    ];
    CODES.contains(&code) || code.starts_with("Kms") || code.starts_with("KMS.")
}

/// An error and its causes in one line: the SDK's own text is only the outermost ("dispatch failure").
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
