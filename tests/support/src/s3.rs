//! A bucket on moto that notifies a queue.

use crate::client::send;

/// A bucket of one test.
#[derive(Debug)]
pub struct Bucket {
    uri: String,
    /// Its name.
    pub name: String,
}

impl Bucket {
    /// A new bucket. moto checks no signatures, so none are made.
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

    fn ask(&self, method: &str, path: &str, body: &str) {
        let answer = send(method, &format!("{}{path}", self.uri), &[], body).expect("moto answers");
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }
}
