//! Panics: faults of ours. Each is told and counted, and what it ended is begun again.
//!
//! A panic ends the task it happens in, never its thread. What that means depends on whose task it is:
//!
//! | what panics | what follows |
//! |---|---|
//! | an attempt | one failed attempt, tried again by the postback's schedule ([`crate::pipeline::dispatcher`]) |
//! | a dispatcher | another is started, and what it held is given back ([`crate::pipeline::held`]) |
//! | the judging or recording of a batch | its requests one by one; that one gets 500 |
//! | the validating or mapping of a request | that one gets 503 |
//! | a station of a lane itself | its requests get 503, and the lane is started again |
//! | the recording of an outcome | the others of its batch are recorded, and that one is tried on |
//! | a round of a chore | the next round |
//! | a vital actor itself | the process ends, so that it is started again as a whole |

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

/// Before what has panicked is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// Something panicked; the log has said where and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an internal error (a panic)")]
pub struct Panicked;

/// Tells of every panic of this process from now on, and counts it.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        metrics::counter!("ricochet_panics_total").increment(1);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = message(panic.payload());
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => {
                tracing::error!(place, thread, %backtrace, "a panic, which is a fault in Ricochet: {message}");
            }
            _ => tracing::error!(place, thread, "a panic, which is a fault in Ricochet: {message}"),
        }
    }));
}

/// What a panic says of itself. Of a text that was cut in a wrong place, not the text: it may hold what
/// somebody sent.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "",
    };
    let is_of_a_text = text.contains("byte index") || text.contains("byte range");
    text.split_once('`').filter(|_| is_of_a_text).map_or(text, |(before, _)| before)
}

/// Does `work` to its end, also where that is a panic.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Panicked)
}

/// The same for what does not wait.
pub fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// The same for what may fail by itself: a panic is one more way to.
pub async fn as_failure<T, E: From<Panicked>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    caught(work).await.unwrap_or_else(|panicked| Err(panicked.into()))
}

/// Does on this thread what has no end of its own; should it panic, it is begun again.
pub fn keep_doing<Fut>(what: &'static str, work: impl Fn() -> Fut + 'static)
where
    Fut: Future<Output = ()>,
{
    actix::spawn(async move {
        while let Err(error) = caught(async { work().await }).await {
            tracing::error!(%error, "{what} was ended and is begun again");
            tokio::time::sleep(PAUSE).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    fn said(work: impl FnOnce()) -> String {
        let payload = std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_err();
        message(&*payload).to_owned()
    }

    #[test]
    fn a_panic_says_why_but_not_what_was_sent() {
        assert_eq!(said(|| panic!("no more")), "no more");
        assert_eq!(said(|| panic!("{} left", std::hint::black_box(3))), "3 left");
        assert_eq!(said(|| std::panic::panic_any(5)), "");
        let secret = std::hint::black_box("clé=s3cret");
        for end in [3, 99] {
            let told = said(|| drop(secret[..std::hint::black_box(end)].to_owned()));
            assert!(told.contains("byte") && !told.contains("s3cret"), "{told}");
        }
    }

    #[actix::test]
    async fn what_panics_is_begun_again_until_it_ends() {
        let begun = Rc::new(Cell::new(0));
        let (ended, end) = tokio::sync::oneshot::channel();
        let ended = Rc::new(Cell::new(Some(ended)));
        keep_doing("a chore", {
            let begun = begun.clone();
            move || {
                let (begun, ended) = (begun.clone(), ended.clone());
                async move {
                    begun.set(begun.get() + 1);
                    assert!(begun.get() > 2, "not yet");
                    let _ = ended.take().map(|ended| ended.send(()));
                }
            }
        });
        end.await.unwrap();
        assert_eq!(begun.get(), 3);
    }
}
