//! Promise: a bucket's notification, by webhook or through a queue, becomes the Lambda event AWS would send, and its sender
//! is rid of it only once the function has it.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::thread;
use std::time::{Duration, Instant};

use aws_lambda_events::s3::S3Event;
use klr_test_support::client::{Response, send};
use klr_test_support::eventually;
use klr_test_support::klr::{Bridge, Setup};
use klr_test_support::s3::Bucket;
use klr_test_support::servers::{ElasticMq, Moto};
use klr_test_support::sink::{Answer, Request, Sink};
use klr_test_support::sqs::{Counts, Queue};
use percent_encoding::percent_decode_str;

const KLR: &str = env!("CARGO_BIN_EXE_klr");
const TOKEN: &str = "correct-horse";
const PATIENCE: Duration = Duration::from_secs(30);

const AWS: &str = r#"{"Records":[{"eventVersion":"2.5","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"2026-08-01T10:00:00.123Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AWS:AIDAEXAMPLE"},"requestParameters":{"sourceIPAddress":"192.0.2.7"},"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"FMyUVURIY8/IgAtTv8x="},"s3":{"s3SchemaVersion":"1.0","configurationId":"thumbs","bucket":{"name":"photos","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},"arn":"arn:aws:s3:::photos"},"object":{"key":"in/a+b%40c.jpg","size":1024,"eTag":"37b51d194a7513e45b56f6524f2d51f2","sequencer":"0055AED6DCD90281E5"}}}]}"#;
const MINIO: &str = r#"{"EventName":"s3:ObjectCreated:Put","Key":"photos/in/a b+c.jpg","Records":[{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"","eventTime":"2026-11-22T10:00:00.5Z","eventName":"s3:ObjectCreated:Put","userIdentity":{"principalId":"minioadmin"},"requestParameters":{"principalId":"minioadmin","region":"","sourceIPAddress":"127.0.0.1"},"responseElements":{"x-amz-id-2":"dd9025ba","x-amz-request-id":"17A2B3C4D5E6F708","x-minio-deployment-id":"0170a4cc"},"s3":{"s3SchemaVersion":"1.0","configurationId":"Config","bucket":{"name":"photos","ownerIdentity":{"principalId":"minioadmin"},"arn":"arn:aws:s3:::photos"},"object":{"key":"in%2Fa+b%2Bc.jpg","size":5,"eTag":"5d41402abc4b2a76b9719d911017c592","contentType":"image/jpeg","userMetadata":{"content-type":"image/jpeg"},"sequencer":"17A2B3C4D5E6F900"}},"source":{"host":"127.0.0.1","port":"","userAgent":"MinIO"}}]}"#;
const CEPH: &str = r#"{"Records":[{"eventVersion":"2.2","eventSource":"ceph:s3","awsRegion":"zg1","eventTime":"2026-11-22T13:47:35.124724Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"tester"},"requestParameters":{"sourceIPAddress":""},"responseElements":{"x-amz-request-id":"503a4c37.5330","x-amz-id-2":"14d2-zone1"},"s3":{"s3SchemaVersion":"1.0","configurationId":"mynotif1","bucket":{"name":"photos","ownerIdentity":{"principalId":"tester"},"arn":"arn:aws:s3:zg1::photos","id":"503a4c37.5332.38"},"object":{"key":"in/é b.jpg","size":1024,"eTag":"37b51d194a7513e45b56f6524f2d51f2","versionId":"","sequencer":"F7E6D75DC742D108","metadata":[],"tags":[]}},"eventId":"1574.2","opaqueData":"me@example.com"}]}"#;
const SEAWEED: &str = r#"{"key":"/buckets/photos/in/a b.jpg","event_type":"create","message":{"new_entry":{"name":"a b.jpg","chunks":[{"file_id":"3,01"}],"attributes":{"file_size":5,"mtime":1795341600,"file_mode":432,"md5":"XUFAKrxLKna5cZ2REBfFkg=="}},"new_parent_path":"/buckets/photos/in","signatures":[1]}}"#;

