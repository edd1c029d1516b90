//! What is said of where records come from: brokers, topics, queues, schema registries, collections.

use super::{
    super::settings::{Access, BROKERS, DocumentDb, Kafka, Registry, SelfManaged, Settings},
    ARN, Constraints, Pattern,
};

static TOPIC: Pattern = Pattern::new(r"[^.]([a-zA-Z0-9\-_.]+)");
static URI: Pattern = Pattern::new(r"[ a-zA-Z0-9-\/*:_+=.@-]*");
static ENDPOINT: Pattern = Pattern::new(
    r"(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9]):[0-9]{1,5}",
);
static REGISTRY: Pattern = Pattern::new(r"[a-zA-Z0-9-\/*:_+=.@-]*");
static DATABASE: Pattern = Pattern::new(r"[^ /\.$\x22]*");
/// But for the names that begin with `system.`: our regular expressions do not look ahead.
static COLLECTION: Pattern = Pattern::new(r"[_a-zA-Z0-9][^$]*");

const ACCESS: [&str; 15] = [
    "BASIC_AUTH",
    "VPC_SUBNET",
    "VPC_SECURITY_GROUP",
    "SASL_SCRAM_512_AUTH",
    "SASL_SCRAM_256_AUTH",
    "VIRTUAL_HOST",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "OAUTHBEARER_AUTH",
    "OAUTHBEARER_SCOPE",
    "OAUTHBEARER_AUDIENCE",
    "OAUTHBEARER_LOGICAL_CLUSTER",
    "OAUTHBEARER_IDENTITY_POOL",
    "IAM_AUTH",
    "IAM_OAUTHBEARER_AUTH",
];
const REGISTRY_ACCESS: [&str; 3] =
    ["BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE"];

pub(super) fn constrain(settings: &Settings, constraints: &mut Constraints) {
    if let Some(topics) = &settings.topics {
        constraints.members("topics", topics, 1..=1);
        for topic in topics {
            constraints.length("topics.1.member", topic, 1..=249);
            constraints.pattern("topics.1.member", topic, &TOPIC);
        }
    }
    if let Some(queues) = &settings.queues {
        constraints.members("queues", queues, 1..=1);
        queues.iter().for_each(|queue| constraints.length("queues.1.member", queue, 1..=1000));
    }
    for (nth, access) in settings.source_access_configurations.iter().flatten().enumerate() {
        one_access(&format!("sourceAccessConfigurations.{}.member", nth + 1), access, constraints);
    }
    if let Some(own) = &settings.self_managed_event_source {
        endpoints(own, constraints);
    }
    let clusters = [
        ("amazonManagedKafkaEventSourceConfig", &settings.amazon_managed_kafka_event_source_config),
        ("selfManagedKafkaEventSourceConfig", &settings.self_managed_kafka_event_source_config),
    ];
    for (field, config) in clusters {
        if let Some(config) = config {
            cluster(field, config, constraints);
        }
    }
    if let Some(config) = &settings.document_db_event_source_config {
        document_db(config, constraints);
    }
}

/// The model does not ask for `Endpoints`; where they are, it asks for one at least.
fn endpoints(own: &SelfManaged, constraints: &mut Constraints) {
    let Some(endpoints) = &own.endpoints else { return };
    let field = "selfManagedEventSource.endpoints";
    let shown = endpoints.iter().map(|(key, brokers)| format!("{key}=[{}]", brokers.join(", ")));
    let shown = format!("{{{}}}", shown.collect::<Vec<_>>().join(", "));
    constraints.count(field, &shown, endpoints.len(), 1..=2);
    if endpoints.keys().any(|key| key != BROKERS) {
        let each = format!(
            "Map keys must satisfy constraint: [Member must satisfy enum value set: [{BROKERS}], Member must not be null]"
        );
        constraints.broken(field, shown, each);
    }
    for (key, brokers) in endpoints {
        let field = format!("{field}.{key}.member");
        constraints.members(&field, brokers, 1..=10);
        for (nth, broker) in brokers.iter().enumerate() {
            let field = format!("{field}.{}.member", nth + 1);
            constraints.length(&field, broker, 1..=300);
            constraints.pattern(&field, broker, &ENDPOINT);
        }
    }
}

