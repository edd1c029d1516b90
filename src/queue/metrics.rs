//! AWS's metrics of asynchronous invocation in Prometheus spelling: `AsyncEventsReceived` is
//! `klr_async_events_received_total`. The label set is closed: the function.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::record;

/// Whose figure it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    /// The function's name, without version or alias.
    pub function: String,
}

/// The figures of all functions.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    received: Family<Labels, Counter>,
    age: Family<Labels, Gauge>,
    dropped: Family<Labels, Counter>,
    destination: Family<Labels, Counter>,
    dead_letter: Family<Labels, Counter>,
}

impl Metrics {
    /// Makes them part of what is told.
    pub fn register(&self, registry: &mut Registry) {
        let Self { received, age, dropped, destination, dead_letter } = self.clone();
        registry.register("klr_async_events_received", "Events the queue has taken in", received);
        registry.register(
            "klr_async_event_age_milliseconds",
            "How old an event was when its function got it, the last one",
            age,
        );
        registry.register(
            "klr_async_events_dropped",
            "Events given up without a success; a destination may have their records",
            dropped,
        );
        registry.register(
            "klr_destination_delivery_failures",
            "Tries to send a record to a destination that failed",
            destination,
        );
        registry.register(
            "klr_dead_letter_errors",
            "Tries to send an event to a dead-letter queue that failed",
            dead_letter,
        );
    }

    pub(super) fn received(&self, target: &str) {
        self.received.get_or_create(&labels(target)).inc();
    }

    pub(super) fn age(&self, target: &str, millis: i64) {
        self.age.get_or_create(&labels(target)).set(millis);
    }

    pub(super) fn dropped(&self, target: &str) {
        self.dropped.get_or_create(&labels(target)).inc();
    }

    pub(super) fn destination_failed(&self, target: &str) {
        self.destination.get_or_create(&labels(target)).inc();
    }

    pub(super) fn dead_letter_failed(&self, target: &str) {
        self.dead_letter.get_or_create(&labels(target)).inc();
    }
}

fn labels(target: &str) -> Labels {
    Labels { function: record::name(target).to_owned() }
}
