//! Finding again: memories and documents, by meaning and by words.
