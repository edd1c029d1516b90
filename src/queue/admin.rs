//! What a person can do with the queue: look at what waits, send again what failed, throw away.
//!
//! Over HTTP (the admin port): `GET /queue`, `GET /queue/events`, `POST /queue/redrive`, `POST /queue/purge`; the last three take
//! `function=NAME` and any number of `id=REQUEST_ID`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    error::Error,
    event::{Stage, Stored},
    handle::Queue,
    log::{Key, Label},
    record,
};
use crate::web;

/// Events that are shown at most, unless asked for by id.
const SHOWN: usize = 100;
/// Writes of one errand that wait for the same sync.
const WRITES: usize = 256;

/// What of the queue is meant. Nothing said: all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// A function, by name or ARN.
    pub function: Option<String>,
    /// Request ids.
    pub ids: HashSet<Uuid>,
}

/// What waits for one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// As it was asked for: its ARN.
    pub function: String,
    /// For an attempt, as soon as there is room.
    pub ready: usize,
    /// For their time to come.
    pub later: usize,
    /// With the function now.
    pub in_flight: usize,
    /// Failed for good, and kept.
    pub failed: usize,
    /// Until when the function is left in peace, since it was throttled or not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resting_until: Option<String>,
}

impl Which {
    fn meant(&self) -> impl Fn(&str) -> bool {
        let function = self.function.clone();
        move |target| function.as_deref().is_none_or(|name| target == name || record::name(target) == name)
    }

    /// `function=f&id=…&id=…`.
    fn read(query: &str) -> Result<Self, String> {
        let mut which = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map_err(|_| "the query is no UTF-8")?;
            match name {
                "function" => which.function = Some(value.into_owned()),
                "id" => {
                    let id = Uuid::try_parse(&value).map_err(|_| format!("no request id: {value:?}"))?;
                    which.ids.insert(id);
                }
                _ => return Err(format!("unknown: {name:?}; there are function and id")),
            }
        }
        Ok(which)
    }
}

impl Queue {
    /// What waits, by function.
    pub fn waiting(&self) -> Vec<Waiting> {
        let counts = self.agenda.schedule().counts();
        let waiting = counts.into_iter().map(|count| Waiting {
            function: count.name.to_string(),
            ready: count.ready,
            later: count.later,
            in_flight: count.flying,
            failed: count.failed,
            resting_until: count.resting.map(|until| format!("{until:.3}")),
        });
        let mut waiting: Vec<_> = waiting
            .filter(|waiting| waiting.ready + waiting.later + waiting.in_flight + waiting.failed > 0)
            .collect();
        waiting.sort_by(|a, b| a.function.cmp(&b.function));
        waiting
    }

    /// Events that wait or have failed: a hundred at most, or those that were asked for.
    pub async fn show(&self, which: &Which) -> Result<Vec<Stored>, Error> {
        let most = if which.ids.is_empty() { SHOWN } else { usize::MAX };
        let keys = self.agenda.schedule().waiting(&which.meant(), most);
        let found = self.find(keys, which).await?;
        Ok(found.into_iter().map(|(_, stored)| stored).collect())
    }

    /// Sends events that failed for good once more, as if they had just come, under the same request ids. How many.
    pub async fn redrive(&self, which: &Which) -> Result<usize, Error> {
        let keys = self.agenda.schedule().failed(&which.meant());
        let found = self.take(self.find(keys, which).await?).await?;
        let now = self.now();
        let again = found.into_iter().map(|(key, Stored { mut event, stage })| async move {
            let before = Label::of(&Stored { event: event.clone(), stage });
            event.accepted = now;
            let stored = Stored { event, stage: Stage::default() };
            let written = self.writer.replace(key, &stored).await;
            match &written {
                Ok(()) => self.again(key, &Label::of(&stored)),
                Err(_) => self.again(key, &before),
            }
            written
        });
        let written: Vec<_> = stream::iter(again).buffer_unordered(WRITES).collect().await;
        count(written)
    }

    /// Throws away what waits and what has failed; what is with its function now is not touched. How many.
    pub async fn purge(&self, which: &Which) -> Result<usize, Error> {
        let keys = if which.ids.is_empty() {
            // Without reading a million events; at once, so that the keys are those of the same events still.
            let mut schedule = self.agenda.schedule();
            let keys = schedule.waiting(&which.meant(), usize::MAX);
            schedule.take(&keys.into_iter().collect())
        } else {
            let keys = self.agenda.schedule().waiting(&which.meant(), usize::MAX);
            let taken = self.take(self.find(keys, which).await?).await?;
            taken.into_iter().map(|(key, _)| key).collect()
        };
        let gone = keys.into_iter().map(|key| async move {
            let done = self.writer.done(key).await;
            if done.is_err()
                && let Ok(Some(stored)) = self.read(key).await
            {
                self.again(key, &Label::of(&stored));
            }
            done
        });
        let written: Vec<_> = stream::iter(gone).buffer_unordered(WRITES).collect().await;
        count(written)
    }

