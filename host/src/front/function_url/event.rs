//! A request as the event of a Function URL.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING, USER_AGENT},
    request::Parts,
};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::Visit;

/// What every Function URL calls its only route, and its only stage.
const DEFAULT: &str = "$default";
/// Between us and the caller alone.
pub(super) const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: Context<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    account_id: &'a str,
    api_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<Authorizer<'a>>,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: &'a str,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: String,
    user_agent: String,
}

#[derive(Serialize)]
struct Authorizer<'a> {
    iam: Iam<'a>,
}

/// Whose key it was. Users are not known here: it is the account's own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Iam<'a> {
    access_key: &'a str,
    account_id: &'a str,
    caller_id: &'a str,
    cognito_identity: (),
    principal_org_id: (),
    user_arn: &'a str,
    user_id: &'a str,
}

/// The event of a request whose body is `body`.
pub(super) fn of(head: &Parts, body: &Bytes, visit: &Visit, id: &str, trace: &HeaderValue) -> Bytes {
    let peer = visit.peer;
    let headers = &head.headers;
    // HTTP/2 has the host beside the path, not among the headers.
    let host = first(headers, &HOST).or_else(|| head.uri.authority().map(|authority| authority.as_str()));
    let host = host.unwrap_or_default();
    let domain = host.rsplit_once(':').map_or(host, |(name, port)| if is_port(port) { name } else { host });
    let prefix = domain.split('.').next().unwrap_or_default();
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let (text, is_base64_encoded) = encoded(headers, body);
    let now = Timestamp::now();
    let event = Event {
        version: "2.0",
        route_key: DEFAULT,
        raw_path: path,
        raw_query_string: query,
        cookies: cookies(headers),
        headers: forwarded(headers, host, body, peer, trace),
        query_string_parameters: parameters(query),
        request_context: Context {
            account_id: visit.caller.as_ref().map_or("anonymous", |caller| &caller.account),
            api_id: prefix,
            authorizer: visit.caller.as_ref().map(|caller| Authorizer {
                iam: Iam {
                    access_key: &caller.access_key,
                    account_id: &caller.account,
                    caller_id: &caller.account,
                    cognito_identity: (),
                    principal_org_id: (),
                    user_arn: &caller.arn,
                    user_id: &caller.account,
                },
            }),
            domain_name: domain,
            domain_prefix: prefix,
            http: Http {
                method: head.method.as_str(),
                path,
                // A Function URL says so whatever its caller speaks.
                protocol: "HTTP/1.1",
                source_ip: source(headers, peer),
                user_agent: first(headers, &USER_AGENT).unwrap_or_default().to_owned(),
            },
            request_id: id,
            route_key: DEFAULT,
            stage: DEFAULT,
            time: now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            time_epoch: now.as_millisecond(),
        },
        body: text,
        is_base64_encoded,
    };
    serde_json::to_vec(&event).expect("strings and numbers are always JSON").into()
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Each cookie by itself. Unlike HTTP APIs' events, of the same format, a Function URL's has them among the headers too.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(|line| line.split(';')).map(str::trim).filter(|cookie| !cookie.is_empty());
    cookies.map(str::to_owned).collect()
}

/// The headers by their names in lower case, repeated ones joined, and those that AWS's own front adds.
fn forwarded<'a>(
    headers: &'a HeaderMap,
    host: &str,
    body: &Bytes,
    peer: Option<SocketAddr>,
    trace: &HeaderValue,
) -> BTreeMap<&'a str, String> {
    let mut all = BTreeMap::new();
    for name in headers.keys().filter(|name| !HOP_BY_HOP.contains(&name.as_str())) {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        // HTTP/2 sends a line a cookie, and no cookie ends with a comma.
        let between = if name == COOKIE { "; " } else { "," };
        all.insert(name.as_str(), values.collect::<Vec<_>>().join(between));
    }
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| is_port(port)).unwrap_or("80");
    let mut add = |name, value| {
        all.entry(name).or_insert(value);
    };
    add("host", host.to_owned());
    add("x-amzn-trace-id", String::from_utf8_lossy(trace.as_bytes()).into_owned());
    add("x-forwarded-for", peer.map(|peer| peer.ip().to_string()).unwrap_or_default());
    add("x-forwarded-port", port.to_owned());
    add("x-forwarded-proto", "http".to_owned());
    // What came in chunks has a length by now.
    if headers.contains_key(TRANSFER_ENCODING) {
        add("content-length", body.len().to_string());
    }
    all
}

/// Who sent it: behind a proxy of the cluster's or the machine's own, whom that says it was.
fn source(headers: &HeaderMap, peer: Option<SocketAddr>) -> String {
    let near = peer.is_none_or(|peer| match peer.ip() {
        std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    });
    let told = first(headers, &HeaderName::from_static("x-forwarded-for"));
    let told = told.and_then(|list| list.split(',').next()).map(str::trim);
    let told = told.filter(|ip| near && ip.parse::<std::net::IpAddr>().is_ok());
    told.map(str::to_owned).or_else(|| Some(peer?.ip().to_string())).unwrap_or_default()
}

