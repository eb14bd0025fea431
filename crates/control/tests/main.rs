//! The control socket and its table: one file an idea, one binary, so that all is linked once.

extern crate paraphym_control as control;

mod audit;
mod dry_run;
mod edge;
mod ending;
mod fuzz_properties;
mod hostile;
mod methods;
mod orders;
mod page;
mod support;
mod vitals;
