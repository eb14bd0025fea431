//! The gateway over real sockets: one file an idea, one binary, so that all is linked once.

extern crate paraphym_gateway as gateway;

mod access;
mod bad_clients;
mod cancelling;
mod completions;
mod document;
mod embeddings;
mod fuzz_properties;
mod http;
mod kills;
mod labels;
mod leaving;
mod memory_of_slow_readers;
mod operating;
mod page;
mod ready;
mod scrape;
mod sixty_four_streams;
mod support;
mod tools;
mod turns;
mod ws;
mod ws_bad_clients;
mod ws_entry;
mod ws_examples;
mod ws_tokens;
