//! What a tool is, and those that are built in.
