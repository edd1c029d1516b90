//! Decoding by a schema registry, as AWS's `SchemaRegistryConfig` has it.
//!
//! A key or a value begins with a zero byte and the number of its schema (Confluent's wire format). Schemas are fetched
//! once and kept for the life of the source; one that is not known yet is waited for (`learn.rs`), so that a registry that
//! is down holds records and loses none. What AWS leaves open (spec/esm.md §6) is decided here:
//!
//! * JSON is plain: a union is the value it holds, `bytes` and `fixed` are text of the code points 0 to 255 (as in Avro's
//!   own JSON), logical types are what they are made of; Protobuf follows Protobuf's JSON mapping, without defaults.
//! * A record that is not in the wire format, or that its schema does not describe, is a `DESERIALIZATION_ERROR`; one whose
//!   schema the registry does not have a `SCHEMA_NOT_FOUND`.
//! * No key, or no value, has nothing to decode and passes; so does an attribute that was not selected.
//! * With `SOURCE` what is left of Protobuf still begins with its message indexes, as functions on AWS see it.

mod avro;
mod client;
mod decoder;
mod json;
mod protobuf;
mod schema;

pub(crate) use client::Error;
pub(crate) use decoder::{Answer, Decoder, Not};
