use bytes::Bytes;

/// A Lambda event with one record, and what a CloudEvent around it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `{"Records":[…]}` as the function sees it.
    pub body: Bytes,
    /// The bucket's name.
    pub bucket: String,
    /// The object's key as it stands in the event: form-encoded.
    pub key: String,
    /// The event type without `s3:`: `ObjectCreated:Put`.
    pub name: String,
    /// `eventTime`, as it stands in the event.
    pub time: String,
    /// `awsRegion`, as it stands in the event.
    pub region: String,
    /// The object's version, on a versioned bucket.
    pub version_id: Option<String>,
    /// Orders events of one key.
    pub sequencer: Option<String>,
    /// `x-amz-request-id`.
    pub request_id: Option<String>,
    /// `x-amz-id-2`.
    pub host_id: Option<String>,
}

/// CloudEvents attributes, as the CloudEvents project's adapter for S3 has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The same for every delivery of one event.
    pub id: String,
    /// `aws:s3.us-east-1.bucket`.
    pub source: String,
    /// `com.amazonaws.s3.ObjectCreated:Put`. (CloudEvents: `type`.)
    pub kind: String,
    /// The key, form-encoded: ASCII.
    pub subject: String,
    /// RFC 3339.
    pub time: String,
}

impl Event {
    /// The attributes of a CloudEvent that carries this event.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            id: self.id(),
            source: format!("aws:s3.{}.{}", self.region, self.bucket),
            kind: format!("com.amazonaws.s3.{}", self.name),
            subject: self.key.clone(),
            time: self.time.clone(),
        }
    }

    /// The request's ids, as the adapter has it. Not every sender has them; then what tells one change of an object from
    /// the next: bucket, key, version, sequencer (the time, where there is none), type.
    fn id(&self) -> String {
        match (&self.request_id, &self.host_id) {
            (Some(request), Some(host)) => format!("{request}.{host}"),
            _ => {
                let version = self.version_id.as_deref().unwrap_or_default();
                let place = self.sequencer.as_ref().unwrap_or(&self.time);
                format!("{}.{}.{version}.{place}.{}", self.bucket, self.key, self.name)
            }
        }
    }
}
