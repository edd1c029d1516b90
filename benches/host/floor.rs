//! The floor: a caller's body goes to whoever asks for `next`, and what is posted to `response` goes to the caller.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, process::Command, sync::oneshot};

/// In 2100: a client must have a deadline, and the floor keeps none.
const DEADLINE_MS: u64 = 4_102_444_800_000;
/// The rest of what the Runtime API tells a client: what the function makes of it is no cost of the host's.
const ATTEMPT: &str = "01980b3e-5c1a-4d3f-9a57-3b1f6c2e8d70";
const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";
const TAKEN: Bytes = Bytes::from_static(br#"{"status":"OK"}"#);
const INVOCATION: &str = "/2018-06-01/runtime/invocation/";

/// A caller's body, and who waits for the reply.
type Asked = (Bytes, oneshot::Sender<Bytes>);

#[derive(Default)]
struct Floor {
    waiting: VecDeque<Asked>,
    /// Calls of `next` that wait; the last is served first, as the host does.
    free: Vec<oneshot::Sender<Asked>>,
    running: HashMap<u64, oneshot::Sender<Bytes>>,
    last: u64,
}

/// Serves callers and functions on one port, until it is killed; the functions end when their connections do.
pub fn serve(address: &str, processes: &str, function: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let mut functions = Vec::new();
        for _ in 0..processes.parse().expect("a number of processes") {
            let mut command = Command::new(function);
            command.env("AWS_LAMBDA_RUNTIME_API", address).env("AWS_LAMBDA_FUNCTION_NAME", "function");
            command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
            functions.push(command.spawn().expect("the function can be started"));
        }
        let floor = Arc::<Mutex<Floor>>::default();
        loop {
            let (stream, _) = listener.accept().await.expect("connections are accepted");
            stream.set_nodelay(true).expect("a TCP connection");
            let floor = Arc::clone(&floor);
            let service = service_fn(move |request| answer(Arc::clone(&floor), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

async fn answer(
    floor: Arc<Mutex<Floor>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    Ok(match head.uri.path().strip_prefix(INVOCATION) {
        Some("next") => next(&floor).await,
        Some(path) => {
            let id = path.strip_suffix("/response").and_then(|id| id.parse().ok());
            let id: u64 = id.expect("a function that only responds");
            let reply = read(body).await;
            let caller = lock(&floor).running.remove(&id).expect("an invocation that runs");
            let _ = caller.send(reply);
            Response::builder()
                .status(202)
                .header("content-type", "application/json")
                .body(Full::new(TAKEN))
                .expect("a status and a header")
        }
        None => invoke(&floor, read(body).await).await,
    })
}

async fn next(floor: &Mutex<Floor>) -> Response<Full<Bytes>> {
    let (offer, offered) = oneshot::channel();
    {
        let mut floor = lock(floor);
        match floor.waiting.pop_front() {
            Some(asked) => drop(offer.send(asked)),
            None => floor.free.push(offer),
        }
    }
    let (body, caller) = offered.await.expect("the floor keeps who is free");
    let mut locked = lock(floor);
    locked.last += 1;
    let id = locked.last;
    locked.running.insert(id, caller);
    drop(locked);
    let answer = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-invocation-id", ATTEMPT)
        .header("lambda-runtime-deadline-ms", DEADLINE_MS)
        .header("lambda-runtime-trace-id", TRACE)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:012345678912:function:function",
        );
    answer.body(Full::new(body)).expect("headers of ours")
}

async fn invoke(floor: &Mutex<Floor>, body: Bytes) -> Response<Full<Bytes>> {
    let (tell, told) = oneshot::channel();
    {
        let mut floor = lock(floor);
        match floor.free.pop() {
            Some(free) => drop(free.send((body, tell))),
            None => floor.waiting.push_back((body, tell)),
        }
    }
    let reply = told.await.expect("every invocation is answered");
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(reply))
        .expect("a header of ours")
}

async fn read(body: Incoming) -> Bytes {
    body.collect().await.expect("a whole body").to_bytes()
}

fn lock(floor: &Mutex<Floor>) -> std::sync::MutexGuard<'_, Floor> {
    floor.lock().expect("nothing panics with it")
}
