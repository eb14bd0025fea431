//! The built binary, used as people use it: one file an idea, one binary, so that all is linked once.

mod agents;
mod audit_log;
mod browser;
mod commands;
mod common;
mod config;
mod config_dry_run;
mod ctl;
mod ending;
mod history;
mod logs;
mod real_model;
mod real_model_copies;
mod real_model_goes_on;
mod real_model_openai;
mod real_model_steered;
#[path = "common/server.rs"]
mod server;
// Control groups are Linux's.
#[cfg(target_os = "linux")]
mod squeeze;
mod token;
mod top;
