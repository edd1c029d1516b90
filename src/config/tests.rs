//! What is wrong is said as `tests/validate` has it; what is right means what it should.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/validate"))
}

/// Writes `text` to a file of its own and loads it.
fn loaded(name: &str, text: &str) -> Result<Resources, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    load(&[path])
}

#[cfg(feature = "sqs")]
fn queue(mapping: &Mapping) -> klr_sqs::Config {
    match &mapping.source {
        Source::Sqs(queue) => queue.clone(),
        #[allow(unreachable_patterns, reason = "with queues alone there is nothing else")]
        other => panic!("{other:?} is not SQS"),
    }
}

#[cfg(feature = "kafka")]
fn topic(mapping: &Mapping) -> (klr_kafka::Config, Vec<Access>) {
    match &mapping.source {
        Source::Kafka { config, access, .. } => (config.clone(), access.clone()),
        #[allow(unreachable_patterns, reason = "with Kafka alone there is nothing else")]
        other => panic!("{other:?} is not Kafka"),
    }
}

#[cfg(feature = "sqs")]
/// A mapping of kind SQS with these further lines in its `spec`.
fn sqs(more: &str) -> Mapping {
    let head = "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {name: orders}\nspec:\n  \
                eventSourceArn: arn:aws:sqs:eu-west-1:123456789012:orders\n  functionName: process-orders\n";
    loaded("a.yaml", &format!("{head}{more}")).unwrap().mappings.remove(0)
}

#[cfg(feature = "kafka")]
/// A self-managed Kafka mapping, likewise.
fn kafka(more: &str) -> Mapping {
    let head = "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {name: orders}\nspec:\n  \
                selfManagedEventSource: {endpoints: {KAFKA_BOOTSTRAP_SERVERS: ['a:9092', '[::1]:9093']}}\n  \
                topics: [orders]\n  functionName: f\n";
    loaded("a.yaml", &format!("{head}{more}")).unwrap().mappings.remove(0)
}

#[cfg(feature = "kinesis")]
/// A Kinesis mapping, likewise.
fn kinesis(more: &str) -> Mapping {
    let head = "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {name: orders}\nspec:\n  \
                eventSourceArn: arn:aws:kinesis:eu-west-1:123456789012:stream/orders\n  functionName: f\n";
    loaded("a.yaml", &format!("{head}{more}")).unwrap().mappings.remove(0)
}

#[cfg(feature = "kinesis")]
#[test]
fn a_streams_settings_are_awss_unless_set() {
    let plain = kinesis("  startingPosition: LATEST\n");
    let limits = (plain.maximum_retry_attempts, plain.maximum_record_age, plain.parallelization_factor);
    assert_eq!((plain.batch_size, plain.window, limits), (100, Duration::ZERO, (None, None, 1)));
    assert!(!plain.bisect && !plain.report_batch_item_failures && plain.tumbling.is_none());
    #[allow(irrefutable_let_patterns, reason = "with Kinesis alone there is nothing else")]
    let Source::Kinesis(config) = &plain.source else { panic!("{:?} is not Kinesis", plain.source) };
    assert_eq!((config.stream(), config.start), ("orders", klr_kinesis::Start::Latest));
    assert_eq!(config.on_lost_position, klr_kinesis::OnLostPosition::Earliest);

    let all = "  startingPosition: AT_TIMESTAMP\n  startingPositionTimestamp: 1700000000\n  batchSize: 10000\n  \
               maximumBatchingWindowInSeconds: 300\n  parallelizationFactor: 10\n  tumblingWindowInSeconds: 900\n  \
               maximumRetryAttempts: 0\n  maximumRecordAgeInSeconds: 60\n  bisectBatchOnFunctionError: true\n  \
               onLostPosition: stop\n  functionResponseTypes: [ReportBatchItemFailures]\n";
    let all = kinesis(all);
    let limits = (all.maximum_retry_attempts, all.maximum_record_age, all.parallelization_factor);
    assert_eq!(limits, (Some(0), Some(Duration::from_secs(60)), 10));
    assert_eq!((all.batch_size, all.window), (10_000, Duration::from_secs(300)));
    assert!(all.bisect && all.report_batch_item_failures);
    assert_eq!(all.tumbling, Some(Duration::from_secs(900)));
    // AWS: -1 is no limit, and 0 no window.
    let none = "  startingPosition: TRIM_HORIZON\n  maximumRetryAttempts: -1\n  maximumRecordAgeInSeconds: -1\n  \
                tumblingWindowInSeconds: 0\n";
    let none = kinesis(none);
    assert_eq!((none.maximum_retry_attempts, none.maximum_record_age, none.tumbling), (None, None, None));
}

