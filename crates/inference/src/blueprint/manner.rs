//! What a model does otherwise than Llama, as far as it is a number: factors, bounds, and which layers look how far and rotate
//! how. The default is Llama.
//!
//! Field names: <https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py>; defaults as llama.cpp has them.

use engine::LoadError;

use super::{Architecture, MAX_CONTEXT, MAX_LAYERS};
use crate::file::GgufFile;

/// What is done otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manner {
    /// Rows of the embedding are multiplied by this.
    pub embedding: f32,
    /// What a layer's parts add to the residual stream is multiplied by this.
    pub residual: f32,
    /// Products of queries and keys are multiplied by this; by one over the root of the head's width where it is `None`.
    pub scores: Option<f32>,
    /// Logits are multiplied by this.
    pub logits: f32,
    /// Scores are kept between minus and plus this: `cap * tanh(score / cap)`.
    pub score_cap: Option<f32>,
    /// Logits likewise.
    pub logit_cap: Option<f32>,
    /// What rope turns is made as much longer.
    pub turned: f32,
    /// Layers that look only so far.
    pub near: Option<Near>,
    /// One of so many layers, the last of them, does not rotate.
    pub unturned_every: Option<usize>,
}

/// Layers that look only so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Tokens that a row of such a layer looks at, its own the last.
    pub window: usize,
    /// One of so many layers, the last of them, looks at all tokens; none where it is 0.
    pub far_every: usize,
    /// The base of rope's frequencies in such a layer, where it rotates by others than the rest.
    pub rope_base: Option<f32>,
}

/// By which frequencies a layer rotates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Not at all.
    Never,
    /// By those of layers that look only so far.
    Near,
    /// By those of all others.
    Far,
}

/// How a layer sees where tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// By which frequencies it rotates.
    pub turn: Turn,
    /// Tokens that a row looks at, its own the last; all where it is `None`.
    pub window: Option<usize>,
}

impl Sight {
    /// The first token that a row at `position` looks at.
    pub fn first(self, position: usize) -> usize {
        let window = self.window.unwrap_or(usize::MAX);
        (position + 1).saturating_sub(window)
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            embedding: 1.0,
            residual: 1.0,
            scores: None,
            logits: 1.0,
            score_cap: None,
            logit_cap: None,
            turned: 1.0,
            near: None,
            unturned_every: None,
        }
    }
}

impl Manner {
    /// What the file says, for a model of so many layers, heads and elements of a row.
    pub(super) fn read(
        file: &GgufFile,
        architecture: Architecture,
        (layers, heads, width): (usize, usize, usize),
    ) -> Result<Self, LoadError> {
        let float = |tail: &str| file.optional_float(&format!("{}.{tail}", architecture.name()));
        let llama = Self {
            turned: float("rope.scaling.attn_factor")?.unwrap_or(1.0),
            ..Self::default()
        };
        Ok(match architecture {
            Architecture::Llama | Architecture::Qwen2 | Architecture::Qwen3 => llama,
            Architecture::Phi3 => Self {
                near: near(file, architecture)?,
                ..llama
            },
            Architecture::SmolLm3 => Self {
                unturned_every: Some(4),
                ..llama
            },
            Architecture::Granite => Self {
                embedding: float("embedding_scale")?.unwrap_or(1.0),
                residual: float("residual_scale")?.unwrap_or(1.0),
                scores: float("attention.scale")?,
                logits: 1.0 / file.float("granite.logit_scale")?,
                unturned_every: match file.optional_bool("granite.rope.scaling.finetuned")? {
                    Some(false) => Some(1),
                    _ => None,
                },
                ..llama
            },
            Architecture::Gemma | Architecture::Gemma2 | Architecture::Gemma3 => Self {
                embedding: (width as f32).sqrt(),
                // The largest of Gemma 2 and 3 scale by the width that a head would have of the row; their files do not say so.
                scores: matches!(
                    (architecture, layers),
                    (Architecture::Gemma2, 46) | (Architecture::Gemma3, 62)
                )
                .then(|| 1.0 / ((width / heads.max(1)) as f32).sqrt()),
                near: near(file, architecture)?,
                ..llama
            }
            .capped(file, architecture)?,
        })
    }

