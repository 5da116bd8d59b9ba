//! Room on the node: requests under way over all destinations are bounded (each is an open file),
//! and those that hang must not take it from those that are well.
//!
//! - In the first half anybody may have places, up to a quarter of what is free, so that no single
//!   destination fills it.
//! - In the third quarter one that has nothing under way may send its first request; more only one
//!   that is proven: its last request was answered, and it is not silent now.
//! - The last quarter is for proven ones alone.
//!
//! So hanging destinations, however many, fill three quarters at most, and a proven one always
//! finds a place. For those that were never heard of a quarter is kept, which others can fill with
//! nothing but first requests: only where more than that hang at their first, one waits for a
//! timeout among them.

/// How full the node is.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub taken: usize,
    pub capacity: usize,
}

/// What is known of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Proven,
    Unproven,
}

impl Crowd {
    /// Whether a destination that has `own` requests under way may have one more.
    pub fn has_room_for(self, own: usize, standing: Standing) -> bool {
        let free = self.capacity.saturating_sub(self.taken);
        if free == 0 {
            return false;
        }
        let share = (free / 4).max(1);
        match standing {
            _ if self.taken < self.capacity / 2 => own < share,
            Standing::Proven => own < share,
            Standing::Unproven => own == 0 && self.taken < self.capacity / 4 * 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Destinations that hang, each of which takes as much as it gets.
    fn fill(capacity: usize, hanging: usize) -> Vec<usize> {
        let mut owned = vec![0; hanging];
        let mut taken = 0;
        for own in &mut owned {
            while (Crowd { taken, capacity }).has_room_for(*own, Standing::Unproven) {
                *own += 1;
                taken += 1;
            }
        }
        owned
    }

    #[test]
    fn one_that_hangs_does_not_fill_the_node() {
        assert_eq!(fill(1_000, 1), [200]);
    }

    proptest! {
        #[test]
        fn those_that_are_well_find_room_among_any_number_that_hang(
            capacity in 16usize..400,
            hanging in 1usize..500,
        ) {
            let owned = fill(capacity, hanging);
            let taken: usize = owned.iter().sum();
            prop_assert!(taken <= capacity / 4 * 3);
            let crowd = Crowd { taken, capacity };
            prop_assert!(crowd.has_room_for(0, Standing::Proven));
            if hanging + 3 < capacity / 4 {
                prop_assert!(owned.iter().all(|own| *own > 0), "a first request found no room");
            }
        }

        #[test]
        fn the_bound_is_a_bound(own in 0usize..100, capacity in 0usize..100, more in 0usize..10) {
            let crowd = Crowd { taken: capacity + more, capacity };
            prop_assert!(!crowd.has_room_for(own, Standing::Proven));
        }
    }
}
