//! The one source of randomness: the same seed gives the same throws, on every machine.

pub(super) struct Dice(fastrand::Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A number below this one, which is at least one.
    pub(super) fn below(&mut self, sides: usize) -> usize {
        self.0.usize(..sides)
    }

    /// True with this probability in percent.
    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these, of which there is at least one.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of these, each with the probability of its weight.
    pub(super) fn weighted<T: Copy>(&mut self, of: &[(usize, T)]) -> T {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in of {
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => return *value,
            }
        }
        unreachable!("the throw is below the sum of the weights")
    }
}