    fn capped(self, file: &GgufFile, architecture: Architecture) -> Result<Self, LoadError> {
        let cap = |tail: &str| cap(file, &format!("{}.{tail}", architecture.name()));
        Ok(match architecture {
            Architecture::Gemma2 => Self {
                score_cap: Some(cap("attn_logit_softcapping")?.unwrap_or(50.0)),
                logit_cap: Some(cap("final_logit_softcapping")?.unwrap_or(30.0)),
                ..self
            },
            Architecture::Gemma3 => Self {
                logit_cap: cap("final_logit_softcapping")?,
                ..self
            },
            _ => self,
        })
    }

    /// How the layer of this number sees.
    pub fn sight(&self, layer: usize) -> Sight {
        let last_of = |every: usize| every > 0 && layer % every == every - 1;
        let near = self.near.filter(|near| !last_of(near.far_every));
        let turn = match (self.unturned_every, near.and_then(|near| near.rope_base)) {
            (Some(every), _) if last_of(every) => Turn::Never,
            (_, Some(_)) => Turn::Near,
            (_, None) => Turn::Far,
        };
        Sight {
            turn,
            window: near.map(|near| near.window),
        }
    }
}

fn near(file: &GgufFile, architecture: Architecture) -> Result<Option<Near>, LoadError> {
    // Gemma 3 has other frequencies where it looks only so far.
    let (usual_window, usual_every, usual_base) = match architecture {
        Architecture::Phi3 => (0, 0, None),
        Architecture::Gemma2 => (4096, 2, None),
        Architecture::Gemma3 => (0, 6, Some(10_000.0)),
        _ => return Ok(None),
    };
    let key = |tail: &str| format!("{}.{tail}", architecture.name());
    let size = |tail: &str, most| file.optional_size(&key(tail), most);
    let window = size("attention.sliding_window", MAX_CONTEXT)?.unwrap_or(usual_window);
    let far_every = size("attention.sliding_window_pattern", MAX_LAYERS)?.unwrap_or(usual_every);
    let rope_base = file.optional_float(&key("rope.freq_base_swa"))?;
    Ok((window > 0).then_some(Near {
        window,
        far_every,
        rope_base: rope_base.or(usual_base),
    }))
}

/// A bound of scores or logits, if the file has one: no larger than what is felt, and told apart from none.
fn cap(file: &GgufFile, name: &str) -> Result<Option<f32>, LoadError> {
    const MOST: f32 = 1e4;
    let cap = file.optional_float(name)?;
    match cap.filter(|cap| *cap > MOST) {
        None => Ok(cap),
        Some(cap) => Err(file.malformed(format!(
            "the metadata field `{name}` is {cap}; more than 0 and up to {MOST} is possible"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_sees_as_the_families_have_it() {
        let near = |far_every| {
            Some(Near {
                window: 3,
                far_every,
                rope_base: Some(1e4),
            })
        };
        let turns = |near, unturned_every| {
            let manner = Manner {
                near,
                unturned_every,
                ..Manner::default()
            };
            (0..6)
                .map(|layer| match manner.sight(layer) {
                    Sight {
                        turn: Turn::Far,
                        window: None,
                    } => 'f',
                    Sight {
                        turn: Turn::Near,
                        window: Some(3),
                    } => 'n',
                    Sight {
                        turn: Turn::Never,
                        window: None,
                    } => '-',
                    _ => '?',
                })
                .collect::<String>()
        };
        for (near, unturned_every, expected) in [
            (None, None, "ffffff"),
            (near(6), None, "nnnnnf"),
            (near(2), None, "nfnfnf"),
            (near(1), None, "ffffff"),
            (near(0), None, "nnnnnn"),
            (None, Some(4), "fff-ff"),
            (None, Some(1), "------"),
        ] {
            assert_eq!(turns(near, unturned_every), expected);
        }
    }

    #[test]
    fn a_window_ends_with_the_row_itself() {
        let of = |window| Sight {
            turn: Turn::Near,
            window,
        };
        assert_eq!(
            [0, 1, 2, 3, 9].map(|at| of(Some(3)).first(at)),
            [0, 0, 0, 1, 7]
        );
        assert_eq!([0, 9].map(|at| of(Some(1)).first(at)), [0, 9]);
        assert_eq!(of(None).first(1 << 30), 0);
    }
}
