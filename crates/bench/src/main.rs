//! Side-by-side benchmarks of foundation and its peers.

fn main() {}
