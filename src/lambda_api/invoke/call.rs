//! What is asked: by which operation, to be answered when, with how large an event.

use axum::http::HeaderMap;

use super::{
    super::body::{Constraints, Pattern},
    Code, Error, Name, payload,
};

/// What one synchronous event may take, and the front door lets through of any.
const LARGEST: usize = 6_291_456;
/// What one asynchronous event may take.
const LARGEST_EVENT: usize = 1_048_576;
/// What InvokeAsync takes, which nobody raised when Event invocations got more.
const LARGEST_OLD_EVENT: usize = 262_144;
/// In base64.
const LARGEST_CLIENT_CONTEXT: usize = 3583;

static TENANT: Pattern = Pattern::new(r"[a-zA-Z0-9\._:\/=+\-@ ]+");
static EXECUTION: Pattern = Pattern::new("[a-zA-Z0-9-_]+");

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Invoke,
    InvokeAsync,
    Stream,
}

impl Operation {
    /// Where the host has it: the bare name, and the qualifier it was called by.
    pub(super) fn path(self, name: &Name) -> String {
        let (version, operation) = match self {
            Self::Invoke | Self::InvokeAsync => ("2015-03-31", "invocations"),
            Self::Stream => ("2021-11-15", "response-streaming-invocations"),
        };
        let qualifier = name.qualifier.iter().map(|qualifier| format!("?Qualifier={qualifier}"));
        format!("/{version}/functions/{}/{operation}{}", name.function, qualifier.collect::<String>())
    }

    /// What a policy calls it.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Invoke | Self::Stream => "InvokeFunction",
            Self::InvokeAsync => "InvokeAsync",
        }
    }

    /// As AWS's texts have it.
    fn name(self) -> &'static str {
        match self {
            Self::Invoke => "InvokeFunction",
            Self::InvokeAsync => "InvokeAsync",
            Self::Stream => "InvokeWithResponseStream",
        }
    }
}

/// When it is answered, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

/// A call whose head is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    operation: Operation,
    pub(super) kind: Kind,
    /// What no function here can be asked for: why, if it was.
    unfit: Option<&'static str>,
}

impl Asked {
    /// Reads the head.
    pub(super) fn read(operation: Operation, headers: &HeaderMap) -> Result<Self, Error> {
        let asked = text(headers, "x-amz-invocation-type");
        let mut constraints = Constraints::default();
        let kind = match (operation, asked) {
            (Operation::InvokeAsync, _) | (Operation::Invoke, Some("Event")) => Kind::Event,
            (_, Some("DryRun")) => Kind::DryRun,
            (_, None | Some("RequestResponse")) => Kind::RequestResponse,
            (_, Some(other)) => {
                let known: &[&str] = match operation {
                    Operation::Stream => &["RequestResponse", "DryRun"],
                    _ => &["Event", "RequestResponse", "DryRun"],
                };
                constraints.one_of("invocationType", other, known);
                Kind::RequestResponse
            }
        };
        if let Some(log) = text(headers, "x-amz-log-type") {
            constraints.one_of("logType", log, &["None", "Tail"]);
        }
        let unfit = unfit(headers, operation, &mut constraints);
        constraints.check()?;
        if kind == Kind::RequestResponse {
            check_client_context(headers)?;
        }
        Ok(Self { operation, kind, unfit })
    }

    /// That the function can be asked for this, the event's size, and that it is JSON.
    pub(super) fn check(self, event: &[u8]) -> Result<(), Error> {
        if let Some(why) = self.unfit {
            return Err(Error::invalid(why));
        }
        if event.len() > self.limit() {
            return Err(self.too_large(event.len()));
        }
        payload::check(event)
    }

    /// The answer to an event of so many bytes, which are too many. AWS: what is more than any operation takes is refused
    /// before it is looked at when it is to be answered.
    pub(super) fn too_large(self, length: usize) -> Error {
        let message = match (self.operation, self.kind) {
            (Operation::Invoke, Kind::Event) if length <= LARGEST => {
                format!(
                    "{length} byte payload is too large for the Event invocation type (limit {LARGEST_EVENT} bytes)"
                )
            }
            (operation, _) => {
                let limit = if operation == Operation::InvokeAsync { LARGEST_OLD_EVENT } else { LARGEST };
                format!("Request must be smaller than {limit} bytes for the {} operation", operation.name())
            }
        };
        Error::new(Code::RequestEntityTooLarge, message)
    }

    fn limit(self) -> usize {
        match (self.operation, self.kind) {
            (Operation::InvokeAsync, _) => LARGEST_OLD_EVENT,
            (_, Kind::Event) => LARGEST_EVENT,
            _ => LARGEST,
        }
    }
}

/// Whether a request asks for a tenant's environments, or for a durable execution. CreateFunction refuses both, so that no
/// function has them, and who asks relies on them. AWS: a tenant of a function without tenancy is an invalid parameter. The
/// words are after those for a function with tenancy and a request without a tenant; AWS's own nobody has shown.
fn unfit(headers: &HeaderMap, operation: Operation, constraints: &mut Constraints) -> Option<&'static str> {
    let mut asked = |header: &str, field: &str, pattern: &Pattern, longest: usize| {
        let Some(value) = headers.get(header) else { return false };
        let value = String::from_utf8_lossy(value.as_bytes());
        constraints.length(field, &value, 1..=longest);
        constraints.pattern(field, &value, pattern);
        true
    };
    if operation != Operation::InvokeAsync && asked("x-amz-tenant-id", "tenantId", &TENANT, 256) {
        return Some(
            "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try \
             again.",
        );
    }
    let execution = ("x-amz-durable-execution-name", "durableExecutionName");
    if operation == Operation::Invoke && asked(execution.0, execution.1, &EXECUTION, 64) {
        return Some(
            "The invoked function is not enabled with durable configuration. Remove the durable execution name from your \
             request and try again.",
        );
    }
    None
}

