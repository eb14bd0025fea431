//! One conversation: history, one turn at a time.
