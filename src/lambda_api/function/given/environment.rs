//! A function's own variables.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::super::{
    body::{Body, Constraints, Pattern},
    error::Error,
};

/// As JSON.
const LARGEST: usize = 4096;

/// Those the platform sets itself.
const RESERVED: [&str; 19] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

static NAME: Pattern = Pattern::new(r"[a-zA-Z]([a-zA-Z0-9_])+");

/// `Environment`.
#[derive(Debug)]
pub(super) struct Given {
    /// `None`: it was there and empty.
    variables: Option<BTreeMap<String, String>>,
    /// In which they were given.
    order: Vec<String>,
}

impl Given {
    pub(super) fn read(body: &Body) -> Result<Option<Self>, Error> {
        let Some(environment) = body.fields().object("Environment")? else { return Ok(None) };
        let variables = environment.map("Variables")?;
        Ok(Some(Self { variables, order: body.keys("Environment", "Variables") }))
    }

    pub(super) fn constrain(&self, constraints: &mut Constraints) {
        // What the platform reserves may begin with an underscore, and is refused by name.
        let fits = |name: &String| NAME.matches(name) || RESERVED.contains(&name.as_str());
        if !self.variables.iter().flat_map(BTreeMap::keys).all(fits) {
            let constraint = format!(
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: {}, Member must not be null]",
                NAME.text()
            );
            constraints.hidden("environment.variables", constraint);
        }
    }

    /// The variables, if they may be set.
    pub(super) fn checked(self) -> Result<Option<BTreeMap<String, String>>, Error> {
        let Some(variables) = self.variables else { return Ok(None) };
        let reserved: Vec<_> =
            variables.keys().filter(|name| RESERVED.contains(&name.as_str())).map(String::as_str).collect();
        if !reserved.is_empty() {
            return Err(Error::invalid(format!(
                "Lambda was unable to configure your environment variables because the environment variables you have \
                 provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
                 this request: {}",
                reserved.join(", ")
            )));
        }
        let text = measured(&variables, &self.order);
        if text.len() > LARGEST {
            return Err(Error::invalid(format!(
                "Lambda was unable to configure your environment variables because the environment variables you have \
                 provided exceeded the 4KB limit. String measured: {text}"
            )));
        }
        Ok(Some(variables))
    }
}

/// What AWS measures: the variables as JSON, in the order they were given.
fn measured(variables: &BTreeMap<String, String>, order: &[String]) -> String {
    let pair = |name: &String| Some(format!("{}:{}", json!(name), json!(variables.get(name)?)));
    format!("{{{}}}", order.iter().filter_map(pair).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        let pairs = || pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Given { variables: Some(pairs().collect()), order: pairs().map(|(name, _)| name).collect() }
    }

    #[test]
    fn the_order_given_is_the_order_measured() {
        let body = r#"{"Environment": {"Variables": {"Z": "1", "A": "2", "M": "\u00e9"}}}"#;
        let given = Given::read(&Body::parse(body.into()).unwrap()).unwrap().unwrap();
        assert_eq!(measured(given.variables.as_ref().unwrap(), &given.order), r#"{"Z":"1","A":"2","M":"é"}"#);
    }

    #[test]
    fn size_and_reserved_names() {
        // {"KEY":"…"} are ten characters around the value.
        let near = "x".repeat(LARGEST - 10);
        assert_eq!(given(&[("KEY", &near)]).checked().unwrap().unwrap()["KEY"], near);
        let over = given(&[("KEY", &format!("{near}x"))]).checked().unwrap_err();
        assert!(over.message().contains("exceeded the 4KB limit. String measured: {\"KEY\":\"xxx"));
        let reserved =
            given(&[("AWS_REGION", "x"), ("LAMBDA_TASK_ROOT", "x"), ("MINE", "x")]).checked().unwrap_err();
        assert!(
            reserved.message().ends_with("Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT")
        );
        let mut constraints = Constraints::default();
        given(&[("1A", "secret"), ("_HANDLER", "x")]).constrain(&mut constraints);
        assert_eq!(
            constraints.check().unwrap_err().message(),
            "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must \
             satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+, Member must not \
             be null]"
        );
    }
}
