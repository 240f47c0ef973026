//! Work that others may keep waiting: somebody watches.

use std::pin::pin;

use tokio::time::Instant;

use crate::limits;
use crate::outcome::{Notice, NoticeSink};

/// Does this work, and says whom it waits for when that takes a while.
pub(crate) async fn saying_who_is_awaited<T>(
    notices: &NoticeSink,
    whom: impl Fn() -> String,
    work: impl Future<Output = T>,
) -> T {
    let begun = Instant::now();
    let mut work = pin!(work);
    for (after, long) in [(limits::WAITING, false), (limits::WAITING_LONG, true)] {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep_until(begun + after) => {
                notices(Notice::Waiting { whom: whom(), long });
            }
        }
    }
    work.await
}
