//! Every call to DynamoDB.

use std::error::Error as StdError;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::put_item::PutItemError,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
        ReturnValuesOnConditionCheckFailure, ScalarAttributeType,
    },
};
use klr_contract::{Error, Row};

use super::{
    super::Error as StateError,
    item::{self, Item},
};

/// The code of an error that says that the table is not there.
pub(super) const MISSING: &str = "state-table-missing";

#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    table: String,
    region: String,
    endpoint: Option<String>,
}

impl Remote {
    pub async fn new(table: String, region: String, endpoint: Option<String>) -> Self {
        let client = Client::new(&klr_aws::config(&region, "DYNAMODB", endpoint.as_deref()).await);
        Self { client, table, region, endpoint }
    }

    /// Puts a row over its version; whether it was accepted. `write` is of this call alone.
    pub async fn put(&self, mapping: &str, row: &Row, write: &str) -> Result<bool, Error> {
        let call = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::encode(mapping, row, write)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#version", item::VERSION);
        let call = match row.version {
            0 => call.condition_expression("attribute_not_exists(#version)"),
            version => call
                .condition_expression("#version = :version")
                .expression_attribute_values(":version", item::number(version)),
        };
        match call.send().await {
            Ok(_) => Ok(true),
            // The SDK repeats a call whose answer was lost; the repetition then meets what the first has written.
            Err(error) => match refused(&error) {
                Some(stored) => Ok(stored.is_some_and(|stored| item::is_by(stored, write))),
                None => Err(self.failed("PutItem", &error)),
            },
        }
    }

    /// All rows of a mapping.
    pub async fn rows(&self, mapping: &str) -> Result<Vec<Row>, Error> {
        let items = self.query(mapping).await?;
        items.iter().map(|item| Ok(item::decode(mapping, item)?)).collect()
    }

    /// Deletes a row that is at its version.
    pub async fn delete(&self, mapping: &str, row: &Row) -> Result<(), Error> {
        self.delete_at(item::key(mapping, &row.partition), item::VERSION, row.version).await
    }

    /// Stores how far a member has counted.
    pub async fn beat(&self, member: &str, beat: u64) -> Result<(), Error> {
        let call = self.client.put_item().table_name(&self.table);
        let call = call.set_item(Some(item::heartbeat(member, beat)));
        call.send().await.map(drop).map_err(|error| self.failed("PutItem", &error))
    }

    /// How far each member has counted.
    pub async fn beats(&self) -> Result<Vec<(String, u64)>, Error> {
        Ok(self.query(item::MEMBERS).await?.iter().filter_map(item::beat).collect())
    }

    /// Deletes a member that has counted no further.
    pub async fn bury(&self, member: &str, beat: u64) -> Result<(), Error> {
        self.delete_at(item::key(item::MEMBERS, member), item::BEAT, beat).await
    }

    /// Deletes a member.
    pub async fn leave(&self, member: &str) -> Result<(), Error> {
        let call = self.client.delete_item().table_name(&self.table);
        let call = call.set_key(Some(item::key(item::MEMBERS, member)));
        call.send().await.map(drop).map_err(|error| self.failed("DeleteItem", &error))
    }

    /// Deletes an item whose number is this one; leaves any other.
    async fn delete_at(&self, key: Item, name: &str, number: u64) -> Result<(), Error> {
        let call = self.client.delete_item().table_name(&self.table).set_key(Some(key));
        let call = call
            .condition_expression("#name = :number")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":number", item::number(number));
        match call.send().await {
            Err(SdkError::ServiceError(refusal)) if refusal.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            answer => answer.map(drop).map_err(|error| self.failed("DeleteItem", &error)),
        }
    }

    /// Everything under one hash key, as it is now: an eventually consistent read may be of before our last write.
    async fn query(&self, hash: &str) -> Result<Vec<Item>, Error> {
        let call = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#hash = :hash")
            .expression_attribute_names("#hash", item::HASH)
            .expression_attribute_values(":hash", AttributeValue::S(hash.to_owned()));
        let items = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        items.map_err(|error| self.failed("Query", &error))
    }

    /// Creates the table. It cannot be used at once.
    pub async fn create(&self) -> Result<(), StateError> {
        let mut call =
            self.client.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [(item::HASH, KeyType::Hash), (item::RANGE, KeyType::Range)] {
            let attribute =
                AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
            call = call
                .attribute_definitions(attribute.build().expect("a name and a type"))
                .key_schema(key.build().expect("a name and a type"));
        }
        match call.send().await {
            Ok(_) => {
                tracing::info!(table = self.table, region = self.region, "DynamoDB table created");
                Ok(())
            }
            // Another member was first.
            Err(SdkError::ServiceError(refusal)) if refusal.err().is_resource_in_use_exception() => Ok(()),
            Err(error) => Err(StateError::NoTable {
                table: self.table.clone(),
                region: self.region.clone(),
                why: self.failed("CreateTable", &error).to_string(),
                command: self.command(),
            }),
        }
    }

    /// What somebody with the permission runs.
    fn command(&self) -> String {
        let (table, region, hash, range) = (&self.table, &self.region, item::HASH, item::RANGE);
        let endpoint = self.endpoint.as_ref().map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
        format!(
            "aws dynamodb create-table --table-name {table} --region {region}{endpoint} \
             --attribute-definitions AttributeName={hash},AttributeType=S AttributeName={range},AttributeType=S \
             --key-schema AttributeName={hash},KeyType=HASH AttributeName={range},KeyType=RANGE \
             --billing-mode PAY_PER_REQUEST"
        )
    }

    fn failed<E>(&self, operation: &str, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        if error.code() == Some("ResourceNotFoundException") {
            let Self { table, region, .. } = self;
            return Error::retry(
                MISSING,
                format!("expected the DynamoDB table {table} in {region}, found none"),
            );
        }
        klr_aws::failure("DynamoDB", operation, error)
    }
}

/// Of a write that was refused for its condition: what is stored, if anything.
fn refused(error: &SdkError<PutItemError>) -> Option<Option<&Item>> {
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(refusal)) => Some(refusal.item()),
        _ => None,
    }
}
