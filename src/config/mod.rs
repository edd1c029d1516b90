//! What users write, and what it means.
