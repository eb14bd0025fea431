//! How candle runs a GGUF: tokenizer, template, kv cache, sampler, decode; synchronous.
