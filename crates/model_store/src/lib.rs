//! Models on disk: catalogue, pull, checksum, remove.