fn one_access(field: &str, access: &Access, constraints: &mut Constraints) {
    if let Some(kind) = &access.r#type {
        constraints.one_of(&format!("{field}.type"), kind, &ACCESS);
    }
    if let Some(uri) = &access.uri {
        let field = format!("{field}.uRI");
        constraints.length(&field, uri, 1..=200);
        constraints.pattern(&field, uri, &URI);
    }
}

fn cluster(field: &str, config: &Kafka, constraints: &mut Constraints) {
    if let Some(group) = &config.consumer_group_id {
        let field = format!("{field}.consumerGroupId");
        constraints.length(&field, group, 1..=200);
        constraints.pattern(&field, group, &URI);
    }
    if let Some(mode) = &config.consumption_mode {
        constraints.one_of(&format!("{field}.consumptionMode"), mode, &["Stream", "Queue"]);
    }
    if let Some(config) = &config.schema_registry_config {
        registry(&format!("{field}.schemaRegistryConfig"), config, constraints);
    }
}

fn registry(field: &str, config: &Registry, constraints: &mut Constraints) {
    if let Some(uri) = &config.schema_registry_uri {
        let field = format!("{field}.schemaRegistryURI");
        constraints.length(&field, uri, 1..=10_000);
        constraints.pattern(&field, uri, &REGISTRY);
    }
    if let Some(format) = &config.event_record_format {
        constraints.one_of(&format!("{field}.eventRecordFormat"), format, &["JSON", "SOURCE"]);
    }
    for (nth, access) in config.access_configs.iter().flatten().enumerate() {
        let field = format!("{field}.accessConfigs.{}.member", nth + 1);
        if let Some(kind) = &access.r#type {
            constraints.one_of(&format!("{field}.type"), kind, &REGISTRY_ACCESS);
        }
        // AWS knows no other place for a secret than an ARN; here there are variables and files, too.
        let own = |uri: &&String| uri.starts_with("env:") || uri.starts_with("file:");
        if let Some(uri) = access.uri.as_ref().filter(|uri| !own(uri)) {
            let field = format!("{field}.uRI");
            constraints.length(&field, uri, 0..=10_000);
            constraints.pattern(&field, uri, &ARN);
        }
    }
    for (nth, validation) in config.schema_validation_configs.iter().flatten().enumerate() {
        if let Some(attribute) = &validation.attribute {
            let field = format!("{field}.schemaValidationConfigs.{}.member.attribute", nth + 1);
            constraints.one_of(&field, attribute, &["KEY", "VALUE"]);
        }
    }
}

