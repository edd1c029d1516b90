#![no_main]

#[allow(dead_code, reason = "each target calls one")]
#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::event(data));
