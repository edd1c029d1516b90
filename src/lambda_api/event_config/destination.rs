//! Where the outcome of an asynchronous invocation may go.

use serde::{Deserialize, Serialize};

use crate::lambda_api::{
    body::{Constraints, Fields, Pattern},
    error::Error,
    name::Name,
};

/// Without `kafka://`, which only a mapping's records may go to.
static PATTERN: Pattern = Pattern::new(
    r"^$|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)",
);

/// An ARN for each outcome; either may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Destinations {
    /// Where an event goes with what the function answered.
    pub on_success: Destination,
    /// Where it goes when it is given up.
    pub on_failure: Destination,
}

/// One of them. AWS answers `{}` where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Destination {
    /// Its ARN.
    #[serde(rename = "Destination", skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
}

impl Destinations {
    /// Reads a `DestinationConfig`; what the front door refuses goes to `constraints`.
    pub(in crate::lambda_api) fn read(
        fields: Fields<'_>,
        constraints: &mut Constraints,
    ) -> Result<Self, Error> {
        let mut read = |member: &str, field: &str| -> Result<Destination, Error> {
            let Some(inner) = fields.object(member)? else { return Ok(Destination::default()) };
            let arn = inner.text("Destination")?.unwrap_or_default();
            constraints.length(field, arn, 0..=350);
            constraints.pattern(field, arn, &PATTERN);
            // An empty text takes a destination away.
            Ok(Destination { arn: (!arn.is_empty()).then(|| arn.to_owned()) })
        };
        Ok(Self {
            on_success: read("OnSuccess", "destinationConfig.onSuccess.destination")?,
            on_failure: read("OnFailure", "destinationConfig.onFailure.destination")?,
        })
    }

    /// Whether `function` may send there; `exists` says whether a name means a function, a version or an alias.
    pub(super) fn check(&self, function: &str, exists: impl Fn(&Name) -> bool) -> Result<(), Error> {
        let mut possible = true;
        for (destination, failure) in [(&self.on_failure, true), (&self.on_success, false)] {
            let Some(arn) = &destination.arn else { continue };
            match Kind::of(arn) {
                Kind::Function(name) if name.function == function => {
                    return Err(Error::invalid(
                        "You can't specify the function as a destination for itself.",
                    ));
                }
                Kind::Function(name) if !exists(&name) => {
                    return Err(Error::invalid(format!("The destination ARN {arn} is invalid.")));
                }
                Kind::Function(_) | Kind::Target | Kind::Bus => {}
                Kind::Bucket => possible &= failure,
                Kind::Other => possible = false,
            }
        }
        if possible {
            Ok(())
        } else {
            Err(Error::invalid(format!("The provided destination config {} is invalid.", self.shown())))
        }
    }

    /// As AWS's implementation prints it.
    fn shown(&self) -> String {
        let show = |name: &str, destination: &Destination| match &destination.arn {
            Some(arn) => format!("{name}(destination={arn})"),
            None => "null".to_owned(),
        };
        format!(
            "DestinationConfig(onSuccess={}, onFailure={})",
            show("OnSuccess", &self.on_success),
            show("OnFailure", &self.on_failure)
        )
    }
}

/// Whether events that were given up may go there, as they came. AWS: to a standard queue or a standard topic.
pub(in crate::lambda_api) fn takes_dead_letters(arn: &str) -> bool {
    matches!(Kind::of(arn), Kind::Target)
}

enum Kind {
    Function(Name),
    /// A queue, a topic.
    Target,
    Bus,
    /// Takes failures alone.
    Bucket,
    Other,
}

impl Kind {
    fn of(arn: &str) -> Self {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [_, _, service, _, _, resource] = parts[..] else { return Self::Other };
        match service {
            "lambda" => match resource.strip_prefix("function:") {
                Some(name) => Self::Function(Name::split(name)),
                None => Self::Other,
            },
            // Order is not kept here, and both would promise it.
            "sqs" | "sns" if resource.ends_with(".fifo") => Self::Other,
            "sqs" | "sns" => Self::Target,
            "events" => Self::Bus,
            "s3" => Self::Bucket,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lambda_api::body::Body;

    fn read(config: &Value) -> Result<Destinations, Error> {
        let body = Body::parse(config.to_string().into()).unwrap();
        let mut constraints = Constraints::default();
        let read = Destinations::read(body.fields(), &mut constraints)?;
        constraints.check()?;
        Ok(read)
    }

    fn is_other(name: &Name) -> bool {
        name.function == "other"
    }

    fn refusal(config: Value) -> String {
        read(&config).unwrap().check("me", is_other).unwrap_err().message().to_owned()
    }

    #[test]
    fn what_is_not_set_is_an_empty_object() {
        let read = read(
            &json!({"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}, "OnSuccess": {"Destination": ""}}),
        );
        assert_eq!(
            serde_json::to_value(read.unwrap()).unwrap(),
            json!({"OnSuccess": {}, "OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}})
        );
    }

    #[test]
    fn texts_that_are_no_arn_are_refused_at_the_door() {
        let refused = read(&json!({"OnFailure": {"Destination": "nowhere"}})).unwrap_err();
        assert!(refused.message().starts_with(
            "1 validation error detected: Value 'nowhere' at 'destinationConfig.onFailure.destination' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: ^$|arn:(aws"
        ));
    }

    #[test]
    fn a_function_is_no_destination_of_its_own() {
        let lambda = |name: &str| format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
        assert_eq!(
            refusal(json!({"OnSuccess": {"Destination": lambda("me:1")}})),
            "You can't specify the function as a destination for itself."
        );
        assert_eq!(
            refusal(json!({"OnSuccess": {"Destination": lambda("none")}})),
            format!("The destination ARN {} is invalid.", lambda("none"))
        );
        let other = read(&json!({"OnSuccess": {"Destination": lambda("other")}})).unwrap();
        assert_eq!(other.check("me", is_other), Ok(()));
    }

    #[test]
    fn other_services_are_refused_and_buckets_take_failures_alone() {
        let bucket = "arn:aws:s3:::bucket";
        assert_eq!(
            refusal(json!({"OnSuccess": {"Destination": bucket}})),
            "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:s3:::bucket), \
             onFailure=null) is invalid."
        );
        let failures = read(&json!({"OnFailure": {"Destination": bucket}})).unwrap();
        assert_eq!(failures.check("me", |_| false), Ok(()));
        for wrong in ["arn:aws:iam::000000000000:role/r", "arn:aws:sqs:us-east-1:000000000000:q.fifo"] {
            assert!(refusal(json!({"OnFailure": {"Destination": wrong}})).contains("is invalid."));
        }
    }
}
