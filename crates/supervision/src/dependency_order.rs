//! The start order of siblings that depend on each other: a stable topological sort, or why there is none.
//!
//! Kahn's algorithm ("Topological sorting of large networks", CACM 1962), taking the first in writing among those that
//! are free, so that children without dependencies keep the order they were written in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::names::ChildId;

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disorder {
    Unknown {
        child: ChildId,
        on: ChildId,
    },
    /// Each depends on the next, the last on the first.
    Cycle(Vec<ChildId>),
}

/// Indexes into `children` (id, ids it depends on) in start order.
pub(crate) fn start_order(children: &[(&ChildId, &[ChildId])]) -> Result<Vec<usize>, Disorder> {
    let needs = by_index(children)?;
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); children.len()];
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (child, on) in needs.iter().enumerate() {
        for needed in on {
            if let Some(list) = needed_by.get_mut(*needed) {
                list.push(child);
            }
        }
    }
    let mut free: BinaryHeap<Reverse<usize>> = (0..children.len())
        .filter(|child| missing.get(*child) == Some(&0))
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(children.len());
    while let Some(Reverse(child)) = free.pop() {
        order.push(child);
        for waiting in needed_by.get(child).into_iter().flatten() {
            if let Some(left) = missing.get_mut(*waiting) {
                *left -= 1;
                if *left == 0 {
                    free.push(Reverse(*waiting));
                }
            }
        }
    }
    if order.len() == children.len() {
        Ok(order)
    } else {
        Err(Disorder::Cycle(circle(children, &needs, &missing)))
    }
}

fn by_index(children: &[(&ChildId, &[ChildId])]) -> Result<Vec<Vec<usize>>, Disorder> {
    let index: HashMap<&ChildId, usize> = (children.iter().enumerate())
        .map(|(at, (id, _))| (*id, at))
        .collect();
    let find = |child: &ChildId, on: &ChildId| {
        index.get(on).copied().ok_or_else(|| Disorder::Unknown {
            child: child.clone(),
            on: on.clone(),
        })
    };
    let list = |(child, on): &(&ChildId, &[ChildId])| on.iter().map(|on| find(child, on)).collect();
    children.iter().map(list).collect()
}

/// One circle among those that never became free: from any of them, each step to a dependency that is not free either
/// must come back to one seen before.
fn circle(
    children: &[(&ChildId, &[ChildId])],
    needs: &[Vec<usize>],
    missing: &[usize],
) -> Vec<ChildId> {
    let stuck = |child: &usize| missing.get(*child).is_some_and(|left| *left > 0);
    let mut path: Vec<usize> = Vec::new();
    let mut at = (0..children.len()).find(stuck);
    while let Some(child) = at {
        if let Some(start) = path.iter().position(|seen| *seen == child) {
            path.drain(..start);
            break;
        }
        path.push(child);
        at = needs
            .get(child)
            .and_then(|on| on.iter().copied().find(|on| stuck(on)));
    }
    path.into_iter()
        .filter_map(|child| children.get(child).map(|(id, _)| (*id).clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Wish<'a> = (&'a str, &'a [&'a str]);

    fn order(spec: &[Wish<'_>]) -> Result<Vec<String>, Disorder> {
        let ids: Vec<ChildId> = spec.iter().map(|(id, _)| ChildId::new(id)).collect();
        let needs: Vec<Vec<ChildId>> = spec
            .iter()
            .map(|(_, on)| on.iter().map(ChildId::new).collect())
            .collect();
        let children: Vec<_> = ids.iter().zip(&needs).map(|(id, on)| (id, &**on)).collect();
        let order = start_order(&children)?;
        Ok(order.into_iter().map(|at| ids[at].to_string()).collect())
    }

    #[test]
    fn each_comes_after_those_it_depends_on_and_the_rest_stay_as_written() {
        let table: &[(&[Wish<'_>], &[&str])] = &[
            (&[], &[]),
            (&[("b", &[]), ("a", &[])], &["b", "a"]),
            (&[("a", &["c"]), ("b", &[]), ("c", &[])], &["b", "c", "a"]),
            (
                &[("d", &["b", "c"]), ("c", &["a"]), ("b", &["a"]), ("a", &[])],
                &["a", "c", "b", "d"],
            ),
            (&[("a", &["b", "b"]), ("b", &[])], &["b", "a"]),
        ];
        for (spec, expected) in table {
            assert_eq!(order(spec).unwrap(), *expected, "{spec:?}");
        }
    }

    #[test]
    fn a_circle_and_a_stranger_are_named() {
        let unknown = order(&[("a", &["x"])]).unwrap_err();
        let (child, on) = (ChildId::new("a"), ChildId::new("x"));
        assert_eq!(unknown, Disorder::Unknown { child, on });
        let itself = order(&[("a", &["a"])]).unwrap_err();
        assert_eq!(itself, Disorder::Cycle(vec!["a".into()]));
        let three = order(&[("d", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]);
        let path = ["a", "b", "c"].map(ChildId::new).to_vec();
        assert_eq!(three.unwrap_err(), Disorder::Cycle(path));
    }

    proptest! {
        #[test]
        fn an_order_is_found_exactly_if_there_is_one(
            arrows in prop::collection::vec((0_usize..8, 0_usize..8), 0..16),
        ) {
            let ids: Vec<ChildId> = (0..8).map(|n| ChildId::new(format!("c{n}"))).collect();
            let mut needs: Vec<Vec<ChildId>> = vec![Vec::new(); 8];
            for (child, on) in &arrows {
                needs[*child].push(ids[*on].clone());
            }
            let children: Vec<_> = ids.iter().zip(&needs).map(|(id, on)| (id, &**on)).collect();
            match start_order(&children) {
                Ok(order) => {
                    let place = |child: usize| order.iter().position(|at| *at == child).unwrap();
                    prop_assert_eq!(order.len(), 8);
                    for (child, on) in &arrows {
                        prop_assert!(place(*on) < place(*child));
                    }
                }
                Err(Disorder::Cycle(path)) => {
                    prop_assert!(!path.is_empty());
                    let at = |n: usize| ids.iter().position(|id| *id == path[n % path.len()]).unwrap();
                    for n in 0..path.len() {
                        prop_assert!(arrows.contains(&(at(n), at(n + 1))), "{path:?}");
                    }
                }
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
