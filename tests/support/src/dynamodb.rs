//! The other side of a DynamoDB mapping: tables with streams, changed behind the bridge's back.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};

use crate::calls::{done, ending};

/// A table with a stream on a server of the test's; its key is the text `id`.
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
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "for an emulator"))
            .endpoint_url(endpoint);
        let client = Client::from_conf(config.build());
        let name = format!("{name}-{}", ending());
        let key = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        let schema = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
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
        done(self.client.put_item().table_name(&self.name).set_item(Some(item)).send());
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
