//! A mapping as it is kept, and as it is answered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{kind::Kind, settings::Settings};

/// AWS's states. Those in `-ing` are on their way to one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// New, and to be started.
    Creating,
    /// To be started again.
    Enabling,
    /// Reading.
    Enabled,
    /// To be stopped.
    Disabling,
    /// Not reading; where it was is kept.
    Disabled,
    /// To be stopped and started with other settings, unless it is disabled.
    Updating {
        /// Whether it is to read afterwards.
        enabled: bool,
    },
    /// To be stopped and forgotten.
    Deleting,
}

impl State {
    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Enabled => "Enabled",
            Self::Disabling => "Disabling",
            Self::Disabled => "Disabled",
            Self::Updating { .. } => "Updating",
            Self::Deleting => "Deleting",
        }
    }

    /// Whether it reads, or will.
    pub fn runs(self) -> bool {
        matches!(self, Self::Creating | Self::Enabling | Self::Enabled | Self::Updating { enabled: true })
    }

    /// Where it is when what goes on is done; `None`: nowhere.
    pub fn settled(self) -> Option<Self> {
        match self {
            Self::Deleting => None,
            state if state.runs() => Some(Self::Enabled),
            _ => Some(Self::Disabled),
        }
    }

    /// What an update makes of it. AWS: only a change of `Enabled` is more than an update.
    pub fn updated(self, enabled: Option<bool>) -> Self {
        match (self.runs(), enabled) {
            (false, Some(true)) => Self::Enabling,
            (true, Some(false)) => Self::Disabling,
            (enabled, _) => Self::Updating { enabled },
        }
    }
}

/// A mapping, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// What names it.
    pub uuid: Uuid,
    /// With its version or alias, if the caller named one: `:$LATEST` is another answer than none.
    pub function_arn: String,
    pub(super) settings: Settings,
    /// Where it is.
    pub state: State,
    /// When somebody, or we, changed it.
    pub modified: Timestamp,
    /// Given on create, and by the tagging operations since.
    pub tags: BTreeMap<String, String>,
    /// What it said of its work when it was stopped.
    pub result: Option<String>,
}

/// What a running mapping says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Live {
    /// `OK`, `No records processed`, `PROBLEM: …`.
    pub result: Option<String>,
    /// Why it does not go on, if it does not.
    pub halted: Option<String>,
}

impl Mapping {
    /// What it reads.
    pub(super) fn kind(&self) -> Kind {
        Kind::of(&self.settings).expect("checked when it was made")
    }

    /// The source, as its ARN has it.
    pub fn event_source_arn(&self) -> Option<&str> {
        self.settings.event_source_arn.as_deref()
    }

    /// `EventSourceMappingArn`.
    pub fn arn(&self, region: &str, account: &str) -> String {
        format!(
            "arn:{}:lambda:{region}:{account}:event-source-mapping:{}",
            klr_host::partition(region),
            self.uuid
        )
    }

    /// The answer. `listed`: AWS shows no encrypted criteria in a listing.
    pub(super) fn answer(&self, arn: String, live: &Live, listed: bool) -> Value {
        let kind = self.kind();
        let settings = serde_json::to_value(&self.settings).expect("plain members");
        let mut answer = match settings {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        if listed && self.settings.kms_key_arn.is_some() {
            answer.remove("FilterCriteria");
        }
        let stopped = live.halted.as_ref().filter(|_| self.state == State::Enabled);
        let (state, reason) = match stopped {
            Some(why) => (State::Disabled, why.as_str()),
            None => (self.state, kind.reason()),
        };
        answer.insert("UUID".into(), self.uuid.to_string().into());
        answer.insert("EventSourceMappingArn".into(), arn.into());
        answer.insert("FunctionArn".into(), self.function_arn.clone().into());
        answer.insert("LastModified".into(), json!(self.modified.as_millisecond() as f64 / 1000.0));
        answer.insert("State".into(), state.name().into());
        answer.insert("StateTransitionReason".into(), reason.into());
        let said = live.result.as_ref().or(self.result.as_ref());
        let result = said.map_or("No records processed", String::as_str);
        // AWS does not say it of queues; that something is wrong we do.
        if kind != Kind::Sqs || result.starts_with("PROBLEM") {
            answer.insert("LastProcessingResult".into(), result.into());
        }
        Value::Object(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_follow_one_another_as_on_aws() {
        use State::*;
        assert_eq!(Disabled.updated(Some(true)), Enabling);
        assert_eq!(Enabled.updated(Some(false)), Disabling);
        assert_eq!(Enabled.updated(Some(true)), Updating { enabled: true });
        assert_eq!(Disabled.updated(None), Updating { enabled: false });
        assert_eq!(Updating { enabled: false }.settled(), Some(Disabled));
        assert_eq!([Creating, Enabling, Updating { enabled: true }].map(State::settled), [Some(Enabled); 3]);
        assert_eq!((Disabling.settled(), Deleting.settled()), (Some(Disabled), None));
    }
}
