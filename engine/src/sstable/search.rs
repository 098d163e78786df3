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
    if len == 0 {
        return None;
    }
    // Kept true: `low.token <= token < high.token`.
    let probe = |index: usize| Probe { index, token: at(index) };
    let (mut low, mut high) = (probe(0), probe(len - 1));
    if low.token > token {
        return None;
    }
    if high.token <= token {
        return Some(high.index);
    }
    for _ in 0..ROUNDS_MAX {
        let width = high.index - low.index;
        if width <= HALVE_BELOW {
            break;
        }
        let near = probe(interpolate(&low, &high, token));
        let far = if near.token <= token {
            low = near;
            low.index + width.isqrt()
        } else {
            high = near;
            high.index.saturating_sub(width.isqrt())
        };
        if low.index < far && far < high.index {
            let far = probe(far);
            *(if far.token <= token { &mut low } else { &mut high }) = far;
        }
    }
    let (mut low, mut high) = (low.index, high.index);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        *(if at(middle) <= token { &mut low } else { &mut high }) = middle;
    }
    Some(low)
}

/// A token that was looked at.
#[derive(Clone, Copy)]
struct Probe {
    index: usize,
    token: u64,
}

/// Where `token` would lie between `low` and `high`, which are at least two apart, were the tokens
/// evenly spread; strictly between them.
#[inline]
fn interpolate(low: &Probe, high: &Probe, token: u64) -> usize {
    let span = high.token - low.token;
    // 32 bits of the span are as much as indexes can tell apart, and keep the product in 64.
    let shift = 32u32.saturating_sub(span.leading_zeros());
    let (span, part) = (span >> shift, (token - low.token) >> shift);
    let steps = (high.index - low.index) as u64;
    let step = part.saturating_mul(steps) / span.max(1);
    (low.index + step as usize).clamp(low.index + 1, high.index - 1)
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
        assert!(probes.get() < 10_500, "{} probes for 1000 searches", probes.get());
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