/// To accept what it says now, after reading it: `UPDATE_EXPECTED=1 cargo test`.
#[cfg(all(feature = "sqs", feature = "kafka", feature = "s3", feature = "kinesis", feature = "dynamodb"))]
#[test]
fn every_problem_is_named_with_its_place() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension != "expected"));
    assert!(files.len() >= 8);
    for path in files {
        let failure = load(std::slice::from_ref(&path)).unwrap_err();
        assert!(matches!(failure, Failure::Invalid(_)), "{failure}");
        let seen = failure.to_string().replace(&format!("{}/", golden().display()), "") + "\n";
        assert!(!seen.contains("hunter2"), "a value that may be a secret: {seen}");
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected, &seen).unwrap();
        }
        assert_eq!(seen, std::fs::read_to_string(&expected).unwrap(), "{}", path.display());
    }
}

#[test]
fn files_keep_their_order_and_what_is_unreadable_is_no_problem_of_a_field() {
    let [sqs, kafka] = ["sqs.yaml", "kafka.yaml"].map(|name| golden().join(name));
    let Failure::Invalid(problems) = load(&[sqs, kafka]).unwrap_err() else { panic!("they can be read") };
    assert!(problems.is_sorted_by_key(|problem| problem.place.clone()));
    let first_of_kafka =
        problems.iter().position(|problem| problem.place.to_string().contains("kafka.yaml")).unwrap();
    assert!(
        problems[first_of_kafka..].iter().all(|problem| problem.place.to_string().contains("kafka.yaml"))
    );

    for text in ["a: [", "{\"a\": ", "a: !Ref b", "# nothing"] {
        assert!(matches!(loaded("a.yaml", text), Err(Failure::Unreadable(_))), "{text}");
    }
    let missing = load(&["/nowhere/a.yaml".into()]).unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere/a.yaml: cannot be read: "), "{missing}");
}

#[cfg(feature = "sqs")]
#[test]
fn sqs_has_lambdas_defaults() {
    let mapping = sqs("");
    assert_eq!((mapping.batch_size, mapping.window), (10, Duration::ZERO));
    assert!(mapping.enabled && !mapping.report_batch_item_failures && !mapping.bisect);
    assert_eq!((mapping.maximum_concurrency, mapping.maximum_retry_attempts), (None, None));
    assert_eq!((mapping.name.as_str(), mapping.namespace.as_str()), ("orders", "default"));
    assert_eq!(mapping.target, Target::Unresolved);
    let queue = queue(&mapping);
    assert_eq!(
        (queue.region.as_str(), queue.account.as_str(), queue.name.as_str()),
        ("eu-west-1", "123456789012", "orders")
    );
    assert!(queue.endpoint.is_none() && !queue.windowed);
    assert_eq!(mapping.uuid, sqs("  enabled: false").uuid, "stable");
}

#[cfg(feature = "sqs")]
#[test]
fn sqs_takes_all_its_settings() {
    let mapping = sqs(
        "  batchSize: 10000\n  maximumBatchingWindowInSeconds: 5\n  endpoint: http://localhost:9324\n  \
        functionResponseTypes: [ReportBatchItemFailures]\n  scalingConfig: {maximumConcurrency: 2}\n  \
        filterCriteria: {filters: []}\n  kmsKeyArn: ''\n  tags: {a: b}\n  metricsConfig: {metrics: [EventCount]}\n  \
        sink: {uri: 'http://f.default.svc', timeout: 90s, ackMode: replied, http: 2, maximumPayloadBytes: 5000000}\n",
    );
    assert_eq!(
        (mapping.batch_size, mapping.window.as_secs(), mapping.maximum_concurrency),
        (10_000, 5, Some(2))
    );
    assert!(mapping.report_batch_item_failures);
    let Target::Sink(sink) = &mapping.target else { panic!("it has a sink") };
    assert_eq!(sink.timeout.map(|time| time.as_secs()), Some(90));
    assert!(sink.http2 && sink.maximum_payload_bytes == 5_000_000);
    let queue = queue(&mapping);
    assert!(queue.windowed && queue.endpoint.as_deref() == Some("http://localhost:9324"));
}

