use aws_sdk_eventbridge::{Client, primitives::DateTime, types::PutEventsRequestEntry};
use jiff::Timestamp;
use klr_aws::{Arn, failure};
use klr_contract::Error;

/// A bus that takes events.
#[derive(Debug)]
pub struct Destination {
    client: Client,
    bus: String,
}

/// What is put on it.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// `source`: who says so.
    pub source: &'a str,
    /// `detail-type`.
    pub detail_type: &'a str,
    /// ARNs of what it is about.
    pub resources: Vec<String>,
    /// A JSON object.
    pub detail: &'a str,
    /// When it happened.
    pub time: Timestamp,
}

impl Destination {
    /// A client for the bus. Finds credentials; does not call it yet.
    pub async fn open(bus: &Arn, endpoint: Option<&str>) -> Self {
        let client = Client::new(&klr_aws::config(&bus.region, "EVENTBRIDGE", endpoint).await);
        Self { client, bus: bus.to_string() }
    }

    /// Puts an event. `Ok`: the bus has it. Which rules it matches is the bus's affair.
    pub async fn send(&self, event: Event<'_>) -> Result<(), Error> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(event.source)
            .detail_type(event.detail_type)
            .set_resources(Some(event.resources))
            .detail(event.detail)
            .time(DateTime::from_millis(event.time.as_millisecond()));
        let call = self.client.put_events().entries(entry.build());
        let answer = call.send().await.map_err(|error| failure("EventBridge", "PutEvents", &error))?;
        // The call succeeds even if the event was refused.
        let refused = answer.entries().iter().find_map(|entry| Some((entry.error_code()?, entry)));
        let Some((code, entry)) = refused else { return Ok(()) };
        let text = entry.error_message().unwrap_or("none given");
        Err(Error::retry(
            "aws-refused",
            format!(
                "Error occurred while PutEvents. EventBridge Error Code: {code}. EventBridge Error Message: {text}"
            ),
        ))
    }
}
