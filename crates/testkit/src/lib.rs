//! Scripted engine and scene for tests.
