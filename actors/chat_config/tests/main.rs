//! The settings in a tree and on a disk: one file an idea, one binary, so that all is linked once.

mod behaviour;
mod hot_reload;
mod kill;
mod page;
mod processes;
mod rehearsal;
