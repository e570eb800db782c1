//! Groups: tables tied by foreign keys go through the migration together.

use crate::plan::{GroupId, TablePlan};

/// Numbers the groups of plans by the foreign keys that are carried; a table without any is a group of its own.
pub fn group_tables(plans: &mut [TablePlan]) {
    let mut parent: Vec<usize> = (0..plans.len()).collect();
    for (child, plan) in plans.iter().enumerate() {
        for key in &plan.target.foreign_keys {
            if let Some(other) = plans.iter().position(|known| known.target.name == key.parent) {
                let (left, right) = (root(&mut parent, child), root(&mut parent, other));
                parent[left.max(right)] = left.min(right);
            }
        }
    }
    let mut numbers: Vec<usize> = Vec::new();
    for (index, plan) in plans.iter_mut().enumerate() {
        let root = root(&mut parent, index);
        let number = numbers
            .iter()
            .position(|known| *known == root)
            .unwrap_or_else(|| {
                numbers.push(root);
                numbers.len() - 1
            });
        plan.group = GroupId(u32::try_from(number).expect("fewer groups than tables"));
    }
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}
