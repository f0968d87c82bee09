//! A lease: an execution that lives only as long as somebody says, time and again, that it is still wanted.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// When an execution is to be over, unless that is put off before.
#[derive(Debug)]
pub(crate) struct Lease {
    lease_ms: u64,
    ends: watch::Sender<Instant>,
}

impl Lease {
    /// It ends that many milliseconds from now.
    pub fn new(lease_ms: u64) -> Self {
        Self {
            lease_ms,
            ends: watch::Sender::new(deadline_after(Instant::now(), lease_ms)),
        }
    }

    /// Lets it end that many milliseconds from now, or as many as at first. Returns false if it has ended: then it stays so.
    pub fn renew(&self, lease_ms: Option<u64>) -> bool {
        let now = Instant::now();
        self.ends.send_if_modified(|ends| {
            let holds = now < *ends;
            if holds {
                *ends = deadline_after(now, lease_ms.unwrap_or(self.lease_ms));
            }
            holds
        })
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {
        let mut ends = self.ends.subscribe();
        loop {
            let at = *ends.borrow_and_update();
            if at <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(at) => {}
                _ = ends.changed() => {}
            }
        }
    }
}

/// The longest deadline that a clock can hold; a longer one is none.
pub(crate) fn deadline_after(start: Instant, timeout_ms: u64) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    start + Duration::from_millis(timeout_ms).min(CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_ended_is_not_renewed() {
        let lease = Lease::new(1);
        lease.ended().await;
        assert!(!lease.renew(Some(60_000)));
        lease.ended().await;
    }

    #[tokio::test]
    async fn a_renewal_counts_from_its_call_also_where_it_ends_sooner() {
        let lease = Lease::new(u64::MAX);
        assert!(lease.renew(Some(60_000)));
        assert!(lease.renew(Some(1)));
        lease.ended().await;
    }
}
