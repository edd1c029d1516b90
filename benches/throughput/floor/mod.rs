//! The shortest honest loops: they pull, join bytes, POST, settle, and do nothing else, not even stop.

pub mod kafka;
pub mod kinesis;
pub mod sqs;

use bytes::Bytes;

/// POSTs until it is taken; a floor has no better idea about failures.
async fn post(client: &reqwest::Client, uri: &str, body: Bytes) {
    loop {
        match client.post(uri).body(body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => {
                let _ = answer.bytes().await;
                return;
            }
            _ => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}
