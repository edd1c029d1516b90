//! A bucket on moto, which notifies a queue or takes what is put there.

use crate::client::send;

/// moto checks no signatures, but what is put with one is its owner's.
const OWNER: (&str, &str) =
    ("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request");

/// A bucket of one test.
#[derive(Debug)]
pub struct Bucket {
    uri: String,
    /// Its name.
    pub name: String,
}

impl Bucket {
    /// A new bucket.
    pub fn create(endpoint: &str, name: &str) -> Self {
        let bucket = Self { uri: format!("{endpoint}/{name}"), name: name.to_owned() };
        bucket.ask("PUT", "", "");
        bucket
    }

    /// Tells the queue of every object that is made or removed from now on; an `s3:TestEvent` goes there at once.
    pub fn notify(&self, queue_arn: &str) {
        let configuration = format!(
            "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><QueueConfiguration>\
             <Id>uploads</Id><Queue>{queue_arn}</Queue><Event>s3:ObjectCreated:*</Event>\
             <Event>s3:ObjectRemoved:*</Event></QueueConfiguration></NotificationConfiguration>"
        );
        self.ask("PUT", "?notification", &configuration);
    }

    /// Puts an object; the key as it stands in a URL.
    pub fn put(&self, key: &str, body: &str) {
        self.ask("PUT", &format!("/{key}"), body);
    }

    /// Takes the objects out that are there: key and content.
    pub fn take_objects(&self) -> Vec<(String, String)> {
        let list = self.ask("GET", "?list-type=2", "");
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        let take = |(key, _): (&str, &str)| {
            let content = self.ask("GET", &format!("/{key}"), "");
            self.ask("DELETE", &format!("/{key}"), "");
            (key.to_owned(), content)
        };
        keys.map(take).collect()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let answer = send(method, &format!("{}{path}", self.uri), &[OWNER], body).expect("moto answers");
        assert!(matches!(answer.status, 200 | 204), "{method} {path}: {} {}", answer.status, answer.text());
        answer.text()
    }
}