fn document_db(config: &DocumentDb, constraints: &mut Constraints) {
    let field = |member: &str| format!("documentDBEventSourceConfig.{member}");
    if let Some(name) = &config.database_name {
        constraints.length(&field("databaseName"), name, 1..=63);
        constraints.pattern(&field("databaseName"), name, &DATABASE);
    }
    if let Some(name) = &config.collection_name {
        let field = field("collectionName");
        constraints.length(&field, name, 1..=57);
        if !COLLECTION.matches(name) || name.starts_with("system.") {
            let pattern = r"(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)";
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            constraints.broken(&field, name, constraint);
        }
    }
    if let Some(document) = &config.full_document {
        constraints.one_of(&field("fullDocument"), document, &["UpdateLookup", "Default"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(settings: Value) -> String {
        let settings = serde_json::from_value(settings).unwrap();
        let mut constraints = Constraints::default();
        constrain(&settings, &mut constraints);
        constraints.check().map_or_else(|error| error.message().to_owned(), |()| String::new())
    }

    /// Everything at once, and before anything of ours is said.
    #[test]
    fn a_registrys_members_are_held_against_the_model() {
        let registry = |registry: Value| json!({ "SelfManagedKafkaEventSourceConfig": { "SchemaRegistryConfig": registry } });
        let at =
            |member: &str| format!("at 'selfManagedKafkaEventSourceConfig.schemaRegistryConfig.{member}'");
        let constraint = "failed to satisfy constraint: Member must satisfy";
        assert_eq!(
            refused(registry(json!({
                "SchemaRegistryURI": "a b",
                "EventRecordFormat": "AVRO",
                "AccessConfigs": [{ "Type": "VPC_SUBNET", "URI": "hunter2" }],
                "SchemaValidationConfigs": [{ "Attribute": "KEY" }, { "Attribute": "HEADER" }],
            }))),
            format!(
                "5 validation errors detected: Value 'a b' {} {constraint} regular expression pattern: {}; Value 'AVRO' {} \
                 {constraint} enum value set: [JSON, SOURCE]; Value 'VPC_SUBNET' {} {constraint} enum value set: \
                 [BASIC_AUTH, CLIENT_CERTIFICATE_TLS_AUTH, SERVER_ROOT_CA_CERTIFICATE]; Value 'hunter2' {} {constraint} \
                 regular expression pattern: {}; Value 'HEADER' {} {constraint} enum value set: [KEY, VALUE]",
                at("schemaRegistryURI"),
                REGISTRY.text(),
                at("eventRecordFormat"),
                at("accessConfigs.1.member.type"),
                at("accessConfigs.1.member.uRI"),
                ARN.text(),
                at("schemaValidationConfigs.2.member.attribute"),
            )
        );
        for uri in
            ["env:PASSWORD", "file:/run/secret", "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"]
        {
            assert_eq!(refused(registry(json!({ "AccessConfigs": [{ "URI": uri }] }))), "", "{uri}");
        }
    }

    #[test]
    fn endpoints_have_one_key() {
        let endpoints =
            |endpoints: Value| refused(json!({ "SelfManagedEventSource": { "Endpoints": endpoints } }));
        let at = "at 'selfManagedEventSource.endpoints";
        assert_eq!(
            endpoints(json!({ "ZOOKEEPER": ["a:1"] })),
            format!(
                "1 validation error detected: Value '{{ZOOKEEPER=[a:1]}}' {at}' failed to satisfy constraint: Map keys must \
                 satisfy constraint: [Member must satisfy enum value set: [KAFKA_BOOTSTRAP_SERVERS], Member must not be \
                 null]"
            )
        );
        assert_eq!(
            endpoints(json!({})),
            format!(
                "1 validation error detected: Value '{{}}' {at}' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1"
            )
        );
        assert_eq!(
            endpoints(json!({ "KAFKA_BOOTSTRAP_SERVERS": [] })),
            format!(
                "1 validation error detected: Value '[]' {at}.KAFKA_BOOTSTRAP_SERVERS.member' failed to satisfy constraint: \
                 Member must have length greater than or equal to 1"
            )
        );
        assert_eq!(endpoints(json!({ "KAFKA_BOOTSTRAP_SERVERS": ["a:1"] })), "");
        assert_eq!(refused(json!({ "SelfManagedEventSource": {} })), "", "the model asks for nothing");
    }

    #[test]
    fn databases_and_collections_have_names() {
        let config = |config: Value| refused(json!({ "DocumentDBEventSourceConfig": config }));
        let long = "x".repeat(64);
        let said =
            config(json!({ "DatabaseName": long, "CollectionName": "system.users", "FullDocument": "Yes" }));
        assert!(said.starts_with("3 validation errors detected: "), "{said}");
        for part in [
            "at 'documentDBEventSourceConfig.databaseName' failed to satisfy constraint: Member must have length less than \
             or equal to 63",
            "Value 'system.users' at 'documentDBEventSourceConfig.collectionName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: (^(?!(system\\x2e)))(^[_a-zA-Z0-9])([^$]*)",
            "Value 'Yes' at 'documentDBEventSourceConfig.fullDocument' failed to satisfy constraint: Member must satisfy \
             enum value set: [UpdateLookup, Default]",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(
            config(json!({ "DatabaseName": "d", "CollectionName": "c.1", "FullDocument": "Default" })),
            ""
        );
    }
}
