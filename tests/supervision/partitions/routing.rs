//! Routing of keys to partitions.

use std::collections::HashSet;

use foundation::supervision::PartitionError;

use super::Hall;

#[tokio::test]
async fn part_8_integers_and_their_newtypes_are_routed_by_modulo() {
    #[derive(Hash)]
    struct Account(u64);

    let (shards, _reports) = Hall::of(4).open().await;
    for (key, partition) in [(0, 0), (3, 3), (4, 0), (-1, 1), (-6, 2), (i64::MIN, 0)] {
        assert_eq!(shards.partition_of(&key).unwrap(), partition, "{key}");
    }
    assert_eq!(shards.partition_of(&Account(7)).unwrap(), 3);
    assert_eq!(shards.partition_of(&u128::MAX).unwrap(), 3);
    shards.shutdown().await;
}

#[tokio::test]
async fn part_8_other_keys_are_routed_by_their_hash_to_a_constant_partition() {
    let (hall, other) = (Hall::of(4), Hall::of(4));
    let ((shards, _), (others, _)) = (hall.open().await, other.open().await);
    let mut met = HashSet::new();
    for n in 0..64 {
        let key = format!("user:{n}");
        let partition = shards.partition_of(&key).unwrap();
        assert_eq!(shards.partition_of(key.as_str()).unwrap(), partition);
        assert_eq!(others.partition_of(&key).unwrap(), partition);
        assert_eq!(shards.lookup(&key).unwrap().get_id(), hall.puppets[partition].id());
        met.insert(partition);
    }
    assert_eq!(met.len(), 4);
    shards.shutdown().await;
    others.shutdown().await;
}

#[tokio::test]
async fn part_8_an_unknown_partition_is_an_error_that_names_the_existing_ones() {
    let (shards, _reports) = Hall::of(2).open().await;
    let error = shards.at(2).unwrap_err();
    assert!(matches!(error, PartitionError::NotFound { asked: 2, partitions: 2 }), "{error}");
    shards.shutdown().await;
}
