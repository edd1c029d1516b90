use axum::body::to_bytes;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    fleet::{
        self, Fleet,
        logs::Logs,
        tests::{BOOTSTRAP, has_curl, zip_of},
    },
    queue::Queue,
};

struct Stage {
    api: Arc<Api>,
    queue: Arc<Queue>,
    _directory: tempfile::TempDir,
}

impl Stage {
    /// With a function `echo`. `None`: there is nothing to run it with.
    async fn new() -> Option<Self> {
        if !has_curl() {
            return None;
        }
        let (api, directory) = super::super::tests::api().await;
        let logs = Logs::open(directory.path(), None).unwrap();
        api.run_by(Fleet::new(fleet::Settings::new(directory.path().to_owned()), logs).unwrap());
        let queue = directory.path().join("queue");
        let queue = Queue::open(&queue, queue::Options::default(), queue::Metrics::default()).await.unwrap();
        api.submit_to(Arc::clone(&queue));
        let zip = zip_of(&[("bootstrap", BOOTSTRAP, 0o755)], None);
        let stage = Self { api, queue, _directory: directory };
        let function = json!({
            "FunctionName": "echo", "Runtime": "provided.al2023", "Handler": "none", "Timeout": 30,
            "Role": "arn:aws:iam::000000000000:role/r",
            "Code": { "ZipFile": base64_simd::STANDARD.encode_to_string(zip) },
        });
        let (status, created) = stage.send("POST", "/2015-03-31/functions", function).await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        Some(stage)
    }

    async fn send(&self, method: &str, uri: &str, body: Value) -> (StatusCode, Value) {
        super::super::tests::send(&self.api, method, uri, body).await
    }

