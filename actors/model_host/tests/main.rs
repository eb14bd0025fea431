//! The host with a scripted model: one file an idea, one binary, so that all is linked once.

mod answers;
mod breaker;
mod common;
mod embedding;
mod faults;
mod files;
mod footprint;
mod going;
mod likelihoods;
mod limits;
mod meters;
mod prefix_meters;
mod prefixes;
mod residency;
mod storm;
mod stuck;
mod tokenised;
mod tokenised_meters;
mod tools;
