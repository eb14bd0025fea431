//! Rotary position embedding (arXiv:2104.09864), in the two layouts models are trained with.

use crate::blueprint::{Blueprint, Turn};

/// The rotation of one model.
#[derive(Clone, Debug)]
pub struct Rope {
    far: Vec<f32>,
    /// Of layers that look only so far, where the model has such.
    near: Option<Vec<f32>>,
    halves: bool,
    /// What is turned is made as much longer.
    longer: f32,
}

/// Cosines and sines of one step's positions, computed once and used by all layers.
#[derive(Clone, Debug, Default)]
pub struct Angles {
    far: Table,
    near: Table,
}

#[derive(Clone, Debug, Default)]
struct Table {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// The cosines, then the sines, of layers that turn so: for each position one of each pair.
    pub(crate) fn tables(&self, turn: Turn) -> Option<(&[f32], &[f32])> {
        let table = match turn {
            Turn::Never => return None,
            Turn::Near => &self.near,
            Turn::Far => &self.far,
        };
        Some((&table.cos, &table.sin))
    }
}

impl Table {
    fn fill(
        &mut self,
        positions: impl Iterator<Item = usize> + Clone,
        frequencies: &[f32],
        longer: f32,
    ) {
        let all = positions.clone().count() * frequencies.len();
        for table in [&mut self.cos, &mut self.sin] {
            table.clear();
            table.reserve_exact(all);
        }
        for position in positions {
            for frequency in frequencies {
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                self.cos.push(cos * longer);
                self.sin.push(sin * longer);
            }
        }
    }
}

fn frequencies(width: usize, base: f32, factor: f32) -> Vec<f32> {
    (0..width)
        .step_by(2)
        .map(|i| 1.0 / base.powf(i as f32 / width as f32) / factor)
        .collect()
}

impl Rope {
    /// The rotation `blueprint` asks for; `divisors` divide the frequencies of layers that look at all tokens, where the file
    /// has them.
    pub fn new(blueprint: &Blueprint, divisors: Option<&[f32]>) -> Self {
        let width = blueprint.rope_width;
        let mut far = frequencies(width, blueprint.rope_base, blueprint.rope_factor);
        for (frequency, divisor) in far.iter_mut().zip(divisors.unwrap_or(&[])) {
            *frequency /= divisor;
        }
        let near = blueprint.manner.near.and_then(|near| near.rope_base);
        Self {
            far,
            near: near.map(|base| frequencies(width, base, 1.0)),
            halves: blueprint.architecture.rotates_halves(),
            longer: blueprint.manner.turned,
        }
    }

    /// Fills `angles` for these positions.
    pub fn turn(&self, positions: impl Iterator<Item = usize> + Clone, angles: &mut Angles) {
        if let Some(near) = &self.near {
            angles.near.fill(positions.clone(), near, self.longer);
        }
        angles.far.fill(positions, &self.far, self.longer);
    }

    /// Rotates every head of every row, as layers that turn so do; `rows` holds rows of `row_width`, heads of `head_width`.
    pub fn rotate(
        &self,
        rows: &mut [f32],
        (row_width, head_width): (usize, usize),
        angles: &Angles,
        turn: Turn,
    ) {
        let Some((cos, sin)) = angles.tables(turn) else {
            return;
        };
        let pairs = self.far.len().max(1);
        let turns = cos.chunks_exact(pairs).zip(sin.chunks_exact(pairs));
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
