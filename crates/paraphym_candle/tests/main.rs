//! The facade, used as an embedder uses it: one file an idea, one binary, so that all is linked once.

mod agent;
mod canary;
mod conversations;
mod embedded;
mod ending;
mod every_metric;
mod operated;
mod prompting;
mod real_model;
mod real_model_calls_a_tool;
mod real_model_embeds;
mod real_model_examples;
mod said;
mod said_in_rooms;
mod whole_tree;