/// What AWS would have sent of it: what the senders above differ in.
struct Expected {
    region: &'static str,
    time: &'static str,
    who: &'static str,
    address: &'static str,
    request: (&'static str, &'static str),
    configuration: &'static str,
    owner: &'static str,
    key: &'static str,
    rest: &'static str,
}

impl Expected {
    fn body(&self) -> String {
        let Self { region, time, who, address, request: (request, host), configuration, owner, key, rest } =
            self;
        format!(
            r#"{{"Records":[{{"eventVersion":"2.5","eventSource":"aws:s3","awsRegion":"{region}","eventTime":"{time}","eventName":"ObjectCreated:Put","userIdentity":{{"principalId":"{who}"}},"requestParameters":{{"sourceIPAddress":"{address}"}},"responseElements":{{"x-amz-request-id":"{request}","x-amz-id-2":"{host}"}},"s3":{{"s3SchemaVersion":"1.0","configurationId":"{configuration}","bucket":{{"name":"photos","ownerIdentity":{{"principalId":"{owner}"}},"arn":"arn:aws:s3:::photos"}},"object":{{"key":"{key}",{rest}}}}}}}]}}"#
        )
    }

    /// fixtures/cloudevents/aws-adapter-attributes.json.
    fn attributes(&self) -> [(&'static str, String); 7] {
        let id = match self.request {
            // SeaweedFS gives no ids; what happened when to which object tells events apart.
            ("", "") => format!("photos.{}..{}.ObjectCreated:Put", self.key, self.time),
            (request, host) => format!("{request}.{host}"),
        };
        [
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", id),
            ("ce-source", format!("aws:s3.{}.photos", self.region)),
            ("ce-type", "com.amazonaws.s3.ObjectCreated:Put".to_owned()),
            ("ce-subject", self.key.to_owned()),
            ("ce-functionname", "thumbnails".to_owned()),
            ("content-type", "application/json".to_owned()),
        ]
    }
}

fn webhook(sink: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: klr.dev/v1alpha1\nkind: BucketNotification\nmetadata: {{name: uploads}}\nspec:\n  \
         functionName: thumbnails\n  sink: {{uri: \"{sink}\"}}\n{spec}"
    )
}

/// A bridge with the webhook open, and where that is.
fn start(sink: &Sink, spec: &str) -> (Bridge, String) {
    let mut bridge = Setup::run(KLR)
        .listening()
        .env("HOOK_TOKEN", &format!("{TOKEN}\n"))
        .resources("n.yaml", &webhook(&sink.uri, &format!("webhook: {{token: \"env:HOOK_TOKEN\"}}\n{spec}")))
        .start();
    bridge.wait_ready();
    let hook = format!("http://{}/bucketnotifications/uploads", bridge.listen());
    (bridge, hook)
}

fn notify(hook: &str, body: &str) -> Option<Response> {
    let authorization = format!("Bearer {TOKEN}");
    send("POST", hook, &[("authorization", &authorization), ("content-type", "application/json")], body)
}

fn status(answer: Option<Response>) -> u16 {
    answer.expect("the webhook answers").status
}

fn named(event: &str, bucket: &str, key: &str) -> String {
    AWS.replace("ObjectCreated:Put", event).replace("photos", bucket).replace("in/a+b%40c.jpg", key)
}

fn attribute(request: &Request, name: &str) -> String {
    let value = request.header(name).unwrap_or_else(|| panic!("no {name} in {:?}", request.headers));
    percent_decode_str(value).decode_utf8().unwrap().into_owned()
}

fn keys(sink: &Sink) -> Vec<String> {
    sink.requests().iter().map(|request| attribute(request, "ce-subject")).collect()
}

#[test]
fn what_the_stores_send_comes_as_what_aws_would_have_sent() {
    let sink = Sink::start(|_| Answer::json("null"));
    let (_bridge, hook) = start(&sink, "region: eu-central-1");
    let cases = [
        (
            AWS,
            Expected {
                region: "us-west-2",
                time: "2026-08-01T10:00:00.123Z",
                who: "AWS:AIDAEXAMPLE",
                address: "192.0.2.7",
                request: ("C3D13FE58DE4C810", "FMyUVURIY8/IgAtTv8x="),
                configuration: "thumbs",
                owner: "A3NL1KOZZKExample",
                key: "in/a+b%40c.jpg",
                rest: r#""size":1024,"eTag":"37b51d194a7513e45b56f6524f2d51f2","sequencer":"0055AED6DCD90281E5""#,
            },
        ),
        (
            MINIO,
            Expected {
                region: "eu-central-1",
                time: "2026-11-22T10:00:00.500Z",
                who: "minioadmin",
                address: "127.0.0.1",
                request: ("17A2B3C4D5E6F708", "dd9025ba"),
                configuration: "uploads",
                owner: "minioadmin",
                key: "in/a+b%2Bc.jpg",
                rest: r#""size":5,"eTag":"5d41402abc4b2a76b9719d911017c592","sequencer":"17A2B3C4D5E6F900""#,
            },
        ),
        (
            CEPH,
            Expected {
                region: "zg1",
                time: "2026-11-22T13:47:35.124Z",
                who: "tester",
                address: "",
                request: ("503a4c37.5330", "14d2-zone1"),
                configuration: "mynotif1",
                owner: "tester",
                key: "in/%C3%A9+b.jpg",
                rest: r#""size":1024,"eTag":"37b51d194a7513e45b56f6524f2d51f2","sequencer":"F7E6D75DC742D108""#,
            },
        ),
        (
            SEAWEED,
            Expected {
                region: "eu-central-1",
                time: "2026-11-22T10:00:00.000Z",
                who: "",
                address: "",
                request: ("", ""),
                configuration: "uploads",
                owner: "",
                key: "in/a+b.jpg",
                rest: r#""size":5,"eTag":"5d41402abc4b2a76b9719d911017c592""#,
            },
        ),
    ];
    for (n, (sent, expected)) in cases.iter().enumerate() {
        assert_eq!(status(notify(&hook, sent)), 200, "{sent}");
        let request = &sink.requests()[n];
        assert_eq!(request.body, expected.body());
        for (name, value) in expected.attributes() {
            assert_eq!(attribute(request, name), value, "{name}");
        }
        let time: jiff::Timestamp = attribute(request, "ce-time").parse().unwrap();
        assert_eq!(time, expected.time.parse().unwrap());
        serde_json::from_slice::<S3Event>(&request.body).unwrap();
    }
}

#[test]
fn who_does_not_show_the_token_is_not_heard() {
    let sink = Sink::start(|_| Answer::json("null"));
    let (bridge, hook) = start(&sink, "");
    for header in [&[][..], &[("authorization", "Bearer correct-donkey")], &[("authorization", "Bearer ")]] {
        assert_eq!(status(send("POST", &hook, header, AWS)), 401, "{header:?}");
    }
    // MinIO asks whether its target lives, without a token.
    assert_eq!(status(send("GET", &hook, &[], "")), 200);
    assert_eq!(sink.count(), 0);
    assert_eq!(status(notify(&hook, AWS)), 200, "the line feed at the token's end is none of it");
    assert_eq!(sink.count(), 1);
    let elsewhere = hook.replace("uploads", "downloads");
    assert_eq!(status(notify(&elsewhere, AWS)), 404);
    assert!(!bridge.stderr().contains(TOKEN) && !bridge.stderr().contains("b%40c"), "{}", bridge.stderr());
}

#[test]
fn the_sender_is_rid_of_it_only_once_the_sink_has_it() {
    let pause = Duration::from_millis(700);
    let mut sink = Sink::start(move |request| match request.index {
        0 => Answer::json("null").after(pause),
        1 => Answer::status(500),
        2 => Answer::status(503).header("retry-after", "7"),
        3 => Answer::cut(),
        _ => Answer::json("null"),
    });
    let (bridge, hook) = start(&sink, "");
    let began = Instant::now();
    assert_eq!(status(notify(&hook, AWS)), 200);
    assert!(began.elapsed() >= pause, "answered before the sink had");

    for (why, retry_after) in [("500", "5"), ("503", "7"), ("cut", "5")] {
        let answer = notify(&hook, AWS).unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some(retry_after)), "{why}");
    }
    sink.down();
    let answer = notify(&hook, AWS).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    let (_, state) = bridge.get("/readyz").unwrap();
    assert!(state.contains("PROBLEM"), "{state}");

