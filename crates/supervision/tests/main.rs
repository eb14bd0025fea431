//! Supervision, seen from outside: one file an idea, one binary, so that all is linked once.

extern crate paraphym_supervision as supervision;

mod admin;
mod chaos;
mod common;
mod dynamic;
mod ignore;
mod inbox;
mod kameo_facts;
mod migrating;
mod one_for_all;
mod operating;
mod rest_for_one;
mod restart;
mod room;
mod significant;
mod simple_one_for_one;
mod start_and_stop;
mod stuck;
mod tap;
mod tasks;
mod threads;
mod topology;
mod turns;
mod vitals;
mod why;
