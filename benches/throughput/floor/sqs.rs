//! Loops that receive ten, POST them together and delete them together.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use bytes::{BufMut, BytesMut};

use super::post;

/// Until killed.
pub fn run(endpoint: &str, url: &str, uri: &str, lanes: &str) {
    let lanes: usize = lanes.parse().expect("a number of lanes");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let http =
        reqwest::Client::builder().http1_only().tcp_nodelay(true).build().expect("a client can be made");
    let client = client(endpoint);
    let lane = |_| runtime.spawn(lane(client.clone(), http.clone(), url.to_owned(), uri.to_owned()));
    let lanes: Vec<_> = (0..lanes).map(lane).collect();
    for lane in lanes {
        runtime.block_on(lane).expect("a lane ends by a panic only");
    }
}

/// The same things are asked of the queue as an event has in it.
async fn lane(client: Client, http: reqwest::Client, url: String, uri: String) {
    loop {
        let receive =
            client.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(20);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let received = receive.message_attribute_names("All").send().await.expect("the queue answers");
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        let mut body = BytesMut::new();
        let mut delete = client.delete_message_batch().queue_url(&url);
        for (number, message) in messages.into_iter().enumerate() {
            body.put_slice(message.body.unwrap_or_default().as_bytes());
            body.put_u8(b'\n');
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
            let entry = entry.receipt_handle(message.receipt_handle.unwrap_or_default());
            delete = delete.entries(entry.build().expect("id and receipt handle are set"));
        }
        post(&http, &uri, body.freeze()).await;
        delete.send().await.expect("the queue answers");
    }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "for an emulator"))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}
