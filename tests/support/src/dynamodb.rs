//! The other side of a DynamoDB mapping: tables with streams, changed behind the bridge's back.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PutRequest,
    ScalarAttributeType, StreamSpecification, StreamViewType, WriteRequest,
};

use crate::calls::{answer, done, ending};

/// DynamoDB: items in one call.
const MOST: usize = 25;

/// A table with a stream on a server of the test's; its key is a text, `id` unless set.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    endpoint: String,
    /// Its name.
    pub name: String,
    /// Its stream's ARN, as the server says.
    pub stream: String,
}

impl Table {
    /// A table. `name` need only be good in this test: others get another ending.
    pub fn new(endpoint: &str, name: &str, view: StreamViewType) -> Self {
        Self::with_key(endpoint, name, view, "id")
    }

    /// The same with another name for the key.
    pub fn with_key(endpoint: &str, name: &str, view: StreamViewType, key_name: &str) -> Self {
        let client = client(endpoint);
        let name = format!("{name}-{}", ending());
        let key =
            AttributeDefinition::builder().attribute_name(key_name).attribute_type(ScalarAttributeType::S);
        let schema = KeySchemaElement::builder().attribute_name(key_name).key_type(KeyType::Hash);
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view);
        let call = client
            .create_table()
            .table_name(&name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(key.build().expect("name and type are set"))
            .key_schema(schema.build().expect("name and type are set"))
            .stream_specification(stream.build().expect("enabled is set"));
        let table = done(call.send()).table_description.expect("a created table is described");
        let stream = table.latest_stream_arn.expect("a table with a stream has its ARN");
        Self { client, endpoint: endpoint.to_owned(), name, stream }
    }

    /// An `EventSourceMapping` from its stream to `sink`, named as the table; `spec` holds more lines for its spec, the
    /// starting position among them.
    pub fn mapping(&self, sink: &str, spec: &str) -> String {
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        let (name, arn, endpoint) = (&self.name, &self.stream, &self.endpoint);
        format!(
            "---\napiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {{name: {name}}}\nspec:\n  \
             eventSourceArn: {arn}\n  endpoint: {endpoint}\n  functionName: function-of-{name}\n  \
             sink: {{uri: \"{sink}\"}}\n{spec}"
        )
    }

    /// Puts an item whose `body` is this. (One that changes nothing is no record.)
    pub fn put(&self, id: &str, body: &str) {
        self.put_item(id, [("body".to_owned(), AttributeValue::S(body.to_owned()))].into());
    }

    /// Puts an item with these attributes.
    pub fn put_item(&self, id: &str, mut item: HashMap<String, AttributeValue>) {
        item.insert("id".to_owned(), AttributeValue::S(id.to_owned()));
        self.put_whole(item);
    }

    /// Puts this item, its key among its attributes.
    pub fn put_whole(&self, item: HashMap<String, AttributeValue>) {
        done(self.client.put_item().table_name(&self.name).set_item(Some(item)).send());
    }

    /// Puts items whose `body` is this, many at once. In order; of two with one `id` in the same 25, the server takes none.
    pub fn put_many(&self, items: &[(String, String)]) {
        let put = |(id, body): &(String, String)| {
            let text = |text: &String| AttributeValue::S(text.clone());
            let put = PutRequest::builder().item("id", text(id)).item("body", text(body));
            WriteRequest::builder().put_request(put.build().expect("an item is set")).build()
        };
        for some in items.chunks(MOST) {
            let call =
                self.client.batch_write_item().request_items(&self.name, some.iter().map(put).collect());
            let left = done(call.send()).unprocessed_items.unwrap_or_default();
            assert!(left.is_empty(), "all items are taken");
        }
    }

    /// Deletes an item.
    pub fn delete_item(&self, id: &str) {
        let key = AttributeValue::S(id.to_owned());
        done(self.client.delete_item().table_name(&self.name).key("id", key).send());
    }

    /// Deletes the table; its stream goes with it.
    pub fn delete(&self) {
        done(self.client.delete_table().table_name(&self.name).send());
    }
}

/// A table in which `klr` keeps positions: who reads what, and how far it is.
#[derive(Debug)]
pub struct Rows {
    client: Client,
    /// Its name; `klr` makes it.
    pub table: String,
}

impl Rows {
    /// Of a table that is not there yet.
    pub fn new(endpoint: &str, name: &str) -> Self {
        Self { client: client(endpoint), table: format!("{name}-{}", ending()) }
    }

    /// The sequence number each shard is done to, of those that have come so far.
    pub fn positions(&self) -> BTreeMap<String, String> {
        self.rows("at")
    }

    /// The member that reads each shard.
    pub fn owners(&self) -> BTreeMap<String, String> {
        self.rows("owner")
    }

    fn rows(&self, column: &str) -> BTreeMap<String, String> {
        let items = self.items().into_iter().filter(|item| text(item, "mark").is_some());
        items.filter_map(|item| Some((text(&item, "partition")?, text(&item, column)?))).collect()
    }

    /// Who is alive, or has not been dead for long.
    pub fn members(&self) -> Vec<String> {
        let items = self.items().into_iter().filter(|item| item.contains_key("beat"));
        items.filter_map(|item| text(&item, "partition")).collect()
    }

    /// Nothing, as long as there is no such table.
    fn items(&self) -> Vec<HashMap<String, AttributeValue>> {
        let answer = answer(self.client.scan().table_name(&self.table).consistent_read(true).send());
        answer.ok().and_then(|answer| answer.items).unwrap_or_default()
    }
}

fn text(item: &HashMap<String, AttributeValue>, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "for an emulator"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}