fn check_client_context(headers: &HeaderMap) -> Result<(), Error> {
    let Some(encoded) = headers.get("x-amz-client-context") else { return Ok(()) };
    let encoded = encoded.as_bytes();
    if encoded.len() > LARGEST_CLIENT_CONTEXT {
        let message = format!("Client context must be at most {LARGEST_CLIENT_CONTEXT} bytes.");
        return Err(Error::new(Code::InvalidRequestContent, message));
    }
    let object = base64_simd::STANDARD
        .decode_to_vec(encoded)
        .ok()
        .and_then(|json| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json).ok());
    match object {
        Some(_) => Ok(()),
        None => Err(Error::new(
            Code::InvalidRequestContent,
            "Client context must be a valid Base64-encoded JSON object.",
        )),
    }
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operation: Operation, headers: &[(&'static str, &str)]) -> Result<Asked, Error> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Asked::read(operation, &headers.collect())
    }

    #[test]
    fn the_head_says_when_to_answer() {
        let kind =
            |operation, value| read(operation, &[("x-amz-invocation-type", value)]).map(|asked| asked.kind);
        assert_eq!(read(Operation::Invoke, &[]).unwrap().kind, Kind::RequestResponse);
        assert_eq!(kind(Operation::Invoke, "Event").unwrap(), Kind::Event);
        assert_eq!(kind(Operation::Stream, "DryRun").unwrap(), Kind::DryRun);
        assert_eq!(kind(Operation::InvokeAsync, "nonsense").unwrap(), Kind::Event);
        assert_eq!(
            kind(Operation::Invoke, "Now").unwrap_err().message(),
            "1 validation error detected: Value 'Now' at 'invocationType' failed to satisfy constraint: Member must satisfy \
             enum value set: [Event, RequestResponse, DryRun]"
        );
        assert!(kind(Operation::Stream, "Event").is_err());
        assert!(read(Operation::Invoke, &[("x-amz-log-type", "All")]).is_err());
    }

    #[test]
    fn a_client_context_is_an_object_in_base64() {
        for (encoded, fine) in [("e30=", true), ("e30", false), ("IlwiIg==", false), ("W10=", false)] {
            assert_eq!(
                read(Operation::Invoke, &[("x-amz-client-context", encoded)]).is_ok(),
                fine,
                "{encoded}"
            );
        }
        // Nobody would hear it.
        let event = [("x-amz-client-context", "?"), ("x-amz-invocation-type", "Event")];
        assert!(read(Operation::Invoke, &event).is_ok());
    }

    #[test]
    fn tenants_and_durable_executions_are_refused_whenever_it_is_to_be_answered() {
        for kind in ["RequestResponse", "Event"] {
            for (header, value, words) in [
                ("x-amz-tenant-id", "blue", "not enabled with tenancy"),
                ("x-amz-durable-execution-name", "order-1", "not enabled with durable"),
            ] {
                let asked =
                    read(Operation::Invoke, &[("x-amz-invocation-type", kind), (header, value)]).unwrap();
                let refused = asked.check(b"{}").unwrap_err();
                assert_eq!(refused.code(), Code::InvalidParameterValue);
                assert!(refused.message().contains(words), "{refused}");
            }
        }
        let long = "x".repeat(257);
        for (header, value) in [
            ("x-amz-tenant-id", "a,b"),
            ("x-amz-tenant-id", ""),
            ("x-amz-tenant-id", long.as_str()),
            ("x-amz-durable-execution-name", "a b"),
        ] {
            let refused = read(Operation::Invoke, &[(header, value)]).unwrap_err();
            assert_eq!(refused.code(), Code::Validation, "{header}: {value}");
        }
    }

    #[test]
    fn sizes_are_lambdas() {
        let asked = |operation, kind| Asked { operation, kind, unfit: None };
        for (asked, limit) in [
            (asked(Operation::Invoke, Kind::RequestResponse), 6_291_456),
            (asked(Operation::Invoke, Kind::Event), 1_048_576),
            (asked(Operation::InvokeAsync, Kind::Event), 262_144),
        ] {
            let event = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
            assert!(asked.check(event(limit).as_bytes()).is_ok());
            assert_eq!(
                asked.check(event(limit + 1).as_bytes()).unwrap_err().code(),
                Code::RequestEntityTooLarge
            );
        }
        let told = |operation, kind, length| asked(operation, kind).too_large(length).message().to_owned();
        let door = "Request must be smaller than 6291456 bytes for the InvokeFunction operation";
        assert_eq!(told(Operation::Invoke, Kind::RequestResponse, 6_291_457), door);
        assert_eq!(
            told(Operation::Invoke, Kind::Event, 1_525_970),
            "1525970 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
        );
        assert_eq!(told(Operation::Invoke, Kind::Event, 6_291_457), door);
        assert_eq!(
            told(Operation::InvokeAsync, Kind::Event, 262_145),
            "Request must be smaller than 262144 bytes for the InvokeAsync operation"
        );
    }
}
