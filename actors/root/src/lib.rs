//! The supervision tree as data.
