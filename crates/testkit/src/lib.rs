//! Scripted engine, scene and a cgroup for tests.

pub mod memory_cgroup;
pub mod scene;
pub mod scripted;
