//! Search among sorted tokens.
//!
//! Tokens are hashes, uniform over the range that a file or a block covers, so a token's place can
//! be computed: after an interpolation the rest lies within a few square roots of the length. The
//! steps are those of Perl and Reingold, "Understanding the complexity of interpolation search"
//! (1977): interpolate, then probe a square root away to bring the far end in. Tokens that are not
//! uniform (somebody chose the keys) cost [`ROUNDS_MAX`] rounds and then a binary search.

/// Rounds of interpolation before the search halves: two bring 16 Ki uniform tokens down to a
/// handful.
const ROUNDS_MAX: usize = 3;

/// Among so few, halving is quicker than a division.
const HALVE_BELOW: usize = 12;

/// The last index below `len` whose token is `<= token`; `None` if every token is greater.
///
/// `at` gives the token of an index and never falls as the index grows.
#[inline]
pub(crate) fn last_at_most(len: usize, token: u64, at: impl Fn(usize) -> u64) -> Option<usize> {
    if len == 0 || at(0) > token {
        return None;
    }
    if at(len - 1) <= token {
        return Some(len - 1);
    }
    // Kept true: `at(low) <= token < at(high)`.
    let (mut low, mut high) = (0, len - 1);
    for _ in 0..ROUNDS_MAX {
        if high - low <= HALVE_BELOW {
            break;
        }
        let reach = (high - low).isqrt();
        let near = interpolate(low, high, token, &at);
        let far = if at(near) <= token {
            low = near;
            near + reach
        } else {
            high = near;
            near.saturating_sub(reach)
        };
        if low < far && far < high {
            *(if at(far) <= token { &mut low } else { &mut high }) = far;
        }
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        *(if at(middle) <= token { &mut low } else { &mut high }) = middle;
    }
    Some(low)
}

/// Where `token` would lie between `low` and `high` were the tokens evenly spread; strictly
/// between them.
#[inline]
fn interpolate(low: usize, high: usize, token: u64, at: &impl Fn(usize) -> u64) -> usize {
    let (first, last) = (at(low), at(high));
    let span = last - first;
    // 32 bits of the span are as much as indexes can tell apart, and keep the product in 64.
    let shift = 32u32.saturating_sub(span.leading_zeros());
    let (span, part) = (span >> shift, (token - first) >> shift);
    let steps = (high - low) as u64;
    let step = part.saturating_mul(steps) / span.max(1);
    (low + step as usize).clamp(low + 1, high - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(tokens: &[u64], token: u64) {
        let expected = tokens.partition_point(|&it| it <= token).checked_sub(1);
        let got = last_at_most(tokens.len(), token, |index| tokens[index]);
        assert_eq!(got, expected, "{token} in {} tokens", tokens.len());
    }

    #[test]
    fn finds_ends_gaps_and_runs() {
        for tokens in [
            vec![],
            vec![0],
            vec![u64::MAX],
            vec![7; 100],
            vec![0, u64::MAX],
            (0..1000).map(|i| i * i).collect(),
            (0..64).map(|i| 1 << i).collect(),
            [vec![3; 50], vec![u64::MAX; 50]].concat(),
        ] {
            for token in tokens.iter().flat_map(|&t| [t.wrapping_sub(1), t, t.wrapping_add(1)]) {
                check(&tokens, token);
            }
            check(&tokens, 0);
            check(&tokens, u64::MAX);
        }
    }

    /// 16 Ki uniform tokens are 64 MiB of data: halving would take 14 probes.
    #[test]
    fn uniform_tokens_take_few_probes() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut tokens: Vec<u64> = (0..16 << 10).map(|_| rng.u64(..)).collect();
        tokens.sort_unstable();
        let probes = std::cell::Cell::new(0);
        for _ in 0..1000 {
            let token = rng.u64(..);
            last_at_most(tokens.len(), token, |index| {
                probes.set(probes.get() + 1);
                tokens[index]
            });
        }
        assert!(probes.get() < 14_000 * 3 / 2, "{} probes for 1000 searches", probes.get());
    }

    proptest! {
        #[test]
        fn agrees_with_halving(
            mut tokens in prop::collection::vec(
                prop_oneof![any::<u64>(), 0u64..64, (u64::MAX - 64)..=u64::MAX], 0..300),
            probes in prop::collection::vec(any::<u64>(), 20),
        ) {
            tokens.sort_unstable();
            for token in probes.iter().copied().chain(tokens.clone()) {
                check(&tokens, token);
            }
        }
    }
}
