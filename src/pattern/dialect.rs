//! Who reads a pattern, and which operators it takes.

/// The service a pattern is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// EventBridge rules: all of event-ruler's grammar.
    #[default]
    EventBridge,
    /// Lambda filter criteria. The page lists fewer operators than the service is said to take: all are taken, unless
    /// `strict`.
    Lambda {
        /// Whose records are matched: where their data is.
        source: Source,
        /// Refuse what Lambda's page does not list.
        strict: bool,
    },
    /// SNS filter policies on message attributes: flat, and fewer operators.
    SnsAttributes,
    /// SNS filter policies on a message body.
    SnsBody,
}

/// What a Lambda event source mapping reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `body`: text.
    Sqs,
    /// `data`: base64. The record nests it in `kinesis`, a pattern does not.
    Kinesis,
    /// `dynamodb`, as it is.
    DynamoDb,
    /// `value`: base64.
    Kafka,
    /// `data`: base64.
    Mq,
}

impl Source {
    /// The key that carries a record's data.
    pub fn data(self) -> &'static str {
        match self {
            Self::Sqs => "body",
            Self::Kinesis | Self::Mq => "data",
            Self::DynamoDb => "dynamodb",
            Self::Kafka => "value",
        }
    }

    /// A mismatch of formats is passed on, not dropped: the part of the pattern about the data is then left out.
    pub fn passes_mismatches(self) -> bool {
        matches!(self, Self::Kafka | Self::Mq)
    }
}

/// What a matcher can ask beside equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Exactly,
    Prefix,
    PrefixIgnoreCase,
    Suffix,
    SuffixIgnoreCase,
    EqualsIgnoreCase,
    Wildcard,
    AnythingBut,
    AnythingButPrefix,
    AnythingButSuffix,
    AnythingButEqualsIgnoreCase,
    AnythingButWildcard,
    Numeric,
    Cidr,
    Exists,
}

/// Their names, as a matcher has them.
pub(super) const NAMES: &[&str] =
    &["anything-but", "cidr", "equals-ignore-case", "exists", "numeric", "prefix", "suffix", "wildcard"];

impl Dialect {
    pub(super) fn takes(self, operator: Operator) -> bool {
        use Operator::*;
        match self {
            Self::EventBridge | Self::Lambda { strict: false, .. } => true,
            Self::Lambda { strict: true, .. } => {
                matches!(operator, Prefix | Suffix | EqualsIgnoreCase | AnythingBut | Numeric | Exists)
            }
            Self::SnsAttributes | Self::SnsBody => !matches!(
                operator,
                Exactly | PrefixIgnoreCase | SuffixIgnoreCase | AnythingButEqualsIgnoreCase
            ),
        }
    }

    /// How the service's refusal begins.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::EventBridge => "Event pattern is not valid. Reason: ",
            Self::Lambda { .. } => "Invalid filter pattern definition.",
            Self::SnsAttributes | Self::SnsBody => "Invalid parameter: FilterPolicy: ",
        }
    }

    pub(super) fn terse(self) -> bool {
        matches!(self, Self::Lambda { .. })
    }

    pub(super) fn source(self) -> Option<Source> {
        match self {
            Self::Lambda { source, .. } => Some(source),
            _ => None,
        }
    }

    pub(super) fn sns(self) -> bool {
        matches!(self, Self::SnsAttributes | Self::SnsBody)
    }
}
