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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_awaited_is_said_once_it_takes_a_while() {
        let said = async |takes: Duration| {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&heard);
            let notices: NoticeSink = Arc::new(move |notice| {
                if let Notice::Waiting { whom, long } = notice {
                    sink.lock().unwrap().push((whom, long));
                }
            });
            let work = tokio::time::sleep(takes);
            saying_who_is_awaited(&notices, || "m3".to_owned(), work).await;
            let heard = heard.lock().unwrap();
            heard.clone()
        };
        assert!(said(Duration::from_millis(300)).await.is_empty());
        let once = |long| ("m3".to_owned(), long);
        assert_eq!(said(Duration::from_secs(2)).await, [once(false)]);
        let both = [once(false), once(true)];
        assert_eq!(said(Duration::from_secs(9)).await, both);
    }
}
