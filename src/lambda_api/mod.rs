//! Lambda's control-plane REST API: what the AWS CLI, boto3, Terraform, SAM and CDK speak. No wiring, no CLI.
//!
//! Each area has its `routes()`; a handler reads the request, decides by pure functions that are handed `now`, and changes
//! what is on the [shelves](shelf). An answer is sent after the change it tells of is durable. Roles and policies are
//! recorded, not enforced.

mod account;
mod answer;
mod asynchronous;
pub mod auth;
mod body;
mod capacity;
pub mod code;
mod code_signing;
pub mod concurrency;
mod durable;
pub mod error;
pub mod event_config;
pub mod function;
pub mod invoke;
pub mod layer;
pub mod mapping;
pub mod name;
mod page;
pub mod policy;
mod recursion;
mod runtime_updates;
mod setting;
pub mod shelf;
pub mod throttle;
pub mod url;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit, http::Request, middleware};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

pub use self::{
    error::{Code, Error},
    name::Identity,
};
use self::{
    function::{Alias, Function, Version},
    shelf::{Change, Shelf, Store},
};
use crate::{fleet::Fleet, queue::Queue, web};

/// What the API is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose functions these are.
    pub identity: Identity,
    /// Where resources and code are kept.
    pub directory: PathBuf,
    /// How long a function is `Pending`, an update `InProgress`: tools expect to see it, nobody wants to wait for it.
    pub settle: Duration,
    /// How much may run at once.
    pub limits: concurrency::Limits,
    /// Where functions' URLs are reached.
    pub urls: url::Base,
}

/// What handlers share.
#[derive(Debug)]
pub struct Api {
    /// What it was told.
    pub settings: Settings,
    /// The zips of functions and layers.
    pub code: code::Store,
    /// Where code in buckets is fetched from.
    objects: Option<Box<dyn code::object::Objects>>,
    /// Where functions run; set by who wires.
    fleet: OnceLock<Arc<Fleet>>,
    /// Where asynchronous invocations go; the same.
    queue: OnceLock<Arc<Queue>>,
    store: Store,
    /// By name.
    functions: Shelf<Function>,
    /// By [`function::version_key`]; `$LATEST` is number 0.
    versions: Shelf<Version>,
    /// By [`function::alias_key`].
    aliases: Shelf<Alias>,
    /// By name.
    layers: Shelf<layer::Layer>,
    /// By layer and number.
    layer_versions: Shelf<layer::Version>,
    /// This and all that follow by [`setting::key`], or by a function's name where versions share it.
    policies: Shelf<policy::Policy>,
    reserved: Shelf<u32>,
    provisioned: Shelf<concurrency::Provisioned>,
    event_configs: Shelf<event_config::EventConfig>,
    urls: Shelf<url::Url>,
    code_signing: code_signing::Shelves,
    recursion: Shelf<String>,
    runtime_updates: Shelf<runtime_updates::RuntimeUpdates>,
    /// Event source mappings, and who runs them.
    mappings: mapping::Mappings,
}

impl Api {
    /// Opens what is kept in the directory.
    pub async fn open(
        settings: Settings,
        objects: Option<Box<dyn code::object::Objects>>,
    ) -> Result<Arc<Self>, shelf::Error> {
        let store = Store::open(&settings.directory).await?;
        let directory = settings.directory.join("code");
        let code = code::Store::open(directory.clone())
            .map_err(|error| shelf::Error::Disk { file: directory, why: error.to_string() })?;
        let api = Self {
            code,
            objects,
            fleet: OnceLock::new(),
            queue: OnceLock::new(),
            functions: store.shelf("functions").await?,
            versions: store.shelf("versions").await?,
            aliases: store.shelf("aliases").await?,
            layers: store.shelf("layers").await?,
            layer_versions: store.shelf("layer-versions").await?,
            policies: store.shelf("policies").await?,
            reserved: store.shelf("reserved-concurrency").await?,
            provisioned: store.shelf("provisioned-concurrency").await?,
            event_configs: store.shelf("event-invoke-configs").await?,
            urls: store.shelf("function-urls").await?,
            code_signing: code_signing::Shelves::open(&store).await?,
            recursion: store.shelf("recursion-configs").await?,
            runtime_updates: store.shelf("runtime-management").await?,
            mappings: mapping::Mappings::open(&store).await?,
            store,
            settings,
        };
        // What was kept for changes that never came.
        api.sweep().await;
        Ok(Arc::new(api))
    }

