//! Functions from code, each version under a host of its own.
