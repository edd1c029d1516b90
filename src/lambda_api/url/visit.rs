//! Function URLs, served: who visits one invokes its function.
//!
//! A request is a visit by its host, `<id>.lambda-url.…`. Where such a name is not found (`*.localhost` is by browsers and
//! curl, not by every C library), `/lambda-url/<id>/…` at the API's own address is the same.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::to_bytes,
    extract::{ConnectInfo, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use jiff::Timestamp;
use klr_host::{Caller, Visit};

use super::Url;
use crate::lambda_api::{
    Api,
    answer::REQUEST_ID,
    auth::{Auth, is_signed},
    function, invoke,
    name::{Form, Name},
};

/// What one event may take, and so its body.
const LARGEST: usize = 6_291_456;
const LABEL: &str = "lambda-url";

/// The router, and beside it every function's URL. To be put around everything else: a visitor is neither a local tool nor
/// somebody with a key.
pub fn beside(router: Router, api: Arc<Api>, auth: Auth) -> Router {
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let (api, auth) = (Arc::clone(&api), auth.clone());
        async move {
            match Asked::of(&request) {
                Some(asked) => {
                    answer(&api, &auth, asked, request).await.unwrap_or_else(IntoResponse::into_response)
                }
                None => next.run(request).await,
            }
        }
    }))
}

/// Which URL is visited.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    id: String,
    /// The path behind the id, where it was not the host that named it.
    path: Option<String>,
}

impl Asked {
    fn of<B>(request: &http::Request<B>) -> Option<Self> {
        let uri = request.uri();
        // HTTP/2 has the host beside the path, not among the headers.
        let host =
            request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.host());
        let mut labels = host.unwrap_or_default().split('.');
        if let (Some(id), Some(LABEL)) = (labels.next(), labels.next()) {
            return Some(Self { id: id.to_ascii_lowercase(), path: None });
        }
        let rest = uri.path().strip_prefix('/')?.strip_prefix(LABEL)?.strip_prefix('/')?;
        let (id, path) = rest.split_once('/').unwrap_or((rest, ""));
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(Self { id: id.to_owned(), path: Some(format!("/{path}{query}")) })
    }
}

/// What a visitor hears who does not get to the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// No URL has this id.
    Unknown,
    /// Not signed as it has to be, or what it leads to is no more.
    Forbidden,
    TooLarge,
    /// A path that is none.
    Bad,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Unknown => (StatusCode::FORBIDDEN, r#"{"Message":null}"#),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                r#"{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}"#,
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"message":"Request Entity Too Large"}"#),
            Self::Bad => (StatusCode::BAD_REQUEST, r#"{"message":"Bad Request"}"#),
        };
        let id = uuid::Uuid::new_v4().to_string();
        let mut answer =
            (status, [(header::CONTENT_TYPE, "application/json")], [(REQUEST_ID, id)], body).into_response();
        if status == StatusCode::FORBIDDEN {
            answer
                .headers_mut()
                .insert("x-amzn-errortype", HeaderValue::from_static("AccessDeniedException"));
        }
        answer
    }
}

async fn answer(api: &Api, auth: &Auth, asked: Asked, request: Request) -> Result<Response, Refused> {
    let (key, url) = api.urls.find(|url| url.id == asked.id).ok_or(Refused::Unknown)?;
    let (mut head, body) = request.into_parts();
    let origin = head.headers.get(header::ORIGIN).cloned();
    let cors = url.cors.as_ref().zip(origin);
    if let Some((cors, origin)) = &cors
        && head.method == Method::OPTIONS
        && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        let mut answer = StatusCode::OK.into_response();
        cors.allow(origin, answer.headers_mut());
        return Ok(answer);
    }
    let body = to_bytes(body, LARGEST).await.map_err(|_| Refused::TooLarge)?;
    let caller = if url.auth == "AWS_IAM" { Some(signer(api, auth, &head, &body).await?) } else { None };
    // AWS: what was checked is kept from the function, which sees who it was. (Date and session token it does see.)
    if caller.is_some() && is_signed(&head) {
        head.headers.remove(header::AUTHORIZATION);
    }
    arrive(api, &url, asked.path, &mut head)?;
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let buffered = url.invoke_mode.as_deref() != Some("RESPONSE_STREAM");
    let name = Name::parse(&key, None, Form::Namespaced, "InvokeFunctionUrl", api.identity())
        .map_err(|_| Refused::Forbidden)?;
    // AWS: a function is told the ARN as it was invoked, and a function's own URL names no version.
    let qualifier = name.qualifier.clone().filter(|qualifier| qualifier != "$LATEST");
    head.extensions.insert(Visit { peer, caller, qualifier, buffered });
    let resolved = function::resolve(api, &name).map_err(|_| Refused::Forbidden)?;
    let request = http::Request::from_parts(head, body);
    let mut answer = invoke::pass_on(api, &resolved, request).await.map_err(|_| Refused::Forbidden)?;
    if let Some((cors, origin)) = cors {
        cors.tell(&origin, answer.headers_mut());
    }
    Ok(answer)
}

/// Who signed it, or says so where signatures are not checked.
async fn signer(api: &Api, auth: &Auth, head: &Parts, body: &[u8]) -> Result<Caller, Refused> {
    let access_key = auth.signer(head, body, Timestamp::now()).await.map_err(|_| Refused::Forbidden)?;
    let (account, arn) = (api.identity().account.clone(), api.identity().root());
    Ok(Caller { account, arn, access_key })
}

/// The request as it would have come by the URL's host.
fn arrive(api: &Api, url: &Url, path: Option<String>, head: &mut Parts) -> Result<(), Refused> {
    let Some(path) = path else { return Ok(()) };
    head.uri = path.parse().map_err(|_| Refused::Bad)?;
    let host = api.settings.urls.host(&url.id, &api.identity().region);
    head.headers.insert(header::HOST, host.parse().map_err(|_| Refused::Bad)?);
    Ok(())
}
