//! [`TokenRange`]: a run of the ring, both ends in it.

use schemas::ids::Token;

/// The tokens from `first` to `last`, both counted. Never empty: `first <= last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenRange {
    first: Token,
    last: Token,
}

impl TokenRange {
    /// Every token.
    pub const ALL: Self = Self { first: Token(0), last: Token(u64::MAX) };

    /// The tokens from `first` to `last`; `None` if there are none.
    #[must_use]
    pub fn new(first: Token, last: Token) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The least token.
    #[inline]
    #[must_use]
    pub fn first(self) -> Token {
        self.first
    }

    /// The greatest token.
    #[inline]
    #[must_use]
    pub fn last(self) -> Token {
        self.last
    }

    /// Whether `token` is in it.
    #[inline]
    #[must_use]
    pub fn contains(self, token: Token) -> bool {
        self.first <= token && token <= self.last
    }

    /// Whether some token is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The tokens in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// The least range that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// Whether `next` begins right behind it.
    #[must_use]
    pub fn is_followed_by(self, next: Self) -> bool {
        self.last.0.checked_add(1) == Some(next.first.0)
    }

    /// Its tokens below `token`.
    #[must_use]
    pub fn before(self, token: Token) -> Option<Self> {
        let last = Token(token.0.checked_sub(1)?);
        Self::new(self.first, self.last.min(last))
    }

    /// Its tokens past `token`.
    #[must_use]
    pub fn after(self, token: Token) -> Option<Self> {
        let next = Token(token.0.checked_add(1)?);
        Self::new(self.first.max(next), self.last)
    }

    /// How many tokens it has.
    #[must_use]
    pub fn span(self) -> u128 {
        u128::from(self.last.0 - self.first.0) + 1
    }

    /// How much of `self` is in `other`, 0 to 1, by tokens.
    #[must_use]
    pub fn fraction_in(self, other: Self) -> f64 {
        self.intersection(other).map_or(0.0, |shared| shared.span() as f64 / self.span() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> TokenRange {
        TokenRange::new(Token(first), Token(last)).unwrap()
    }

    #[test]
    fn ranges_hold_both_their_ends() {
        assert_eq!(TokenRange::new(Token(2), Token(1)), None);
        let five = range(5, 5);
        assert!(five.contains(Token(5)) && !five.contains(Token(4)) && !five.contains(Token(6)));
        assert!(five.overlaps(range(0, 5)) && five.overlaps(range(5, 9)));
        assert!(!five.overlaps(range(0, 4)) && !five.overlaps(range(6, 9)));
        assert_eq!(range(0, 7).intersection(range(3, 9)), Some(range(3, 7)));
        assert_eq!(range(0, 2).intersection(range(3, 9)), None);
        assert_eq!(range(0, 1).hull(range(8, 9)), range(0, 9));
    }

    #[test]
    fn what_is_after_a_token_may_be_nothing() {
        assert_eq!(range(3, 9).after(Token(5)), Some(range(6, 9)));
        assert_eq!(range(3, 9).after(Token(1)), Some(range(3, 9)));
        assert_eq!(range(3, 9).after(Token(9)), None);
        assert_eq!(TokenRange::ALL.after(Token(u64::MAX)), None);
    }

    #[test]
    fn what_is_before_a_token_may_be_nothing() {
        assert_eq!(range(3, 9).before(Token(5)), Some(range(3, 4)));
        assert_eq!(range(3, 9).before(Token(20)), Some(range(3, 9)));
        assert_eq!(range(3, 9).before(Token(3)), None);
        assert_eq!(TokenRange::ALL.before(Token(0)), None);
        assert!(range(3, 9).is_followed_by(range(10, 10)));
        assert!(!range(3, 9).is_followed_by(range(9, 10)));
        assert!(!TokenRange::ALL.is_followed_by(range(0, 0)));
    }

    #[test]
    fn fractions_are_by_tokens() {
        assert_eq!(range(0, 9).fraction_in(range(5, 100)), 0.5);
        assert_eq!(range(0, 9).fraction_in(range(10, 100)), 0.0);
        assert_eq!(TokenRange::ALL.fraction_in(TokenRange::ALL), 1.0);
    }
}
