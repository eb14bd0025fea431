//! tidy, test.
fn main() {}
