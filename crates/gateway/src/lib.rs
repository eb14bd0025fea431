//! HTTP edge: OpenAI chat completions, health, metrics.
