//! From a key to a partition.

use std::hash::{BuildHasher, Hash, Hasher};
use std::num::NonZeroUsize;

use foldhash::quality::{FixedState, FoldHasher};

/// The partition of a key: of an integer, its absolute value modulo the number of partitions, as in Elixir; of anything
/// else its hash. The same in each run of the program.
///
/// A key counts as an integer if it hashes as one, so a type that only wraps one does as well.
pub(super) fn partition_of(key: &(impl Hash + ?Sized), partitions: NonZeroUsize) -> usize {
    let mut read = KeyHasher::Empty;
    key.hash(&mut read);
    read.modulo(partitions)
}

/// The part of a key that has been read so far.
enum KeyHasher {
    Empty,
    Integer(u128),
    Mixed(FoldHasher<'static>),
}

impl KeyHasher {
    fn modulo(&self, partitions: NonZeroUsize) -> usize {
        let partitions = partitions.get() as u128;
        // Below the number of partitions, and so within a usize.
        (self.value() % partitions) as usize
    }

    fn value(&self) -> u128 {
        match self {
            Self::Empty => 0,
            Self::Integer(value) => *value,
            Self::Mixed(hasher) => hasher.finish().into(),
        }
    }

    fn mix(&mut self, feed: impl FnOnce(&mut FoldHasher<'static>)) {
        let mut hasher = FixedState::default().build_hasher();
        match self {
            Self::Mixed(hasher) => return feed(hasher),
            Self::Integer(value) => hasher.write_u128(*value),
            Self::Empty => {}
        }
        feed(&mut hasher);
        *self = Self::Mixed(hasher);
    }

    fn integer(&mut self, value: u128) {
        match self {
            Self::Empty => *self = Self::Integer(value),
            _ => self.mix(|hasher| hasher.write_u128(value)),
        }
    }
}

macro_rules! integers {
    ($($unsigned:ident $write_unsigned:ident $signed:ident $write_signed:ident),+ $(,)?) => {
        $(
            fn $write_unsigned(&mut self, value: $unsigned) {
                self.integer(value as u128);
            }

            fn $write_signed(&mut self, value: $signed) {
                self.integer(value.unsigned_abs() as u128);
            }
        )+
    };
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.value() as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        self.mix(|hasher| hasher.write(bytes));
    }

    integers!(
        u8 write_u8 i8 write_i8, u16 write_u16 i16 write_i16, u32 write_u32 i32 write_i32,
        u64 write_u64 i64 write_i64, u128 write_u128 i128 write_i128, usize write_usize isize write_isize,
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(key: impl Hash, partitions: usize) -> usize {
        partition_of(&key, NonZeroUsize::new(partitions).unwrap())
    }

    #[derive(Hash)]
    struct Account(u64);

    proptest! {
        #[test]
        fn an_integer_goes_by_its_absolute_value_modulo_the_partitions(key: i64, partitions in 1usize..100) {
            let expected = (key.unsigned_abs() % partitions as u64) as usize;
            prop_assert_eq!(of(key, partitions), expected);
            prop_assert_eq!(of(i128::from(key), partitions), expected);
            prop_assert_eq!(of(key.unsigned_abs(), partitions), expected);
            prop_assert_eq!(of(Account(key.unsigned_abs()), partitions), expected);
        }

        #[test]
        fn any_key_has_one_partition_and_a_reference_to_it_the_same(key: String, n: u8, partitions in 1usize..100) {
            let partition = of(&key, partitions);
            prop_assert!(partition < partitions);
            prop_assert_eq!(of(key.as_str(), partitions), partition);
            prop_assert_eq!(of((&key, n), partitions), of((key.clone(), n), partitions));
        }
    }

    #[test]
    fn texts_and_pairs_are_spread_over_all_partitions() {
        for key in [|n: u32| of(format!("user:{n}"), 16), |n: u32| of((1u8, n), 16)] {
            let mut counts = [0; 16];
            for n in 0..16_000 {
                counts[key(n)] += 1;
            }
            assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        }
    }
}
