//! Asynchronous invocation: the durable queue.
