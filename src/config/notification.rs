//! A bucket notification: S3's push trigger.

use super::mapping::function;
use super::name;
use super::node::{Fields, Node};
use super::problem::Place;
use super::resource::Meta;
use super::secret::SecretRef;
use super::target::{self, Target};

/// A bucket notification, valid by construction.
#[derive(Debug, Clone)]
pub struct Notification {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, else `default`.
    pub namespace: String,
    /// Where it was written.
    pub place: Place,
    /// As written, as in a mapping.
    pub function: String,
    /// Which events it takes, and how they are written.
    #[cfg(feature = "s3")]
    pub trigger: klr_s3::Config,
    /// How they come.
    pub receive: Receive,
    /// Where they go.
    pub target: Target,
}

/// How notifications reach the bridge.
#[derive(Debug, Clone)]
pub enum Receive {
    /// By HTTP, at `/bucketnotifications/NAME`.
    Webhook {
        /// The bearer token the sender must show; none where only trusted senders can reach the port.
        token: Option<SecretRef>,
    },
    /// As messages of a queue that the bucket notifies.
    #[cfg(feature = "sqs")]
    Queue(klr_sqs::Config),
}

impl Notification {
    /// The function's bare name.
    pub fn function_name(&self) -> &str {
        name::function(&self.function).expect("checked when it was read")
    }
}

/// Reads `spec`; what is wrong with it is noted where it stands.
pub(super) fn read(meta: &Meta, spec: &Node) -> Option<Notification> {
    let spec = spec.fields(&[
        "bucket",
        "endpoint",
        "events",
        "filter",
        "functionName",
        "id",
        "lambda",
        "queueArn",
        "region",
        "s3EventVersion",
        "sink",
        "webhook",
    ])?;
    let function = spec.required("functionName").and_then(|node| function(&node));
    let target = target::read(&spec);
    #[cfg(feature = "s3")]
    let trigger = super::s3::read(meta, &spec);
    #[cfg(not(feature = "s3"))]
    spec.node().wrong("this klr was built without S3 (feature s3)");
    let receive = receive(&spec);
    Some(Notification {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        place: spec.node().place(),
        function: function?,
        #[cfg(feature = "s3")]
        trigger,
        receive: receive?,
        target: target?,
    })
}

fn receive(spec: &Fields) -> Option<Receive> {
    match (spec.get("webhook"), spec.get("queueArn")) {
        (Some(_), Some(queue)) => queue.refuse("contradicts webhook; use one of the two"),
        (None, None) => {
            spec.missing(
                "webhook",
                "must say how notifications come: webhook: {token: env:NAME}, or queueArn",
            );
            None
        }
        (Some(webhook), None) => {
            if let Some(endpoint) = spec.get("endpoint") {
                endpoint.wrong("goes with queueArn only; remove it");
            }
            let token = match webhook.fields(&["token"])?.get("token") {
                None => None,
                Some(node) => Some(SecretRef::parse(node.text()?).map_err(|why| node.wrong(why)).ok()?),
            };
            Some(Receive::Webhook { token })
        }
        (None, Some(arn)) => queue(spec, &arn),
    }
}

#[cfg(feature = "sqs")]
fn queue(spec: &Fields, arn: &Node) -> Option<Receive> {
    let endpoint = spec.get("endpoint").and_then(|node| super::endpoint(&node));
    Some(Receive::Queue(super::sqs::config(&super::sqs::queue(arn)?, endpoint, false)))
}

#[cfg(not(feature = "sqs"))]
fn queue(_: &Fields, arn: &Node) -> Option<Receive> {
    arn.refuse("this klr was built without SQS (feature sqs); use a webhook")
}
