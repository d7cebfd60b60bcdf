//! In which order those that are compared have their turns.

/// The turns of a round: each of the orders that there are comes once before one comes again.
pub(crate) fn order(round: u32, count: usize) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..count).collect();
    let mut number = usize::try_from(round).unwrap_or(0);
    let mut order = Vec::new();
    while !rest.is_empty() {
        let next = number % rest.len();
        number /= rest.len();
        order.push(rest.remove(next));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_order_comes_once_before_one_comes_again() {
        let orders: BTreeSet<Vec<usize>> = (0..24).map(|round| order(round, 4)).collect();
        assert_eq!(orders.len(), 24);
        assert!(orders.iter().all(|order| order.iter().sum::<usize>() == 6));
        assert_eq!((order(24, 4), order(0, 0)), (order(0, 4), vec![]));
    }
}