    async fn invoke(&self, target: &str, headers: &[(&str, &str)], event: &str) -> Response<Body> {
        let mut request = Request::post(format!("/2015-03-31/functions/{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(event.to_owned())).unwrap();
        super::super::router(Arc::clone(&self.api)).oneshot(request).await.unwrap()
    }

    async fn refused(&self, target: &str, event: &str) -> (u16, String, Value) {
        let answer = self.invoke(target, &[], event).await;
        let name = header(&answer, "x-amzn-errortype").unwrap_or_default().to_owned();
        (answer.status().as_u16(), name, serde_json::from_slice(&bytes(answer).await).unwrap())
    }
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

async fn bytes(answer: Response<Body>) -> Bytes {
    to_bytes(answer.into_body(), usize::MAX).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_invoked_as_it_was_asked_for() {
    let Some(stage) = Stage::new().await else { return };
    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aecho";
    for target in ["echo/invocations", "echo/invocations/?Qualifier=%24LATEST", &format!("{arn}/invocations")]
    {
        let answer = stage.invoke(target, &[("x-amz-log-type", "Tail")], r#"{"a":1}"#).await;
        assert_eq!(answer.status(), 200, "{target}");
        assert_eq!(header(&answer, "x-amz-executed-version"), Some("$LATEST"));
        let id = header(&answer, "x-amzn-requestid").unwrap().to_owned();
        let log = base64_simd::STANDARD.decode_to_vec(header(&answer, "x-amz-log-result").unwrap()).unwrap();
        let log = String::from_utf8(log).unwrap();
        assert!(log.starts_with(&format!("START RequestId: {id} Version: $LATEST\n")), "{log}");
        assert!(log.contains(&format!("END RequestId: {id}\nREPORT RequestId: {id}\t")), "{log}");
        assert_eq!(bytes(answer).await, r#"{"a":1}"#);
    }
    let failed = stage.invoke("echo/invocations", &[], "\"raise\"").await;
    assert_eq!((failed.status().as_u16(), header(&failed, "x-amz-function-error")), (200, Some("Unhandled")));
    assert_eq!(bytes(failed).await, r#"{"errorType":"Asked","errorMessage":"as asked"}"#);
    let empty = stage.invoke("echo/invocations", &[], "").await;
    assert_eq!(bytes(empty).await, "{}");
    let dry = stage.invoke("echo/invocations", &[("x-amz-invocation-type", "DryRun")], "{}").await;
    assert_eq!((dry.status().as_u16(), bytes(dry).await.len()), (204, 0));
    let streamed = super::super::router(Arc::clone(&stage.api));
    let request = Request::post("/2021-11-15/functions/echo/response-streaming-invocations");
    let streamed = streamed.oneshot(request.body(Body::from("{\"b\":2}")).unwrap()).await.unwrap();
    assert_eq!(header(&streamed, "content-type"), Some("application/vnd.amazon.eventstream"));
    let streamed = bytes(streamed).await;
    assert!(streamed.windows(7).any(|part| part == b"{\"b\":2}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_in_awss_words() {
    let Some(stage) = Stage::new().await else { return };
    let arn = "arn:aws:lambda:us-east-1:000000000000:function";
    for (target, event, expected) in [
        (
            "nobody/invocations",
            "{}",
            (
                404,
                "ResourceNotFoundException",
                json!({"Message": format!("Function not found: {arn}:nobody"), "Type": "User"}),
            ),
        ),
        (
            "echo/invocations?Qualifier=live",
            "{}",
            (
                404,
                "ResourceNotFoundException",
                json!({"Message": format!("Function not found: {arn}:echo:live"), "Type": "User"}),
            ),
        ),
    ] {
        let (status, name, body) = stage.refused(target, event).await;
        assert_eq!((status, name.as_str(), body), expected);
    }
    let (status, name, body) = stage.refused("echo/invocations", "{nonsense").await;
    assert_eq!((status, name.as_str()), (400, "InvalidRequestContentException"));
    assert!(body["message"].as_str().unwrap().starts_with("Could not parse request body into json: "));
    let large = format!("\"{}\"", "x".repeat(6_291_455));
    let (status, name, _) = stage.refused("echo/invocations", &large).await;
    assert_eq!((status, name.as_str()), (413, "RequestEntityTooLargeException"));
    let put = "/2017-10-31/functions/echo/concurrency";
    let (status, _) = stage.send("PUT", put, json!({"ReservedConcurrentExecutions": 0})).await;
    assert_eq!(status, 200);
    let (status, name, body) = stage.refused("echo/invocations", "{}").await;
    assert_eq!((status, name.as_str()), (429, "TooManyRequestsException"));
    assert_eq!(body["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_the_queue_by_the_id_its_caller_is_told() {
    let Some(stage) = Stage::new().await else { return };
    let answer = stage.invoke("echo/invocations", &[("x-amz-invocation-type", "Event")], r#"{"a":1}"#).await;
    assert_eq!(answer.status(), 202);
    let id = header(&answer, "x-amzn-requestid").unwrap().to_owned();
    assert!(bytes(answer).await.is_empty());
    assert_eq!(stage.queue.size().events, 1);
    let old = super::super::router(Arc::clone(&stage.api));
    let request = Request::post("/2014-11-13/functions/echo/invoke-async/").body(Body::from("{}")).unwrap();
    let old = old.oneshot(request).await.unwrap();
    assert_eq!(old.status(), 202);
    assert!(bytes(old).await.is_empty(), "the status says it all");
    assert_eq!(stage.queue.size().events, 2);
    // And back.
    let (target, taken) = ("arn:aws:lambda:us-east-1:000000000000:function:echo", id.parse().unwrap());
    let attempt = stage.api.invoke(target, taken, None, Bytes::from_static(b"[1]")).await;
    assert_eq!(header(&attempt, "x-amzn-requestid"), Some(id.as_str()));
    assert_eq!(bytes(attempt).await, "[1]");
    let gone = stage.api.invoke("nobody", taken, None, Bytes::new()).await;
    assert_eq!(gone.status(), 404);
}
