//! Streams and tables can be made, filled and changed.

use aws_sdk_dynamodb::types::StreamViewType;
use klr_test_support::dynamodb::Table;
use klr_test_support::kinesis::Stream;
use klr_test_support::servers::{DynamoDbLocal, KinesisMock};

#[test]
fn a_stream_is_filled_split_merged_and_made_again() {
    let Some(server) = KinesisMock::shared() else { return };
    let stream = Stream::new(&server.endpoint, "orders", 1);
    stream.put([("key", &b"data"[..])]);
    stream.put_to(0, &["more".to_owned()]);
    stream.split(0);
    stream.merge(1, 2);
    assert_eq!(stream.shards().len(), 4);
    stream.delete();
    stream.create(2);
    assert_eq!(stream.shards().len(), 2);
    assert!(stream.mapping("http://sink", "startingPosition: LATEST").contains(&stream.arn()));
}

#[test]
fn a_table_has_a_stream() {
    let Some(server) = DynamoDbLocal::shared() else { return };
    let table = Table::new(&server.endpoint, "orders", StreamViewType::NewImage);
    table.put("1", "a");
    table.delete_item("1");
    let mapping = table.mapping("http://sink", "startingPosition: TRIM_HORIZON");
    assert!(mapping.contains(&table.stream) && table.stream.contains("/stream/"));
    table.delete();
}
