//! `LoggingConfig`.

use super::super::{
    super::{
        body::{Constraints, Fields, Pattern},
        error::Error,
    },
    Logging,
};

static GROUP: Pattern = Pattern::new(r"[\.\-_/#A-Za-z0-9]+");

/// As much of it as was given.
#[derive(Debug)]
pub(in super::super) struct Given {
    format: Option<String>,
    application_level: Option<String>,
    system_level: Option<String>,
    group: Option<String>,
}

impl Given {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Option<Self>, Error> {
        let Some(logging) = fields.object("LoggingConfig")? else { return Ok(None) };
        Ok(Some(Self {
            format: logging.owned("LogFormat")?,
            application_level: logging.owned("ApplicationLogLevel")?,
            system_level: logging.owned("SystemLogLevel")?,
            group: logging.owned("LogGroup")?,
        }))
    }

    pub(super) fn constrain(&self, constraints: &mut Constraints) {
        if let Some(format) = &self.format {
            constraints.one_of("loggingConfig.logFormat", format, &["JSON", "Text"]);
        }
        if let Some(level) = &self.application_level {
            let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
            constraints.one_of("loggingConfig.applicationLogLevel", level, &levels);
        }
        if let Some(level) = &self.system_level {
            constraints.one_of("loggingConfig.systemLogLevel", level, &["DEBUG", "INFO", "WARN"]);
        }
        if let Some(group) = &self.group {
            constraints.length("loggingConfig.logGroup", group, 1..=512);
            constraints.pattern("loggingConfig.logGroup", group, &GROUP);
        }
    }

    /// Put over what was there. JSON has levels, INFO unless given; text has none.
    pub(super) fn over(self, old: &Logging) -> Result<Logging, Error> {
        let format = self.format.unwrap_or_else(|| old.format.clone());
        let group = self.group.unwrap_or_else(|| old.group.clone());
        if format == "Text" {
            if self.application_level.is_some() || self.system_level.is_some() {
                return Err(Error::invalid(
                    "ApplicationLogLevel and SystemLogLevel can only be set when LogFormat is JSON.",
                ));
            }
            return Ok(Logging { format, application_level: None, system_level: None, group });
        }
        let level = |new: Option<String>, old: &Option<String>| {
            new.or_else(|| old.clone()).or_else(|| Some("INFO".to_owned()))
        };
        Ok(Logging {
            application_level: level(self.application_level, &old.application_level),
            system_level: level(self.system_level, &old.system_level),
            format,
            group,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lambda_api::body::Body;

    fn over(old: &Logging, given: serde_json::Value) -> Result<Logging, Error> {
        let body = Body::parse(json!({ "LoggingConfig": given }).to_string().into()).unwrap();
        Given::read(&body.fields()).unwrap().unwrap().over(old)
    }

    #[test]
    fn json_has_levels_and_text_has_none() {
        let text = Logging {
            format: "Text".to_owned(),
            application_level: None,
            system_level: None,
            group: "/aws/lambda/f".to_owned(),
        };
        let json = over(&text, json!({ "LogFormat": "JSON", "SystemLogLevel": "WARN" })).unwrap();
        assert_eq!(json.application_level.as_deref(), Some("INFO"));
        assert_eq!(json.system_level.as_deref(), Some("WARN"));
        assert_eq!(over(&json, json!({ "LogFormat": "Text" })).unwrap(), text);
        let named = over(&json, json!({ "LogGroup": "mine" })).unwrap();
        assert_eq!((named.group.as_str(), named.system_level.as_deref()), ("mine", Some("WARN")));
        assert!(over(&text, json!({ "ApplicationLogLevel": "INFO" })).is_err());
    }
}
