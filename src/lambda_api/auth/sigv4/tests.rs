use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use http::Request;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: &str = "2026-11-23T03:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Signed by AWS's own signer.
fn signed(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], at: Timestamp) -> Parts {
    let uri = format!("http://127.0.0.1:9001{path}");
    let identity = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("lambda")
        .time(SystemTime::from(at))
        .settings(SigningSettings::default())
        .build()
        .unwrap();
    let signable = SignableRequest::new(method, &uri, headers.iter().copied(), SignableBody::Bytes(body));
    let (instructions, _) = sign(signable.unwrap(), &params.into()).unwrap().into_parts();
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:9001");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    for (name, value) in instructions.headers() {
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

fn check(parts: &Parts, body: &[u8], secret: &str) -> Result<(), Refused> {
    Claim::of(parts)?.verify(parts, body, secret, "us-east-1", now())
}

#[test]
fn what_aws_signs_is_let_in() {
    for (method, path, body) in [
        ("GET", "/2015-03-31/functions/", ""),
        ("GET", "/2015-03-31/functions?Marker=a%2Fb%3D%3D&MaxItems=5&FunctionVersion=ALL", ""),
        (
            "POST",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af/invocations",
            "{}",
        ),
        (
            "DELETE",
            "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Af?tagKeys=a%20b&tagKeys=a",
            "",
        ),
        ("PUT", "/2015-03-31/functions/f/code", "{\"ZipFile\":\"\u{fc}\"}"),
    ] {
        let headers = [("content-type", "application/json"), ("x-amz-log-type", "  Tail   now ")];
        let parts = signed(method, path, &headers, body.as_bytes(), now());
        assert_eq!(check(&parts, body.as_bytes(), SECRET), Ok(()), "{method} {path}");
        assert_eq!(check(&parts, b"another", SECRET), Err(Refused::Mismatch));
        assert_eq!(check(&parts, body.as_bytes(), "another"), Err(Refused::Mismatch));
    }
}

#[test]
fn paths_are_signed_without_dots_and_empty_segments() {
    for path in [
        "/",
        "//",
        "/a//b",
        "/a/./b/",
        "/a/../b",
        "/../a",
        "/a/.",
        "/a/b/..",
        "/a%2F%2Fb/..%2F",
        "/a%20b//c?x=/./",
    ] {
        let parts = signed("GET", path, &[], b"", now());
        assert_eq!(parts.uri.to_string(), path);
        assert_eq!(check(&parts, b"", SECRET), Ok(()), "{path}");
    }
    let mut parts = signed("GET", "/a/b", &[], b"", now());
    parts.uri = "/a%2Fb".parse().unwrap();
    assert_eq!(check(&parts, b"", SECRET), Err(Refused::Mismatch), "an encoded slash separates nothing");
}

#[test]
fn a_changed_request_is_not() {
    let good = || {
        signed(
            "POST",
            "/2015-03-31/functions/f/invocations?Qualifier=1",
            &[("x-amz-invocation-type", "Event")],
            b"{}",
            now(),
        )
    };
    let mut parts = good();
    parts.uri = "/2015-03-31/functions/g/invocations?Qualifier=1".parse().unwrap();
    assert_eq!(check(&parts, b"{}", SECRET), Err(Refused::Mismatch));
    let mut parts = good();
    parts.uri = "/2015-03-31/functions/f/invocations?Qualifier=2".parse().unwrap();
    assert_eq!(check(&parts, b"{}", SECRET), Err(Refused::Mismatch));
    let mut parts = good();
    parts.headers.insert("x-amz-invocation-type", "DryRun".parse().unwrap());
    assert_eq!(check(&parts, b"{}", SECRET), Err(Refused::Mismatch));
    let mut parts = good();
    parts.headers.insert("host", "elsewhere".parse().unwrap());
    assert_eq!(check(&parts, b"{}", SECRET), Err(Refused::Mismatch));
}

#[test]
fn time_and_place_are_part_of_it() {
    let at = |time: Timestamp| check(&signed("GET", "/", &[], b"", time), b"", SECRET);
    assert_eq!(at(now() - SignedDuration::from_mins(4)), Ok(()));
    assert_eq!(at(now() + SignedDuration::from_mins(4)), Ok(()));
    let old = at(now() - SignedDuration::from_mins(6)).unwrap_err().to_string();
    assert_eq!(
        old,
        "Signature expired: 20261123T025400Z is now earlier than 20261123T025500Z (20261123T030000Z - 5 min.)"
    );
    let early = at(now() + SignedDuration::from_mins(6)).unwrap_err().to_string();
    assert!(early.starts_with("Signature not yet current: 20261123T030600Z is still later than"), "{early}");
    let parts = signed("GET", "/", &[], b"", now());
    let elsewhere = Claim::of(&parts).unwrap().verify(&parts, b"", SECRET, "eu-west-1", now());
    assert_eq!(
        elsewhere.unwrap_err().to_string(),
        "Credential should be scoped to a valid region, not 'us-east-1'. "
    );
}

#[test]
fn what_cannot_be_read_is_told() {
    let request = |authorization: &str| {
        let request = Request::builder().uri("/").header("authorization", authorization);
        Claim::of(&request.header("x-amz-date", "20261123T030000Z").body(()).unwrap().into_parts().0)
    };
    let unsigned = Request::builder().uri("/").body(()).unwrap().into_parts().0;
    assert_eq!(Claim::of(&unsigned), Err(Refused::Missing));
    for (header, words) in [
        ("Bearer x", "Unsupported AWS 'algorithm'"),
        ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0", "'Credential'"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0", "5 slash-delimited"),
        (
            "AWS4-HMAC-SHA256 Credential=a/20261123/us-east-1/lambda/aws4_request, Signature=0",
            "'SignedHeaders'",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20261123/us-east-1/lambda/aws4_request, SignedHeaders=host",
            "'Signature'",
        ),
    ] {
        let refused = request(header).unwrap_err();
        assert_eq!(refused.code(), Code::IncompleteSignature);
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

proptest! {
    /// Whatever stands in the header, it is read or refused.
    #[test]
    fn nothing_in_the_header_is_too_strange(header in "[ -~]{0,120}", date in "[ -~]{0,20}") {
        let request = Request::builder().uri("/?a=%ff&%=&X=").header("authorization", format!("AWS4-HMAC-SHA256 {header}"));
        let parts = request.header("x-amz-date", date).body(()).unwrap().into_parts().0;
        if let Ok(claim) = Claim::of(&parts) {
            prop_assert!(claim.verify(&parts, b"", SECRET, "us-east-1", now()).is_err());
        }
    }
}
