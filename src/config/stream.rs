//! What a mapping says about a stream of shards: Kinesis, DynamoDB Streams.

use klr_aws::{Arn, shards::OnLostPosition};

use super::{
    mapping::Source,
    node::Fields,
    start::{self, Start},
};

/// A Kinesis stream, or a consumer of one.
#[cfg(feature = "kinesis")]
pub(super) fn kinesis(spec: &Fields, mapping: uuid::Uuid) -> Option<Source> {
    let (start, lost) = (start::read(spec), on_lost_position(spec));
    let node = spec.get("eventSourceArn")?;
    let arn: Arn = node.text()?.parse().ok()?;
    let config = klr_kinesis::Config::new(arn, mapping.to_string());
    let mut config = config.map_err(|_| {
        node.wrong("must be a stream's ARN, as arn:aws:kinesis:us-east-1:123456789012:stream/orders, or a consumer's");
    });
    if let Ok(config) = &mut config {
        config.endpoint = spec.get("endpoint").and_then(|node| super::endpoint(&node));
        config.on_lost_position = lost;
        config.start = match start? {
            Start::TrimHorizon => klr_kinesis::Start::TrimHorizon,
            Start::Latest => klr_kinesis::Start::Latest,
            Start::AtTimestamp(time) => klr_kinesis::Start::AtTimestamp(time),
        };
    }
    config.ok().map(Source::Kinesis)
}

/// A table's stream.
#[cfg(feature = "dynamodb")]
pub(super) fn dynamodb(spec: &Fields, mapping: uuid::Uuid) -> Option<Source> {
    let (start, lost) = (start::read(spec), on_lost_position(spec));
    let node = spec.get("eventSourceArn")?;
    let text = node.text()?;
    let arn: Arn = text.parse().ok()?;
    let Ok(mut config) = klr_dynamodb::Config::new(arn, mapping.to_string()) else {
        return node.refuse(
            "must be the ARN of a table's stream, as \
             arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000",
        );
    };
    config.endpoint = spec.get("endpoint").and_then(|node| super::endpoint(&node));
    config.on_lost_position = lost;
    config.start = match start? {
        Start::TrimHorizon => klr_dynamodb::Start::TrimHorizon,
        Start::Latest => klr_dynamodb::Start::Latest,
        Start::AtTimestamp(_) => {
            let node = spec.get("startingPosition")?;
            return node.refuse(format!("Unsupported starting position for arn type: {text}"));
        }
    };
    Some(Source::DynamoDb(config))
}

/// Ours: AWS goes on at the oldest record, and does not say so.
fn on_lost_position(spec: &Fields) -> OnLostPosition {
    let known = [
        ("earliest", OnLostPosition::Earliest),
        ("latest", OnLostPosition::Latest),
        ("stop", OnLostPosition::Stop),
    ];
    spec.get("onLostPosition").and_then(|node| node.one_of(&known)).unwrap_or_default()
}
