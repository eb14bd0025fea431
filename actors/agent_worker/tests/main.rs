//! An agent in a tree with a scripted model: one file an idea, one binary, so that all is linked once.

mod behaviour;
mod crashes;
mod durable;
mod shelf;
mod steers;
mod support;
mod tools;
