//! AWS's mapping metrics in Prometheus spelling (spec/esm.md §11): `PolledEventCount` is `klr_polled_event_count_total`.
//! The label sets are closed: the mapping's name, and nothing a message could choose.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Whose figure it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Labels {
    /// The mapping's or trigger's name.
    pub mapping: String,
}

macro_rules! figures {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ty = $name:literal;)+) => {
        /// The figures of one mapping.
        #[derive(Debug, Clone, Default)]
        pub struct Figures { $($(#[doc = $help])+ pub $field: $kind,)+ }

        #[derive(Debug, Default)]
        struct Families { $($field: Family<Labels, $kind>,)+ }

        impl Families {
            fn register(&self, registry: &mut Registry) {
                $(registry.register($name, concat!($($help),+).trim().trim_end_matches('.'), self.$field.clone());)+
            }

            fn of(&self, labels: &Labels) -> Figures {
                Figures { $($field: self.$field.get_or_create(labels).clone(),)+ }
            }

            fn remove(&self, labels: &Labels) {
                $(self.$field.remove(labels);)+
            }
        }
    };
}

figures! {
    /// Records read from the source.
    polled: Counter = "klr_polled_event_count";
    /// Records dropped by a filter or passed over.
    filtered: Counter = "klr_filtered_out_event_count";
    /// Records handed to the function; a retry counts again.
    invoked: Counter = "klr_invoked_event_count";
    /// Records of failed invocations; of a partial response, the listed ones.
    failed: Counter = "klr_failed_invoke_event_count";
    /// Queue: messages deleted.
    deleted: Counter = "klr_deleted_event_count";
    /// Log: records given up (retries or age exhausted) that went nowhere.
    dropped: Counter = "klr_dropped_event_count";
    /// Log: records given up that the on-failure destination has taken.
    discarded: Counter = "klr_on_failure_destination_delivered_event_count";
    /// Log: failure records the on-failure destination did not take.
    destination_errors: Counter = "klr_on_failure_destination_delivery_error_count";
    /// Log: records the checkpoint has passed.
    committed: Counter = "klr_committed_event_count";
    /// Invocations that failed, a batch each.
    invoke_errors: Counter = "klr_invoke_error_count";
    /// Answers "too many requests".
    throttles: Counter = "klr_throttle_count";
    /// Attempts that found the sink unreachable.
    unreachable: Counter = "klr_sink_unreachable_count";
    /// Failed calls to read the source.
    polling_errors: Counter = "klr_polling_error_count";
    /// Failed calls to a schema registry.
    registry_errors: Counter = "klr_schema_registry_error_count";
    /// Failed calls to delete or checkpoint.
    commit_errors: Counter = "klr_commit_error_count";
    /// Invocations in flight.
    in_flight: Gauge = "klr_invocations_in_flight";
    /// Bytes of records held.
    buffered: Gauge = "klr_buffered_bytes";
    /// Log: records between the checkpoint and the end, over all partitions owned.
    lag: Gauge = "klr_sum_offset_lag";
    /// Log: how old the last record of a batch was when its invocation was over, in milliseconds.
    iterator_age: Gauge = "klr_iterator_age_milliseconds";
    /// 1 while the mapping's last processing result is a problem.
    problem: Gauge = "klr_mapping_problem";
}

/// All figures of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    /// Those of asynchronous invocation.
    #[cfg(feature = "queue")]
    pub queue: crate::queue::Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let families = Families::default();
        let mut registry = Registry::default();
        families.register(&mut registry);
        #[cfg(feature = "queue")]
        let queue = crate::queue::Metrics::default();
        #[cfg(feature = "queue")]
        queue.register(&mut registry);
        Self {
            registry,
            families,
            #[cfg(feature = "queue")]
            queue,
        }
    }
}

impl Metrics {
    /// The figures of one mapping; the same ones whenever its name is given.
    pub fn of(&self, mapping: &str) -> Figures {
        self.families.of(&Labels { mapping: mapping.to_owned() })
    }

    /// Forgets the figures of a mapping that is no more.
    pub fn forget(&self, mapping: &str) {
        self.families.remove(&Labels { mapping: mapping.to_owned() });
    }

    /// OpenMetrics text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_awss_in_prometheus_spelling() {
        let metrics = Metrics::default();
        metrics.of("orders").polled.inc_by(3);
        let text = metrics.text().unwrap();
        assert!(text.contains("klr_polled_event_count_total{mapping=\"orders\"} 3"), "{text}");
        assert!(text.contains("# HELP klr_polled_event_count Records read from the source.\n"), "{text}");
        metrics.forget("orders");
        assert!(!metrics.text().unwrap().contains("orders"));
    }
}
