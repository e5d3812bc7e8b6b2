//! A hash that never changes.

/// A hash of a key and a name that is the same on every machine and in every version: FNV-1a of the name, the byte 255 and
/// the key, mixed by the finaliser of SplitMix64.
///
/// ```
/// use foundation_discovery::stable_hash;
///
/// assert_eq!(stable_hash(b"customer-7", "orders.a"), 0x82a9_82d9_7f48_36a3);
/// ```
pub fn stable_hash(key: &[u8], name: &str) -> u64 {
    // No byte of a text is 255, so a name and a key never become another pair.
    let bytes = name.bytes().chain([u8::MAX]).chain(key.iter().copied());
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// FNV alone leaves the high bits of short texts alike.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        assert_eq!(stable_hash(b"", ""), 0x4f2d_b50f_1240_40cd);
        assert_eq!(stable_hash(b"key", "name"), 0xca55_ba4d_f0df_f901);
        assert_ne!(stable_hash(b"ab", "c"), stable_hash(b"b", "ca"));
    }
}