    /// Has functions run by `fleet` from now on. Once: what comes later is ignored, as it is in
    /// [`submit_to`](Self::submit_to).
    pub fn run_by(&self, fleet: Arc<Fleet>) {
        let _ = self.fleet.set(fleet);
        concurrency::resume(self);
    }

    /// Has asynchronous invocations go to `queue`, which comes back in by [`invoke`](Self::invoke).
    pub fn submit_to(&self, queue: Arc<Queue>) {
        let _ = self.queue.set(queue);
    }

    /// Whose functions these are.
    pub fn identity(&self) -> &Identity {
        &self.settings.identity
    }

    /// Begins a change; nobody else changes anything until it is committed or dropped. What it depends on is to be looked
    /// at after this returns.
    async fn change(&self) -> Change {
        self.store.change().await
    }

    /// The moment a request is answered at; everything that decides is handed it.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Everything under one address.
pub fn router(api: Arc<Api>) -> Router {
    let changes = Router::new()
        .merge(account::routes())
        .merge(capacity::routes())
        .merge(code::routes())
        .merge(code_signing::routes())
        .merge(concurrency::routes())
        .merge(durable::routes())
        .merge(event_config::routes())
        .merge(function::routes())
        .merge(layer::routes())
        .merge(policy::routes())
        .merge(recursion::routes())
        .merge(runtime_updates::routes())
        .merge(url::routes())
        .merge(mapping::routes())
        .layer(middleware::from_fn(web::to_its_end));
    // Who hangs up before a function's turn does not want it.
    let areas = changes
        .merge(invoke::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(body::LARGEST))
        .with_state(api);
    // Routed once more from the outside: what changes the path has to come before routing.
    Router::new()
        .fallback_service(areas)
        .layer(middleware::map_request(trim))
        .layer(middleware::map_request(legible))
        .layer(middleware::from_fn(answer::finish))
}

/// AWS's older paths end in a slash, and some SDKs still send them.
async fn trim<B>(mut request: Request<B>) -> Request<B> {
    let uri = request.uri();
    let path = uri.path();
    if path.len() > 1 && path.ends_with('/') {
        let path = path.trim_end_matches('/');
        let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        // A path without its last character is a path.
        if let Ok(uri) = target.parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// A path that is no text names nothing: who would read it says so in no words of AWS's.
async fn legible<B>(request: Request<B>) -> Result<Request<B>, Error> {
    match percent_decode_str(request.uri().path()).decode_utf8() {
        Ok(_) => Ok(request),
        Err(_) => Err(Error::validation("The path of the request is not UTF-8.")),
    }
}

/// No operation has this path; AWS's front door says it so.
async fn unknown() -> Error {
    Error::new(Code::AccessDenied, "Unable to determine service/operation name to be authorized")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, time::Instant};

    use axum::{
        body::{Body, to_bytes},
        http::StatusCode,
    };
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    /// An API in a directory of its own.
    pub(crate) async fn api() -> (Arc<Api>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity { account: "000000000000".to_owned(), region: "us-east-1".to_owned() };
        let settings = Settings {
            identity,
            directory: directory.path().to_owned(),
            settle: Duration::from_millis(200),
            limits: concurrency::Limits::default(),
            urls: url::Base::default(),
        };
        (Api::open(settings, None).await.unwrap(), directory)
    }

    /// A function with so many published versions; where there is one, the alias `live` points to it.
    pub(super) async fn given(api: &Arc<Api>, name: &str, published: u64) {
        let now = Timestamp::now();
        let mut change = api.change().await;
        let tags = BTreeMap::new();
        change.put(
            &api.functions,
            name,
            Function { name: name.to_owned(), next_version: published + 1, tags },
        );
        for number in 0..=published {
            let version = Version {
                function: name.to_owned(),
                number,
                revision_id: uuid::Uuid::new_v4().to_string(),
                last_modified: now,
                active_from: now,
                updated_from: now,
                content: number.to_string(),
                code: function::Code::Zip(function::Archive {
                    sha256: "A=".to_owned(),
                    size: 100,
                    unpacked: 300,
                }),
                source_key: None,
                config: config(name),
            };
            change.put(&api.versions, function::version_key(name, number), version);
        }
        if published > 0 {
            let alias = Alias {
                function: name.to_owned(),
                name: "live".to_owned(),
                version: "1".to_owned(),
                description: String::new(),
                revision_id: uuid::Uuid::new_v4().to_string(),
                routing: None,
            };
            change.put(&api.aliases, function::alias_key(name, "live"), alias);
        }
        change.commit().await.unwrap();
    }

    fn config(name: &str) -> function::Config {
        function::Config {
            runtime: Some("python3.13".to_owned()),
            handler: Some("f.handler".to_owned()),
            role: "arn:aws:iam::000000000000:role/r".to_owned(),
            ..function::defaults(name, "Zip", vec!["x86_64".to_owned()])
        }
    }

    /// Sends a request; `Value::Null` stands for no body.
    pub(crate) async fn send(api: &Arc<Api>, method: &str, uri: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(uri).body(body).unwrap();
        let response = router(Arc::clone(api)).oneshot(request).await.unwrap();
        assert!(response.headers().contains_key("x-amzn-requestid"), "{response:?}");
        let json = response.headers()["content-type"] == "application/json";
        assert!(json || uri.starts_with(code::PATH), "{response:?}");
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    #[tokio::test]
    async fn a_trailing_slash_makes_no_difference() {
        let (api, _directory) = api().await;
        for path in ["/2015-03-31/functions", "/2015-03-31/functions/", "/2015-03-31/functions/?MaxItems=5"] {
            let (status, answer) = send(&api, "GET", path, Value::Null).await;
            assert_eq!((status, answer), (StatusCode::OK, json!({ "Functions": [], "NextMarker": null })));
        }
    }

    #[tokio::test]
    async fn a_path_that_is_no_text_is_refused() {
        let (api, _directory) = api().await;
        let path = "/2015-03-31/functions/%ff";
        let (status, answer) = send(&api, "GET", path, Value::Null).await;
        assert_eq!(
            (status, answer),
            (StatusCode::BAD_REQUEST, json!({ "message": "The path of the request is not UTF-8." }))
        );
    }

    /// Goes through a listing: how many items there are, and how long the median page took.
    pub(super) async fn leaf_through(api: &Arc<Api>, path: &str, member: &str) -> (usize, Duration) {
        let (mut seen, mut took, mut marker) = (0, Vec::new(), String::new());
        loop {
            let begin = Instant::now();
            let (_, page) = send(api, "GET", &format!("{path}?{marker}"), Value::Null).await;
            took.push(begin.elapsed());
            seen += page[member].as_array().unwrap().len();
            let Some(next) = page["NextMarker"].as_str() else { break };
            marker = format!("Marker={next}");
        }
        took.sort();
        (seen, took[took.len() / 2])
    }

    #[tokio::test]
    async fn a_thousand_functions_are_listed_in_no_time() {
        let (api, _directory) = api().await;
        given(&api, "f", 0).await;
        let function = api.functions.get("f").unwrap();
        let version = api.versions.get(&function::version_key("f", 0)).unwrap();
        let mut change = api.change().await;
        for name in (1..1000).map(|nth| format!("f{nth}")) {
            let version = Version { function: name.clone(), ..Version::clone(&version) };
            change.put(&api.versions, function::version_key(&name, 0), version);
            let function = Function { name: name.clone(), ..Function::clone(&function) };
            change.put(&api.functions, name, function);
        }
        change.commit().await.unwrap();
        let (seen, page) = leaf_through(&api, "/2015-03-31/functions", "Functions").await;
        assert_eq!(seen, 1000);
        assert!(page < Duration::from_millis(100), "{page:?}");
    }

    #[tokio::test]
    async fn an_unknown_path_is_no_operation() {
        let (api, _directory) = api().await;
        for (method, path) in [("GET", "/"), ("GET", "/2015-03-31/nothing"), ("PUT", "/2015-03-31/functions")]
        {
            let (status, answer) = send(&api, method, path, Value::Null).await;
            assert_eq!(status, StatusCode::FORBIDDEN);
            assert_eq!(answer["Message"], "Unable to determine service/operation name to be authorized");
        }
    }
}
