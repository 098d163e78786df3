//! When to try again what the client gave up.
//!
//! The client tries three times within a deadline, which suits a request that somebody waits for.
//! A transfer has time: it waits while a server is busy or starts again.

use std::future::Future;
use std::time::Duration;

use kvclient::Error;

use crate::limits::{ATTEMPTS_MAX, RETRY_AFTER, RETRY_AFTER_MAX};

/// Does `attempt` until it succeeds, cannot, or was tried often enough.
pub(super) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut attempts = 0;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        attempts += 1;
        if !error.is_retryable() || attempts == ATTEMPTS_MAX {
            return Err(error);
        }
        tokio::time::sleep(wait(attempts, error.retry_after())).await;
    }
}

/// The wait after so many attempts.
fn wait(attempts: u32, asked: Option<Duration>) -> Duration {
    let doubled = RETRY_AFTER.saturating_mul(1 << (attempts - 1).min(16));
    asked.unwrap_or(Duration::ZERO).max(doubled).min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_heed_the_server_and_are_bounded() {
        assert_eq!(wait(1, None), RETRY_AFTER);
        assert_eq!(wait(3, None), RETRY_AFTER * 4);
        assert_eq!(wait(1, Some(Duration::from_millis(700))), Duration::from_millis(700));
        assert_eq!(wait(1, Some(Duration::from_secs(3600))), RETRY_AFTER_MAX);
        assert_eq!(wait(ATTEMPTS_MAX, None), RETRY_AFTER_MAX);
        let all: Duration = (1..ATTEMPTS_MAX).map(|attempts| wait(attempts, None)).sum();
        assert!(all > Duration::from_secs(20), "a server has time to start again");
    }
}
