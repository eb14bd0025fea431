//! From two lists of candidates to one answer: fused by their places, weighed by age and importance, the best first.

use std::collections::BTreeMap;

use conversation_store::memories::{Memory, MemoryId, Recalled};

use crate::decay::Decay;
use crate::found::{Found, How};
use crate::fusion::{K, fuse};

/// The score of what is first in both lists.
const FIRST_IN_BOTH: f64 = 2.0 / (K + 1.0);

/// How candidates are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighing {
    /// How age counts.
    pub decay: Decay,
    /// A cosine below this is chance, and no find: from -1 to 1.
    pub least_similarity: f32,
}

impl Default for Weighing {
    /// The least similarity is a low one that was not fitted to any model: it keeps out what points elsewhere, so that a
    /// search by meaning can find nothing; the order does the rest.
    fn default() -> Self {
        Self {
            decay: Decay::default(),
            least_similarity: 0.2,
        }
    }
}

/// The best `limit`, at the time `now_ms`. Where two are as good, the younger id is first.
pub fn rank(recalled: Recalled, weighing: &Weighing, now_ms: i64, limit: usize) -> Vec<Found> {
    let mut near = recalled.by_meaning;
    near.retain(|(_, similarity)| *similarity >= weighing.least_similarity);
    let similar: BTreeMap<MemoryId, f32> = near.iter().copied().collect();
    let near: Vec<MemoryId> = near.into_iter().map(|(id, _)| id).collect();
    let fused = fuse(&[&recalled.by_words, &near]);
    let mut memories: BTreeMap<MemoryId, Memory> = recalled
        .memories
        .into_iter()
        .map(|memory| (memory.id, memory))
        .collect();
    let mut found: Vec<Found> = fused
        .into_iter()
        .filter_map(|fused| Some((fused.score, memories.remove(&fused.id)?)))
        .map(|(score, memory)| {
            let similarity = similar.get(&memory.id).copied();
            let how = match (recalled.by_words.contains(&memory.id), similarity) {
                (true, Some(_)) => How::Both,
                (false, Some(_)) => How::Semantic,
                (_, None) => How::Lexical,
            };
            let age_ms = now_ms.saturating_sub(memory.used_ms);
            let freshness = weighing.decay.freshness(memory.importance, age_ms);
            Found {
                score: weighing.decay.weighted(score / FIRST_IN_BOTH, freshness),
                id: memory.id,
                text: memory.text,
                source: memory.origin,
                kind: memory.kind,
                how,
                similarity,
                used_ms: memory.used_ms,
            }
        })
        .collect();
    found.sort_by(|one, other| {
        let by_score = other.score.total_cmp(&one.score);
        by_score.then(other.id.cmp(&one.id))
    });
    found.truncate(limit);
    found
}

#[cfg(test)]
mod tests {
    use conversation_store::memories::{DocumentId, MemoryKind, Origin, Place};
    use domain::ModelName;
    use proptest::prelude::*;

    use super::*;
    use crate::found::{Basis, within};

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 1_000 * DAY;

    fn memory(id: i64, importance: f32, used_ms: i64) -> Memory {
        Memory {
            id: MemoryId(id),
            kind: MemoryKind::Semantic,
            text: format!("memory number {id}"),
            importance,
            made_ms: 0,
            used_ms,
            times: 1,
            origin: Origin::Space("default".to_owned()),
        }
    }

    fn recalled(by_words: &[i64], by_meaning: &[(i64, f32)], memories: Vec<Memory>) -> Recalled {
        Recalled {
            by_words: by_words.iter().copied().map(MemoryId).collect(),
            by_meaning: by_meaning
                .iter()
                .map(|(id, near)| (MemoryId(*id), *near))
                .collect(),
            memories,
            not_compared: 0,
        }
    }

    fn fresh(ids: &[i64]) -> Vec<Memory> {
        ids.iter().map(|id| memory(*id, 1.0, NOW)).collect()
    }

    fn order(found: &[Found]) -> Vec<i64> {
        found.iter().map(|found| found.id.0).collect()
    }

    #[test]
    fn what_is_found_both_ways_comes_first_and_chance_is_left_out() {
        let lists = recalled(
            &[1, 2],
            &[(2, 0.9), (3, 0.5), (4, 0.19)],
            fresh(&[1, 2, 3, 4]),
        );
        let found = rank(lists, &Weighing::default(), NOW, 10);
        assert_eq!(order(&found), [2, 1, 3]);
        let how: Vec<How> = found.iter().map(|found| found.how).collect();
        assert_eq!(how, [How::Both, How::Lexical, How::Semantic]);
        assert_eq!(found[0].similarity, Some(0.9));
        assert_eq!(found[1].similarity, None);
    }

