//! Against moto, as near to AWS as a desk gets; and what is said when nobody answers.

use aws_sdk_secretsmanager::Client;
use klr_aws::{config, secret_at};
use klr_contract::Kind;
use klr_test_support::servers::Moto;

#[tokio::test]
async fn reads_a_secret() {
    let Some(moto) = Moto::shared() else { return };
    let client = Client::new(&config("eu-west-1", "SECRETS_MANAGER", Some(&moto.endpoint)).await);
    let text = r#"{"username":"u","password":"p"}"#;
    let created = client.create_secret().name("kafka/user").secret_string(text).send().await.unwrap();
    let arn = created.arn.unwrap();
    assert_eq!(secret_at(&arn, Some(&moto.endpoint)).await.unwrap(), text);
}

#[tokio::test]
async fn a_missing_secret_is_waited_for() {
    let Some(moto) = Moto::shared() else { return };
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:none-AbCdEf";
    let error = secret_at(arn, Some(&moto.endpoint)).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Retry { after: Some(_) }), "{error}");
    assert!(error.to_string().contains("ResourceNotFoundException"), "{error}");
}

#[tokio::test]
async fn what_is_no_secrets_arn_is_refused_without_a_call() {
    for arn in ["secret", "arn:aws:sqs:eu-west-1:123456789012:q"] {
        let error = secret_at(arn, Some("http://127.0.0.1:1")).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Stop, "aws-arn"));
    }
}

#[tokio::test]
async fn nobody_there_is_worth_another_try() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:s";
    let error = secret_at(arn, Some("http://127.0.0.1:1")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Retry { after: None }, "aws-unreachable"), "{error}");
}