    sink.up();
    assert_eq!(status(notify(&hook, AWS)), 200, "repeated, it is taken");
    let requests = sink.requests();
    let ids: Vec<_> = requests.iter().map(|request| attribute(request, "ce-id")).collect();
    assert_eq!(ids, vec![ids[0].clone(); 5], "one event, one id, however often it is delivered");
    let (_, state) = bridge.get("/readyz").unwrap();
    assert!(state.contains(r#""lastProcessingResult":"OK""#), "{state}");
}

#[test]
fn only_what_was_asked_for_is_delivered() {
    let sink = Sink::start(|_| Answer::json("null"));
    let spec = "bucket: photos\nevents: [\"s3:ObjectCreated:*\", \"s3:ObjectRemoved:Delete\"]\n\
                filter: {key: {filterRules: [{name: prefix, value: in/}, {name: Suffix, value: .jpg}]}}";
    let (_bridge, hook) = start(&sink, spec);
    for (event, bucket, key) in [
        ("ObjectCreated:Put", "photos", "in/1.jpg"),
        ("ObjectCreated:Put", "other", "in/2.jpg"),
        ("ObjectCreated:CompleteMultipartUpload", "photos", "in/3.jpg"),
        ("ObjectRemoved:Delete", "photos", "in/4.jpg"),
        ("ObjectRemoved:DeleteMarkerCreated", "photos", "in/5.jpg"),
        ("ObjectTagging:Put", "photos", "in/6.jpg"),
        ("ObjectCreated:Put", "photos", "out/7.jpg"),
        ("ObjectCreated:Put", "photos", "in/8.png"),
    ] {
        assert_eq!(status(notify(&hook, &named(event, bucket, key))), 200, "what is not wanted is taken too");
    }
    assert_eq!(keys(&sink), ["in/1.jpg", "in/3.jpg", "in/4.jpg"]);

    let two = named("ObjectCreated:Put", "photos", "in/9.jpg");
    let other = named("ObjectCreated:Put", "photos", "in/10.jpg");
    let record = other.strip_prefix(r#"{"Records":["#).unwrap();
    let two = two.replace("]}", &format!(",{record}"));
    assert_eq!(status(notify(&hook, &two)), 200);
    assert_eq!(keys(&sink)[3..], ["in/9.jpg", "in/10.jpg"], "AWS sends one record an event");
}

#[test]
fn sigterm_finishes_the_sender_in_flight() {
    let sink = Sink::start(|_| Answer::json("null").after(Duration::from_millis(1500)));
    let (mut bridge, hook) = start(&sink, "");
    let address = hook.clone();
    let sender = thread::spawn(move || notify(&address, AWS));
    assert!(sink.wait_for(1, PATIENCE));
    bridge.sigterm();
    assert!(eventually(PATIENCE, || send("GET", &hook, &[], "").is_none()), "no new sender is let in");
    assert_eq!(status(sender.join().unwrap()), 200);
    assert_eq!(bridge.wait_exit(PATIENCE), Some(0), "{}", bridge.stderr());
    assert_eq!(sink.count(), 1);
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    for (args, port) in [(&["--listen", "0.0.0.0:0"][..], ""), (&[], "0")] {
        let setup = Setup::run(KLR).args(args.iter().copied());
        let setup = if port.is_empty() { setup } else { setup.env("PORT", port) };
        let mut bridge = setup.resources("n.yaml", &webhook("http://localhost:9", "webhook: {}")).start();
        assert_eq!(bridge.wait_exit(PATIENCE), Some(2), "{args:?}");
        assert!(bridge.stderr().contains("spec.webhook.token is needed"), "{}", bridge.stderr());
    }
}

fn through_queue(sink: &Sink, queue: &Queue, endpoint: &str) -> Bridge {
    let spec = format!("queueArn: {}\nendpoint: {endpoint}", queue.arn());
    let mut bridge = Setup::run(KLR).resources("n.yaml", &webhook(&sink.uri, &spec)).start();
    bridge.wait_ready();
    bridge
}

#[test]
fn through_a_queue_each_object_is_delivered_and_its_message_deleted() {
    let Some(moto) = Moto::shared() else { return };
    let queue = Queue::standard(&moto.endpoint, "uploads", 30);
    let bucket = Bucket::create(&moto.endpoint, "photos-delivered");
    bucket.notify(&queue.arn());
    assert_eq!(queue.counts().visible, 1, "S3 begins with s3:TestEvent");
    let sink = Sink::start(|_| Answer::json("null"));
    let _bridge = through_queue(&sink, &queue, &moto.endpoint);
    for key in ["in/a%20b.jpg", "in/c.jpg", "d"] {
        bucket.put(key, "hello");
    }

    assert!(eventually(PATIENCE, || queue.counts() == Counts::EMPTY), "{:?}", queue.counts());
    let mut delivered = keys(&sink);
    delivered.sort();
    // moto looks at a message and hides it without a lock: two lanes may be given the same one.
    delivered.dedup();
    assert_eq!(delivered, ["d", "in/a+b.jpg", "in/c.jpg"], "and no test event");
    let requests = sink.requests();
    let request = requests.iter().find(|request| attribute(request, "ce-subject") == "in/a+b.jpg").unwrap();
    assert_eq!(attribute(request, "ce-type"), "com.amazonaws.s3.ObjectCreated:Put");
    assert_eq!(attribute(request, "ce-source"), "aws:s3.us-east-1.photos-delivered");
    let event: S3Event = serde_json::from_slice(&request.body).unwrap();
    let [record] = &event.records[..] else { panic!("{event:?}") };
    assert_eq!(record.s3.configuration_id.as_deref(), Some("uploads"));
    assert_eq!(record.s3.bucket.name.as_deref(), Some(bucket.name.as_str()));
    assert_eq!((record.s3.object.key.as_deref(), record.s3.object.size), (Some("in/a+b.jpg"), Some(5)));
}

#[test]
fn through_a_queue_a_failure_leaves_the_message_to_the_queue() {
    // Not moto, which may hand out a message twice at once.
    let Some(server) = ElasticMq::shared() else { return };
    let queue = Queue::standard(&server.endpoint, "failing", 5);
    let sink = Sink::start(|request| match request.index {
        0 => Answer::status(500),
        _ => Answer::json("null"),
    });
    let _bridge = through_queue(&sink, &queue, &server.endpoint);
    queue.send(named("ObjectCreated:Put", "photos", "a"));

    assert!(sink.wait_for(2, PATIENCE));
    let at = |n: usize| sink.requests()[n].at;
    let between = at(1).duration_since(at(0)).unwrap();
    assert!(between > Duration::from_secs(2), "left to its visibility timeout, not retried: {between:?}");
    assert!(eventually(PATIENCE, || queue.counts() == Counts::EMPTY), "{:?}", queue.counts());
    assert_eq!(keys(&sink), ["a", "a"]);
}