#[cfg(feature = "kafka")]
#[test]
fn kafka_has_lambdas_defaults() {
    let mapping = kafka("  startingPosition: TRIM_HORIZON\n");
    assert_eq!((mapping.batch_size, mapping.window.as_millis()), (100, 500));
    let (config, access) = topic(&mapping);
    assert_eq!((config.bootstrap.join(",").as_str(), config.topic.as_str()), ("a:9092,[::1]:9093", "orders"));
    assert_eq!(
        (config.group, config.start, config.arn),
        (mapping.uuid.to_string(), klr_kafka::Start::TrimHorizon, None)
    );
    assert!(access.is_empty() && config.security.tls.is_none(), "PLAINTEXT");
}

#[cfg(feature = "kafka")]
#[test]
fn kafka_takes_all_its_settings() {
    let mapping = kafka(
        "  startingPosition: AT_TIMESTAMP\n  startingPositionTimestamp: 1700000000.5\n  \
        maximumRetryAttempts: 0\n  maximumRecordAgeInSeconds: 60\n  bisectBatchOnFunctionError: true\n  \
        maximumBatchingWindowInSeconds: 0\n  selfManagedKafkaEventSourceConfig: {consumerGroupId: 'a/b*', consumptionMode: Stream}\n  \
        destinationConfig: {onFailure: {}}\n  loggingConfig: {systemLogLevel: INFO}\n  \
        sourceAccessConfigurations: [{type: SASL_SCRAM_512_AUTH, uri: 'env:KAFKA'}, {type: SERVER_ROOT_CA_CERTIFICATE, uri: 'file:ca.json'}]\n",
    );
    assert_eq!(
        (mapping.maximum_retry_attempts, mapping.maximum_record_age.map(|age| age.as_secs())),
        (Some(0), Some(60))
    );
    assert!(mapping.bisect && mapping.window.is_zero());
    let (config, access) = topic(&mapping);
    assert_eq!(config.group, "a/b*");
    assert_eq!(
        config.start,
        klr_kafka::Start::AtTimestamp(jiff::Timestamp::from_millisecond(1_700_000_000_500).unwrap())
    );
    assert_eq!(
        access[0],
        Access::Secret { kind: AccessKind::Scram512, secret: SecretRef::Variable("KAFKA".to_owned()) }
    );
    assert!(matches!(access[1], Access::Secret { kind: AccessKind::RootCa, .. }));

    let iso = kafka(
        "  startingPosition: AT_TIMESTAMP\n  startingPositionTimestamp: 2026-01-01T00:00:00Z\n  maximumRetryAttempts: -1\n",
    );
    assert_eq!((iso.maximum_retry_attempts, iso.maximum_record_age), (None, None));
}

#[cfg(feature = "kafka-iam")]
#[test]
fn msk_asks_for_our_credentials_where_its_ports_say_so() {
    let msk = |endpoint: &str, more: &str| {
        let text = format!(
            "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {{name: orders}}\nspec:\n  \
             eventSourceArn: arn:aws:kafka:eu-west-1:123456789012:cluster/c/0f1e-2\n  endpoint: {endpoint}\n  \
             topics: [orders]\n  functionName: f\n  startingPosition: LATEST\n{more}"
        );
        topic(&loaded("a.yaml", &text).unwrap().mappings[0]).1
    };
    let iam = |region: &str| vec![Access::Iam { region: Some(region.to_owned()) }];
    assert_eq!(msk("b-1:9098,b-2:9098", ""), iam("eu-west-1"));
    assert_eq!(msk("b-1:9098,b-2:9092", ""), []);
    assert_eq!(msk("b-1:9092", "  sourceAccessConfigurations: [{type: IAM_AUTH}]\n"), iam("eu-west-1"));

    let own = |server: &str| {
        let text = format!(
            "apiVersion: klr.dev/v1alpha1\nkind: EventSourceMapping\nmetadata: {{name: orders}}\nspec:\n  \
             selfManagedEventSource: {{endpoints: {{KAFKA_BOOTSTRAP_SERVERS: ['{server}']}}}}\n  topics: [orders]\n  \
             functionName: f\n  startingPosition: LATEST\n  sourceAccessConfigurations: [{{type: IAM_AUTH}}]\n"
        );
        topic(&loaded("a.yaml", &text).unwrap().mappings[0]).1
    };
    assert_eq!(own("b-1.c.x1.c2.kafka.us-east-2.amazonaws.com:9098"), iam("us-east-2"));
    assert_eq!(own("kafka.example.com:9098"), [Access::Iam { region: None }]);
}

