//! One suite for all adapters.
