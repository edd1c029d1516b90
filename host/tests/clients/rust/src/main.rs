//! The test function under lambda_runtime. The event says what to do.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lambda_runtime::{
    run_concurrent, service_fn,
    streaming::{channel, Body, Response},
    Error, FunctionResponse, LambdaEvent,
};
use serde_json::{json, Value};

type Answer = FunctionResponse<Value, Body>;

async fn handler(event: LambdaEvent<Value>) -> Result<Answer, Error> {
    let (given, context) = event.into_parts();
    // From a Function URL what is asked is the body.
    let asked = match given["body"].as_str() {
        Some(body) => serde_json::from_str(body)?,
        None => given,
    };
    let number = |name: &str| asked[name].as_f64().unwrap_or_default();
    let reply = match asked["do"].as_str() {
        Some("error") => return Err("as asked".into()),
        Some("panic") => panic!("as asked"),
        Some("exit") => std::process::exit(number("code") as i32),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_secs_f64(number("seconds"))).await;
            Value::Null
        }
        Some("size") => "x".repeat(number("bytes") as usize - 2).into(),
        Some("stream" | "http") => return Ok(stream(asked)),
        Some("context") => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
            json!({
                "id": context.request_id, "arn": context.invoked_function_arn, "left": context.deadline as i64 - now,
                "custom": context.client_context.as_ref().map(|client| &client.custom),
                "trace": std::env::var("_X_AMZN_TRACE_ID").ok(),
                "env": std::env::vars().collect::<BTreeMap<_, _>>(),
            })
        }
        _ => asked,
    };
    Ok(FunctionResponse::BufferedResponse(reply))
}

fn stream(asked: Value) -> Answer {
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for part in asked["parts"].as_array().into_iter().flatten() {
            let _ = sender.send_data(part.as_str().unwrap_or_default().to_owned().into()).await;
        }
    });
    FunctionResponse::StreamingResponse(Response::from(body))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var_os("FAIL_INIT").is_some() {
        return Err("no start".into());
    }
    // One at a time where nobody asks for more.
    run_concurrent(service_fn(handler)).await
}
