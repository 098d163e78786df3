//! [`Timing`]: how long an agreement waits for what.

use std::time::Duration;

use fastrand::Rng;

/// How long is waited for what, at least a millisecond each. Waits are spread at random from half
/// of that to the whole, so that nodes do not keep in step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Before a voter that has not answered is asked again; doubled each time, up to sixteenfold.
    pub resend: Duration,
    /// Before another attempt, after one that had to give way; doubled each time, up to
    /// thirty-two-fold.
    pub back_off: Duration,
    /// Before a voter has decided what it accepted and heard no more of.
    pub finish: Duration,
    /// Between asking some member for a newer document.
    pub pull: Duration,
    /// Before a document that was asked for is asked for elsewhere.
    pub ask: Duration,
    /// Before a member that has not taken a document is offered it again.
    pub offer: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            resend: Duration::from_millis(200),
            back_off: Duration::from_millis(100),
            finish: Duration::from_secs(3),
            pull: Duration::from_secs(10),
            ask: Duration::from_secs(2),
            offer: Duration::from_secs(1),
        }
    }
}

/// From half of `wait` to the whole.
pub(super) fn about(wait: Duration, rng: &mut Rng) -> Duration {
    let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros - rng.u64(0..=micros / 2))
}
