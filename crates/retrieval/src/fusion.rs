//! Two rankings become one. By reciprocal rank, because the scores of words and of angles have nothing in common, and
//! their places do.

use std::collections::BTreeMap;

/// How much the first places stand out: the constant of Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms
/// Condorcet and individual rank learning methods" (SIGIR 2009).
pub const K: f64 = 60.0;

/// Something ranked, and by how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused<Id> {
    /// What.
    pub id: Id,
    /// The sum of 1 / (60 + rank) over the lists it is in, ranks counted from 1.
    pub score: f64,
}

/// One list of several, best first. Only places count, so a list may come from any scale. Where two are as good, the
/// greater id is first; an id that is twice in a list counts where it comes first.
pub fn fuse<Id: Ord + Copy>(lists: &[&[Id]]) -> Vec<Fused<Id>> {
    let mut scores: BTreeMap<Id, f64> = BTreeMap::new();
    for list in lists {
        let mut ranks: BTreeMap<Id, u32> = BTreeMap::new();
        for (rank, id) in (1..).zip(*list) {
            ranks.entry(*id).or_insert(rank);
        }
        for (id, rank) in ranks {
            *scores.entry(id).or_default() += 1.0 / (K + f64::from(rank));
        }
    }
    let mut fused: Vec<Fused<Id>> = scores
        .into_iter()
        .map(|(id, score)| Fused { id, score })
        .collect();
    fused.sort_by(|one, other| {
        let by_score = other.score.total_cmp(&one.score);
        by_score.then(other.id.cmp(&one.id))
    });
    fused
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(lists: &[&[u32]]) -> Vec<u32> {
        fuse(lists).iter().map(|fused| fused.id).collect()
    }

    #[test]
    fn places_are_added_as_reciprocals() {
        let fused = fuse(&[&[7, 8], &[8, 9]]);
        assert_eq!(
            fused.iter().map(|fused| fused.id).collect::<Vec<_>>(),
            [8, 7, 9]
        );
        for (fused, expected) in fused
            .iter()
            .zip([1.0 / 62.0 + 1.0 / 61.0, 1.0 / 61.0, 1.0 / 62.0])
        {
            assert!((fused.score - expected).abs() < 1e-12, "{fused:?}");
        }
        assert_eq!(order(&[]), [0; 0]);
        assert_eq!(order(&[&[], &[]]), [0; 0]);
        assert_eq!(order(&[&[1, 2, 1, 1], &[]]), [1, 2]);
        // As good as each other: the greater one, whichever list it came from.
        assert_eq!(order(&[&[1], &[2]]), [2, 1]);
        assert_eq!(order(&[&[2], &[1]]), [2, 1]);
    }

    /// Distinct ids with a score each, as a search would give them.
    fn scored() -> impl Strategy<Value = Vec<(u32, f64)>> {
        prop::collection::btree_map(0..200_u32, 0.0..1.0_f64, 0..40)
            .prop_map(|map| map.into_iter().collect())
    }

    fn ranked(mut list: Vec<(u32, f64)>) -> Vec<u32> {
        list.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        list.into_iter().map(|(id, _)| id).collect()
    }

    proptest! {
        /// Scores of one search may be of any scale: only their order counts.
        #[test]
        fn the_scale_of_a_search_changes_nothing(one in scored(), other in scored(), scale in 0.001..1e6_f64) {
            let scaled = one.iter().map(|(id, score)| (*id, score * scale)).collect();
            let (one, scaled, other) = (ranked(one), ranked(scaled), ranked(other));
            prop_assert_eq!(fuse(&[&one, &other]), fuse(&[&scaled, &other]));
        }

        #[test]
        fn the_order_of_the_lists_changes_nothing(one in scored(), other in scored()) {
            let (one, other) = (ranked(one), ranked(other));
            prop_assert_eq!(order(&[&one, &other]), order(&[&other, &one]));
        }

        /// Found twice is better than found once in the same place, and nothing is lost or made up.
        #[test]
        fn both_lists_beat_one_at_the_same_place(rank in 0..40_usize, alone in scored(), both in scored()) {
            let (mut alone, mut both) = (ranked(alone), ranked(both));
            alone.insert(rank.min(alone.len()), 1000);
            let place = alone.iter().position(|id| *id == 1000).unwrap();
            both.resize(both.len().max(place), 2000);
            both.truncate(place);
            let mut second = both.clone();
            both.push(1001);
            second.push(1001);
            let one_list = fuse(&[&alone]);
            let two_lists = fuse(&[&both, &second]);
            let score = |list: &[Fused<u32>], id| list.iter().find(|fused| fused.id == id).map(|fused| fused.score);
            let twice = score(&two_lists, 1001).unwrap();
            let once = score(&one_list, 1000).unwrap();
            prop_assert!(twice >= once, "{twice} {once}");
            let all: std::collections::BTreeSet<u32> = alone.iter().copied().collect();
            prop_assert_eq!(one_list.len(), all.len());
        }
    }
}
