//! Deleting and holding: batch calls of ten, each entry's fate read.

use std::collections::{
    HashMap,
    hash_map::Entry::{Occupied, Vacant},
};

use aws_sdk_sqs::{
    Client,
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry as HideEntry,
        DeleteMessageBatchRequestEntry as DeleteEntry,
    },
};
use futures::{StreamExt, stream};
use klr_aws::failure;
use klr_contract::{Error, Place, Refused};

/// SQS: entries in one batch call.
const TEN: usize = 10;
/// Calls of one settling that may be out at a time.
const CALLS: usize = 8;

/// What is to become of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// They are done.
    Delete,
    /// They stay hidden for so long from now.
    Hide { seconds: i32 },
}

/// What SQS said about the entries of one call.
struct Fates {
    done: Vec<String>,
    failed: Vec<BatchResultErrorEntry>,
}

/// A receipt, and where in the caller's slice it stands. Copies share an entry: there is one fate for them, and not every
/// server takes the same receipt twice in a call.
struct Entry {
    receipt: String,
    indices: Vec<usize>,
}

/// Applies `change` to all items. A call that fails refuses its own ten; when none gets through it is an error.
///
/// Repeating is harmless here, so the SDK's own retry is on.
pub(crate) async fn settle(
    client: &Client,
    url: &str,
    items: &[Place],
    change: Change,
) -> Result<Vec<Refused>, Error> {
    let answers: Vec<(Vec<Entry>, Result<Fates, Error>)> = stream::iter(tens(items))
        .map(|ten| async move {
            let fates = change.call(client, url, &ten).await;
            (ten, fates)
        })
        .buffered(CALLS)
        .collect()
        .await;
    let failures: Option<Vec<&Error>> = answers.iter().map(|(_, fates)| fates.as_ref().err()).collect();
    if let Some(error) = failures.and_then(|all| all.first().copied()) {
        return Err(error.clone());
    }
    Ok(answers.iter().flat_map(|(ten, fates)| refused(ten, fates, change)).collect())
}

fn tens(items: &[Place]) -> Vec<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::with_capacity(items.len());
    let mut known: HashMap<String, usize> = HashMap::new();
    for (index, place) in items.iter().enumerate() {
        let receipt = receipt(place);
        match known.entry(receipt.clone()) {
            Occupied(at) => entries[*at.get()].indices.push(index),
            Vacant(free) => {
                free.insert(entries.len());
                entries.push(Entry { receipt, indices: vec![index] });
            }
        }
    }
    let mut rest = entries.into_iter().peekable();
    let mut tens = Vec::new();
    while rest.peek().is_some() {
        tens.push(rest.by_ref().take(TEN).collect());
    }
    tens
}

/// A place of a log has no receipt; the empty one is refused by the queue, entry by entry, as it should be.
fn receipt(place: &Place) -> String {
    match place {
        Place::Item { receipt, .. } => String::from_utf8_lossy(receipt).into_owned(),
        Place::At { .. } => String::new(),
    }
}

fn refused(ten: &[Entry], fates: &Result<Fates, Error>, change: Change) -> Vec<Refused> {
    let fate = |id: String| match fates {
        Err(error) => Some(error.clone()),
        Ok(fates) if fates.done.contains(&id) => None,
        Ok(fates) => {
            let failed = fates.failed.iter().find(|failed| failed.id == id);
            Some(failed.map_or_else(|| unmentioned(change), |failed| entry_error(failed, change)))
        }
    };
    let refused = ten.iter().enumerate().filter_map(|(n, entry)| Some((entry, fate(n.to_string())?)));
    refused
        .flat_map(|(entry, error)| {
            entry.indices.iter().map(move |&index| Refused { index, error: error.clone() })
        })
        .collect()
}

fn unmentioned(change: Change) -> Error {
    Error::retry("sqs-unmentioned", format!("SQS {} did not say what became of an entry", change.operation()))
}

fn entry_error(failed: &BatchResultErrorEntry, change: Change) -> Error {
    let text = format!(
        "Error occurred while {}. SQS Error Code: {}. SQS Error Message: {}",
        change.operation(),
        failed.code,
        failed.message().unwrap_or("no message given"),
    );
    let throttled = failed.code.contains("Throttl") || failed.code == "OverLimit";
    if failed.sender_fault && !throttled {
        Error::stop("sqs-refused", text)
    } else {
        Error::retry("sqs-failed", text)
    }
}

impl Change {
    fn operation(self) -> &'static str {
        match self {
            Self::Delete => "DeleteMessageBatch",
            Self::Hide { .. } => "ChangeMessageVisibilityBatch",
        }
    }

    /// One call. Entries are named by their place in it: two receives of one message may be in a batch, and SQS refuses a
    /// call that names two entries alike.
    async fn call(self, client: &Client, url: &str, ten: &[Entry]) -> Result<Fates, Error> {
        let entries = ten.iter().enumerate().map(|(n, entry)| (n.to_string(), &entry.receipt));
        match self {
            Self::Delete => {
                let entries = entries
                    .map(|(id, receipt)| DeleteEntry::builder().id(id).receipt_handle(receipt).build())
                    .collect::<Result<_, _>>()
                    .expect("id and receipt are set");
                let call = client.delete_message_batch().queue_url(url).set_entries(Some(entries));
                let answer = call.send().await.map_err(|error| failure("SQS", self.operation(), &error))?;
                let done = answer.successful.into_iter().map(|entry| entry.id).collect();
                Ok(Fates { done, failed: answer.failed })
            }
            Self::Hide { seconds } => {
                let entries = entries
                    .map(|(id, receipt)| {
                        HideEntry::builder()
                            .id(id)
                            .receipt_handle(receipt)
                            .visibility_timeout(seconds)
                            .build()
                    })
                    .collect::<Result<_, _>>()
                    .expect("id and receipt are set");
                let call = client.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
                let answer = call.send().await.map_err(|error| failure("SQS", self.operation(), &error))?;
                let done = answer.successful.into_iter().map(|entry| entry.id).collect();
                Ok(Fates { done, failed: answer.failed })
            }
        }
    }
}