#[cfg(feature = "kafka-registry")]
#[test]
fn a_schema_registry_is_read() {
    let mapping = kafka(
        "  startingPosition: LATEST\n  selfManagedKafkaEventSourceConfig:\n    schemaRegistryConfig:\n      \
         schemaRegistryURI: https://registry.example.com/apis/ccompat/v7\n      eventRecordFormat: SOURCE\n      \
         schemaValidationConfigs: [{attribute: KEY}, {attribute: VALUE}]\n      \
         accessConfigs: [{type: BASIC_AUTH, uri: 'env:USER'}, {type: SERVER_ROOT_CA_CERTIFICATE, uri: 'file:ca.json'}]\n",
    );
    let Source::Kafka { config, registry_access, .. } = &mapping.source else { panic!("Kafka") };
    let registry = config.registry.as_ref().unwrap();
    assert_eq!(registry.url, "https://registry.example.com/apis/ccompat/v7");
    assert_eq!(
        (registry.format, registry.key, registry.value),
        (klr_kafka::EventRecordFormat::Source, true, true)
    );
    let user = SecretRef::Variable("USER".to_owned());
    assert_eq!(registry_access[0], Access::Secret { kind: AccessKind::Basic, secret: user });
    assert!(matches!(registry_access[1], Access::Secret { kind: AccessKind::RootCa, .. }));
}

#[cfg(feature = "s3")]
#[test]
fn notifications_and_functions_are_read() {
    let text = r#"
{"apiVersion": "klr.dev/v1alpha1", "kind": "BucketNotification", "metadata": {"name": "uploads", "namespace": "shop"},
 "spec": {"functionName": "arn:aws:lambda:us-east-1:123456789012:function:thumbs:prod", "bucket": "b",
  "events": ["s3:ObjectCreated:*"], "filter": {"key": {"filterRules": [{"name": "SUFFIX", "value": ".jpg"}]}},
  "webhook": {"token": "env:TOKEN"}, "s3EventVersion": 2025}}
{"apiVersion": "klr.dev/v1alpha1", "kind": "Function", "metadata": {"name": "thumbs"},
 "spec": {"runtime": "python3.12", "handler": "app.handler", "code": {"path": "src"}, "timeout": 900, "memorySize": 256,
  "environment": {"variables": {"EMPTY": "", "A_1": "x"}}, "concurrency": 1}}"#;
    let resources = loaded("a.json", text).unwrap();
    let [notification] = resources.notifications.as_slice() else { panic!("one") };
    assert_eq!(
        (notification.function_name(), &notification.target),
        ("thumbs", &Target::Function("thumbs".to_owned()))
    );
    let trigger = &notification.trigger;
    assert_eq!(
        (trigger.id.as_str(), trigger.prefix.as_deref(), trigger.suffix.as_deref()),
        ("uploads", None, Some(".jpg"))
    );
    assert_eq!(trigger.version, klr_s3::EventVersion::Y2025);
    assert!(
        matches!(&notification.receive, Receive::Webhook { token: Some(SecretRef::Variable(name)) } if name == "TOKEN")
    );
    let [function] = resources.functions.as_slice() else { panic!("one") };
    assert!(
        function.code.as_ref().is_some_and(|code| code.is_absolute() && code.ends_with("src")),
        "seen from the file"
    );
    assert_eq!((function.timeout.as_secs(), function.memory_size, function.environment.len()), (900, 256, 2));
}

#[cfg(feature = "sqs")]
#[test]
fn the_environment_is_the_last_resort() {
    let resources = |more: &str| Resources { mappings: vec![sqs(more)], ..Resources::default() };
    let knative = |sink: &str| Environment { k_sink: Some(sink.to_owned()), k_ca_certs: None };

    let mut alone = resources("");
    let refused = alone.resolve(&Environment::default()).unwrap_err().to_string();
    assert!(
        refused.contains(
            ":4: spec.sink: nowhere to deliver to: set sink: {uri: …}, add a Function named process-orders"
        ),
        "{refused}"
    );
    alone.resolve(&knative("http://f.default.svc")).unwrap();
    assert!(
        matches!(&alone.mappings[0].target, Target::Environment(sink) if sink.uri.as_str() == "http://f.default.svc/")
    );

    let mut own = resources("  sink: {uri: 'http://own'}");
    own.resolve(&knative("http://other")).unwrap();
    assert!(matches!(&own.mappings[0].target, Target::Sink(sink) if sink.uri.host_str() == Some("own")));

    let broker = knative("http://broker-ingress.knative-eventing.svc.cluster.local/a/b");
    let partial =
        resources("  functionResponseTypes: [ReportBatchItemFailures]").resolve(&broker).unwrap_err();
    assert!(partial.to_string().contains("spec.functionResponseTypes: "), "{partial}");
}
