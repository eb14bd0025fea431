//! The facade an app embeds.
