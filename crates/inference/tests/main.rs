//! The engine, seen from outside: one file an idea, one binary, so that all is linked once.

mod allocations;
mod batching;
mod bert;
mod conformance;
mod devices;
mod families;
mod fidelity;
mod footprint;
mod golden;
mod hostile_files;
mod hostile_weights;
mod kernels;
mod likelihoods;
mod loading;
mod packed_copies;
mod pieces;
mod prefixes;
mod reference;
mod speculation;
mod structured;
mod support;
mod text;
mod threads;