/// The query, decoded; the values of a repeated key joined.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value);
        all.entry(decoded(name))
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert(value);
    }
    all
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The body as text where its type is one of the few that AWS knows for text, else in base64.
fn encoded<'a>(headers: &HeaderMap, body: &'a Bytes) -> (Option<Cow<'a, str>>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    let kind = first(headers, &CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&kind.as_str());
    match std::str::from_utf8(body) {
        Ok(text) if is_text => (Some(text.into()), false),
        _ => (Some(BASE64_STANDARD.encode(body).into()), true),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use serde_json::{Value, json};

    use super::*;

    fn event(uri: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Value {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let visit = Visit { peer: Some("203.0.113.7:5000".parse().unwrap()), ..Visit::default() };
        let event = of(&head, &Bytes::from_static(body), &visit, "id-1", &HeaderValue::from_static("Root=1"));
        serde_json::from_slice(&event).unwrap()
    }

    #[test]
    fn every_field_is_where_a_function_url_has_it() {
        let headers = [
            ("Host", "shop.example:8080"),
            ("User-Agent", "curl/8"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("Header2", "value1"),
            ("header2", "value2"),
            ("Connection", "keep-alive"),
            ("Cookie", "cookie1=a; cookie2=b"),
            ("Cookie", "cookie3=c"),
        ];
        let mut event = event("/my%2Fpath/?a=foo&a=%2Fbar&b=x+y&c", &headers, b"{\"n\": 1}");
        let time = event["requestContext"]["time"].take();
        let epoch = event["requestContext"]["timeEpoch"].take();
        let time = time.as_str().unwrap();
        assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
        assert!(epoch.as_i64().unwrap() > 1_700_000_000_000);
        let expected = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/my%2Fpath/",
            "rawQueryString": "a=foo&a=%2Fbar&b=x+y&c",
            "cookies": ["cookie1=a", "cookie2=b", "cookie3=c"],
            "headers": {
                "content-type": "application/json; charset=utf-8", "cookie": "cookie1=a; cookie2=b; cookie3=c",
                "header2": "value1,value2",
                "host": "shop.example:8080", "user-agent": "curl/8", "x-amzn-trace-id": "Root=1",
                "x-forwarded-for": "203.0.113.7", "x-forwarded-port": "8080", "x-forwarded-proto": "http",
            },
            "queryStringParameters": {"a": "foo,/bar", "b": "x y", "c": ""},
            "requestContext": {
                "accountId": "anonymous", "apiId": "shop", "domainName": "shop.example", "domainPrefix": "shop",
                "http": {
                    "method": "POST", "path": "/my%2Fpath/", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7",
                    "userAgent": "curl/8",
                },
                "requestId": "id-1", "routeKey": "$default", "stage": "$default", "time": null, "timeEpoch": null,
            },
            "body": "{\"n\": 1}",
            "isBase64Encoded": false,
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn what_is_not_there_has_no_key() {
        let event = event("/", &[], b"");
        for absent in ["cookies", "queryStringParameters", "body"] {
            assert_eq!(event.get(absent), None, "{absent}");
        }
        assert_eq!((&event["rawQueryString"], &event["isBase64Encoded"]), (&json!(""), &json!(false)));
    }

    #[test]
    fn only_types_that_aws_knows_for_text_are_text() {
        let of = |kind: &str, body| event("/", &[("content-type", kind)], body)["isBase64Encoded"].clone();
        for text in ["text/plain", "TEXT/html; charset=utf-8", "application/json", "application/xml"] {
            assert_eq!(of(text, b"a"), false, "{text}");
        }
        for binary in ["application/x-www-form-urlencoded", "application/cloud+json", "image/png", ""] {
            assert_eq!(of(binary, b"a"), true, "{binary}");
        }
        assert_eq!(of("text/plain", b"\xff"), true, "text that is none");
        assert_eq!(event("/", &[], b"a")["body"], "YQ==");
    }

    #[test]
    fn who_signed_is_told() {
        let (head, ()) = Request::get("/").body(()).unwrap().into_parts();
        let caller = super::super::Caller {
            account: "000000000000".to_owned(),
            arn: "arn:aws:iam::000000000000:root".to_owned(),
            access_key: "AKIA".to_owned(),
        };
        let visit = Visit { caller: Some(caller), ..Visit::default() };
        let event = of(&head, &Bytes::new(), &visit, "id-1", &HeaderValue::from_static("Root=1"));
        let context = &serde_json::from_slice::<Value>(&event).unwrap()["requestContext"];
        let iam = json!({
            "accessKey": "AKIA", "accountId": "000000000000", "callerId": "000000000000", "cognitoIdentity": null,
            "principalOrgId": null, "userArn": "arn:aws:iam::000000000000:root", "userId": "000000000000",
        });
        assert_eq!(
            (&context["accountId"], &context["authorizer"]),
            (&json!("000000000000"), &json!({ "iam": iam }))
        );
    }

    #[test]
    fn a_proxy_of_our_own_is_believed_about_the_caller() {
        let headers: HeaderMap = [(
            HeaderName::from_static("x-forwarded-for"),
            HeaderValue::from_static("198.51.100.1, 10.0.0.2"),
        )]
        .into_iter()
        .collect();
        let from = |peer: &str| source(&headers, Some(peer.parse().unwrap()));
        assert_eq!((from("127.0.0.1:1"), from("10.1.1.1:1")), ("198.51.100.1".into(), "198.51.100.1".into()));
        assert_eq!(from("203.0.113.7:1"), "203.0.113.7");
    }
}
