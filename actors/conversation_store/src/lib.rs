//! Conversations, turns and memories at rest: one SQLite file, written by one actor.
