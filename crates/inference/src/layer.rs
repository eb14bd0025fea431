//! A transformer block: its parts, and what files call them, wherever they are multiplied.

use engine::LoadError;

use crate::blueprint::Blueprint;

/// One transformer block.
pub struct Layer<M, V> {
    /// Norm before attention.
    pub attention_norm: V,
    /// To queries, keys and values, each with its bias where the model has one.
    pub queries: (M, Option<V>),
    /// See `queries`.
    pub keys: (M, Option<V>),
    /// See `queries`.
    pub values: (M, Option<V>),
    /// Norms of each query and key head, where the model has them.
    pub head_norms: Option<(V, V)>,
    /// From the heads back to the residual stream.
    pub attention_output: M,
    /// Norms of what attention, and of what the feed-forward part adds, where the model has them.
    pub norms_behind: Option<(V, V)>,
    /// Norm before the feed-forward part.
    pub feed_forward_norm: V,
    /// The gate of the feed-forward part.
    pub gate: M,
    /// What the gate lets through.
    pub up: M,
    /// Back to the residual stream.
    pub down: M,
}

/// Where the tensors of a file are, by name.
pub(crate) trait Tensors {
    /// What is multiplied.
    type Matrix;
    /// What is not.
    type Vector;

    /// The matrix of this name.
    fn matrix(&mut self, name: &str) -> Result<Self::Matrix, LoadError>;
    /// The vector of this name.
    fn vector(&mut self, name: &str) -> Result<Self::Vector, LoadError>;
    /// The vector of this name, if there is one.
    fn optional_vector(&mut self, name: &str) -> Result<Option<Self::Vector>, LoadError>;
}

/// The block of this number.
pub(crate) fn read<T: Tensors>(
    tensors: &mut T,
    blueprint: &Blueprint,
    index: usize,
) -> Result<Layer<T::Matrix, T::Vector>, LoadError> {
    let name = |tail: &str| format!("blk.{index}.{tail}");
    let mut projection = |part: &str| {
        Ok((
            tensors.matrix(&name(&format!("{part}.weight")))?,
            tensors.optional_vector(&name(&format!("{part}.bias")))?,
        ))
    };
    let queries = projection("attn_q")?;
    let keys = projection("attn_k")?;
    let values = projection("attn_v")?;
    let mut pair = |is_there: bool, [first, second]: [&str; 2]| {
        if !is_there {
            return Ok(None);
        }
        let first = tensors.vector(&name(first))?;
        Ok(Some((first, tensors.vector(&name(second))?)))
    };
    let family = blueprint.architecture;
    let of_heads = ["attn_q_norm.weight", "attn_k_norm.weight"];
    let head_norms = pair(family.has_head_norms(), of_heads)?;
    let behind = ["post_attention_norm.weight", "post_ffw_norm.weight"];
    let norms_behind = pair(family.has_norms_behind(), behind)?;
    Ok(Layer {
        attention_norm: tensors.vector(&name("attn_norm.weight"))?,
        queries,
        keys,
        values,
        head_norms,
        norms_behind,
        attention_output: tensors.matrix(&name("attn_output.weight"))?,
        feed_forward_norm: tensors.vector(&name("ffn_norm.weight"))?,
        gate: tensors.matrix(&name("ffn_gate.weight"))?,
        up: tensors.matrix(&name("ffn_up.weight"))?,
        down: tensors.matrix(&name("ffn_down.weight"))?,
    })
}