    /// Takes events that were found out of the schedule: those that nobody attends to by then. As they are now.
    pub(super) async fn take(&self, found: Vec<(Key, Stored)>) -> Result<Vec<(Key, Stored)>, Error> {
        let found: HashMap<_, _> =
            found.into_iter().map(|(key, stored)| (key, (stored.event.id, Label::of(&stored)))).collect();
        let taken = self.agenda.schedule().take(&found.keys().copied().collect());
        // An event that was settled meanwhile has left its key to another. Of those that were taken none will.
        let read = match self.find(taken.clone(), &Which::default()).await {
            Ok(read) => read,
            Err(error) => {
                taken.into_iter().for_each(|key| self.again(key, &found[&key].1));
                return Err(error);
            }
        };
        let (taken, others): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|(key, stored)| found[key].0 == stored.event.id);
        others.iter().for_each(|(key, stored)| self.again(*key, &Label::of(stored)));
        Ok(taken)
    }

    /// Reads those that are meant.
    pub(super) async fn find(&self, keys: Vec<Key>, which: &Which) -> Result<Vec<(Key, Stored)>, Error> {
        let (reader, ids) = (self.reader.clone(), which.ids.clone());
        let found = spawn_blocking(move || {
            let read = keys.into_iter().filter_map(|key| match reader.read(key) {
                Ok(stored) => {
                    let stored = stored.filter(|stored| ids.is_empty() || ids.contains(&stored.event.id))?;
                    Some(Ok((key, stored)))
                }
                Err(error) => Some(Err(error)),
            });
            read.collect()
        });
        found.await.map_err(|_| Error::Closed)?
    }
}

fn count(written: Vec<Result<(), Error>>) -> Result<usize, Error> {
    let mut count = 0;
    for written in written {
        written?;
        count += 1;
    }
    Ok(count)
}

/// Part of the admin port.
pub fn router(queue: Arc<Queue>) -> Router {
    Router::new()
        .route("/queue", get(list))
        .route("/queue/events", get(events))
        .route("/queue/redrive", post(redrive))
        .route("/queue/purge", post(purge))
        .layer(middleware::from_fn(web::to_its_end))
        .with_state(queue)
}

type Answer = Result<Json, (StatusCode, String)>;

/// What is answered.
struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], format!("{}\n", self.0)).into_response()
    }
}

async fn list(State(queue): State<Arc<Queue>>) -> Json {
    Json(queue.waiting().iter().map(|waiting| json!(waiting)).collect())
}

async fn events(State(queue): State<Arc<Queue>>, RawQuery(query): RawQuery) -> Answer {
    let which = which(query)?;
    let events = queue.show(&which).await.map_err(failed)?;
    Ok(Json(events.iter().map(|stored| shown(stored, !which.ids.is_empty())).collect()))
}

async fn redrive(State(queue): State<Arc<Queue>>, RawQuery(query): RawQuery) -> Answer {
    let which = which(query)?;
    Ok(Json(json!({ "redriven": queue.redrive(&which).await.map_err(failed)? })))
}

async fn purge(State(queue): State<Arc<Queue>>, RawQuery(query): RawQuery) -> Answer {
    let which = which(query)?;
    if which == Which::default() {
        return Err((StatusCode::BAD_REQUEST, "say what is to be purged: a function, or ids\n".to_owned()));
    }
    Ok(Json(json!({ "purged": queue.purge(&which).await.map_err(failed)? })))
}

fn which(query: Option<String>) -> Result<Which, (StatusCode, String)> {
    Which::read(&query.unwrap_or_default()).map_err(|why| (StatusCode::BAD_REQUEST, format!("{why}\n")))
}

fn failed(error: Error) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
}

/// An event as it is shown; its payload and what the function answered only where it was asked for by its id.
fn shown(stored: &Stored, whole: bool) -> Value {
    let Stored { event, stage } = stored;
    let (state, attempts, verdict, last) = match stage {
        Stage::Waiting { attempts, last, .. } => ("Waiting", *attempts, None, last.as_ref()),
        Stage::Delivering { verdict, .. } => {
            ("Delivering", verdict.attempts, Some(verdict), verdict.answer.as_ref())
        }
        Stage::Failed { verdict } => ("Failed", verdict.attempts, Some(verdict), verdict.answer.as_ref()),
    };
    let mut shown = json!({
        "requestId": event.id.to_string(),
        "function": &*event.target,
        "accepted": format!("{:.3}", event.accepted),
        "state": state,
        "attempts": attempts,
        "bytes": event.payload.len(),
    });
    if let Some(due) = stage.due() {
        shown["due"] = format!("{due:.3}").into();
    }
    if let Some(verdict) = verdict {
        shown["condition"] = verdict.condition.name().into();
    }
    if whole {
        shown["payload"] = value(super::event::json(&event.payload).get());
        if let Some(last) = last {
            shown["answer"] = value(last.payload.get());
        }
    }
    shown
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| json.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_meant() {
        let id = "e4b46cbf-0000-4000-8000-000000000000";
        let which = Which::read(&format!("function=arn%3Aaws&id={id}&id={id}")).unwrap();
        assert_eq!(which.function.as_deref(), Some("arn:aws"));
        assert_eq!(which.ids.len(), 1);
        assert_eq!(Which::read("").unwrap(), Which::default());
        for wrong in ["id=7", "name=f", "function=%ff"] {
            assert!(Which::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn functions_are_meant_by_name_or_arn() {
        let which = |name: &str| Which { function: Some(name.to_owned()), ..Which::default() };
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f:live";
        assert!(which("f").meant()(arn) && which(arn).meant()(arn) && Which::default().meant()(arn));
        assert!(!which("live").meant()(arn));
    }
}
