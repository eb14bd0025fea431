//! Rotary position embedding (arXiv:2104.09864), in the two layouts models are trained with.

use crate::blueprint::Blueprint;

/// The rotation of one model.
#[derive(Clone, Debug)]
pub struct Rope {
    frequencies: Vec<f32>,
    halves: bool,
}

/// Cosines and sines of one step's positions, computed once and used by all layers.
#[derive(Clone, Debug, Default)]
pub struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// The cosines, then the sines: for each position one of each pair.
    pub(crate) fn tables(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }
}

impl Rope {
    /// The rotation `blueprint` asks for; `divisors` (`rope_freqs.weight`) divide the frequencies where the file has them.
    pub fn new(blueprint: &Blueprint, divisors: Option<&[f32]>) -> Self {
        let width = blueprint.rope_width as f32;
        let mut frequencies: Vec<f32> = (0..blueprint.rope_width)
            .step_by(2)
            .map(|i| 1.0 / blueprint.rope_base.powf(i as f32 / width) / blueprint.rope_factor)
            .collect();
        for (frequency, divisor) in frequencies.iter_mut().zip(divisors.unwrap_or(&[])) {
            *frequency /= divisor;
        }
        Self {
            frequencies,
            halves: blueprint.architecture.rotates_halves(),
        }
    }

    /// Fills `angles` for these positions.
    pub fn turn(&self, positions: impl Iterator<Item = usize>, angles: &mut Angles) {
        angles.cos.clear();
        angles.sin.clear();
        for position in positions {
            for frequency in &self.frequencies {
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                angles.cos.push(cos);
                angles.sin.push(sin);
            }
        }
    }

    /// Rotates every head of every row; `rows` holds rows of `row_width`, heads of `head_width`.
    pub fn rotate(&self, rows: &mut [f32], row_width: usize, head_width: usize, angles: &Angles) {
        let pairs = self.frequencies.len().max(1);
        let turns = angles
            .cos
            .chunks_exact(pairs)
            .zip(angles.sin.chunks_exact(pairs));
        for (row, (cos, sin)) in rows.chunks_exact_mut(row_width).zip(turns) {
            for head in row.chunks_exact_mut(head_width) {
                if self.halves {
                    rotate_halves(head, cos, sin);
                } else {
                    rotate_neighbours(head, cos, sin);
                }
            }
        }
    }
}

fn rotate_neighbours(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (pairs, _) = head.as_chunks_mut::<2>();
    for ([a, b], (cos, sin)) in pairs.iter_mut().zip(cos.iter().zip(sin)) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

fn rotate_halves(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let Some((first, rest)) = head.split_at_mut_checked(cos.len()) else {
        return;
    };
    for ((a, b), (cos, sin)) in first.iter_mut().zip(rest).zip(cos.iter().zip(sin)) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these results are exact")]
mod tests {
    use super::*;

    #[test]
    fn the_two_layouts_rotate_other_pairs() {
        let (cos, sin) = ([0.0, 1.0], [1.0, 0.0]);
        let mut head = [1.0, 2.0, 3.0, 4.0];
        rotate_neighbours(&mut head, &cos, &sin);
        assert_eq!(head, [-2.0, 1.0, 3.0, 4.0]);
        let mut head = [1.0, 2.0, 3.0, 4.0];
        rotate_halves(&mut head, &cos, &sin);
        assert_eq!(head, [-3.0, 2.0, 1.0, 4.0]);
    }

    #[test]
    fn elements_past_the_rope_width_stay() {
        let mut head = [1.0, 2.0, 3.0, 4.0];
        rotate_halves(&mut head, &[0.0], &[1.0]);
        assert_eq!(head, [-2.0, 1.0, 3.0, 4.0]);
    }
}
