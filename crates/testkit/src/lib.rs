//! Scripted engine, scene, a collector of spans, a cgroup and a server of tools for tests.

pub mod mcp_server;
pub mod memory_cgroup;
pub mod scene;
pub mod scripted;
pub mod spans;
