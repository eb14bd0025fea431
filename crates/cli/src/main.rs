//! The paraphym binary.
fn main() {}