    #[test]
    fn first_in_both_and_fresh_is_one() {
        let lists = recalled(&[1], &[(1, 0.9)], fresh(&[1]));
        let found = rank(lists, &Weighing::default(), NOW, 10);
        assert!((found[0].score - 1.0).abs() < 1e-12);
    }

    #[test]
    fn age_orders_what_fits_as_well_and_buries_nothing_that_fits_better() {
        // As good as each other but for age: the fresher one, then the younger id.
        let twins = vec![
            memory(1, 0.5, NOW),
            memory(2, 0.5, NOW - 30 * DAY),
            memory(3, 0.5, NOW - 30 * DAY),
        ];
        let found = rank(
            recalled(&[2, 1], &[(1, 0.8), (2, 0.8)], twins),
            &Weighing::default(),
            NOW,
            10,
        );
        assert_eq!(order(&found), [1, 2]);
        // Told three years ago, and the one that fits: still before what was said just now and is a bit alike.
        let mut all = vec![memory(1, 0.5, NOW - 999 * DAY)];
        all.extend((2..40).map(|id| memory(id, 1.0, NOW)));
        let alike: Vec<(i64, f32)> = std::iter::once((1, 0.8))
            .chain((2..40).map(|id| (id, 0.3)))
            .collect();
        let found = rank(recalled(&[1], &alike, all), &Weighing::default(), NOW, 5);
        assert_eq!(found[0].id, MemoryId(1));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn what_does_not_fit_into_the_budget_is_passed_over() {
        let lists = recalled(&[1, 2, 3], &[], fresh(&[1, 2, 3]));
        let mut found = rank(lists, &Weighing::default(), NOW, 10);
        found[1].text = "long ".repeat(100);
        let words = |text: &str| text.split_whitespace().count();
        assert_eq!(order(&within(found.clone(), 7, words)), [1, 3]);
        assert_eq!(order(&within(found.clone(), 106, words)), [1, 2, 3]);
        assert_eq!(order(&within(found, 0, words)), [0; 0]);
    }

    #[test]
    fn a_find_says_where_it_comes_from() {
        let mut found = rank(
            recalled(&[7], &[], fresh(&[7])),
            &Weighing::default(),
            NOW,
            1,
        );
        assert_eq!(found[0].citation(), "memory 7");
        let mut place = Place {
            document: DocumentId(1),
            path: "/home/a/notes.md".to_owned(),
            lines: (12, 20),
            bytes: 0..1,
        };
        found[0].source = Origin::Document(place.clone());
        assert_eq!(found[0].citation(), "notes.md:12-20");
        place.lines = (3, 3);
        found[0].source = Origin::Document(place);
        assert_eq!(found[0].citation(), "notes.md:3");
    }

    #[test]
    fn a_search_by_words_alone_says_why() {
        let why = "the model m is not here".to_owned();
        assert_eq!(
            Basis::Words { why }.to_string(),
            "searched by words alone: the model m is not here"
        );
        let some = Basis::Meaning {
            model: ModelName::new("m"),
            unseen: 3,
        };
        assert!(some.to_string().contains("3 by words alone"));
    }

    proptest! {
        /// Nothing found is lost or doubled, scores fall, and reading again later changes no more than age does.
        #[test]
        fn a_ranking_holds_each_find_once(
            words in prop::collection::btree_set(0..50_i64, 0..20),
            near in prop::collection::btree_map(0..50_i64, -1.0..1.0_f32, 0..20),
            ages in prop::collection::vec(0..400_i64, 50),
        ) {
            let memories: Vec<Memory> = ages.iter().zip(0..).map(|(days, id)| memory(id, 0.5, NOW - days * DAY)).collect();
            let words: Vec<i64> = words.into_iter().collect();
            let mut near: Vec<(i64, f32)> = near.into_iter().collect();
            near.sort_by(|one, other| other.1.total_cmp(&one.1));
            let lists = recalled(&words, &near, memories);
            let found = rank(lists.clone(), &Weighing::default(), NOW, 1000);
            prop_assert_eq!(&found, &rank(lists, &Weighing::default(), NOW, 1000));
            let expected: std::collections::BTreeSet<i64> = words.iter().copied()
                .chain(near.iter().filter(|(_, near)| *near >= 0.2).map(|(id, _)| *id)).collect();
            let ids: std::collections::BTreeSet<i64> = order(&found).into_iter().collect();
            prop_assert_eq!(ids, expected.clone());
            prop_assert_eq!(found.len(), expected.len());
            prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            prop_assert!(found.iter().all(|found| (0.0..=1.0).contains(&found.score)));
        }
    }
}
