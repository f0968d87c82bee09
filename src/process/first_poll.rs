//! A future that is polled once where it is made, and becomes a task of a runtime when there is something to do.
//!
//! After its start a command is only waited for. To tell its runtime of that at once would wake two threads, which then
//! wait again: a twentieth of what a start costs.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    static IS_NOW: Cell<bool> = const { Cell::new(false) };
}

/// Polls it on this thread, and leaves the rest to the runtime.
pub(crate) fn poll_then_spawn(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
    // Elsewhere what it waits for does not leave anything to the runtime.
    if !cfg!(target_os = "linux") {
        drop(runtime.spawn(work));
        return;
    }
    let mut work: Work = Box::pin(work);
    let rest = Arc::new(Rest {
        runtime: runtime.clone(),
        state: Mutex::new(State::Polled),
    });
    let waker = Waker::from(Arc::clone(&rest));
    let _inside = runtime.enter();
    let polled = {
        let _now = Now::begin();
        work.as_mut().poll(&mut Context::from_waker(&waker))
    };
    if polled.is_pending() {
        rest.keep(work);
    }
}

/// Resolves at once, but not while a future is polled for the first time: there, what is ready is left to the runtime, and
/// what is not is waited for. For whatever may go on and on: only a task is told to let others have their turn.
pub(crate) async fn leave_to_runtime(is_ready: impl Fn(&mut Context<'_>) -> bool) {
    poll_fn(|context| {
        if !IS_NOW.get() {
            return Poll::Ready(());
        }
        if is_ready(context) {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

/// That a first poll is made on this thread, until it is dropped.
struct Now(bool);

impl Now {
    fn begin() -> Self {
        Self(IS_NOW.replace(true))
    }
}

impl Drop for Now {
    fn drop(&mut self) {
        IS_NOW.set(self.0);
    }
}

/// What is left to do, until it is woken. A runtime that ends wakes whatever waits for it, and drops what it is given
/// then.
struct Rest {
    runtime: Handle,
    state: Mutex<State>,
}

enum State {
    /// It is polled for the first time, and was not woken meanwhile.
    Polled,
    Waiting(Work),
    Woken,
}

impl Rest {
    fn change(&self, state: State) -> State {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, state)
    }

    fn keep(&self, work: Work) {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*current, State::Woken) {
            drop(current);
            self.runtime.spawn(work);
        } else {
            *current = State::Waiting(work);
        }
    }
}

impl Wake for Rest {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let State::Waiting(work) = self.change(State::Woken) {
            self.runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;
    use tokio::time::{sleep, timeout};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_is_woken_while_it_is_polled_or_later_is_gone_on_with() {
        for pause in [Duration::ZERO, Duration::from_millis(20)] {
            let (sender, done) = oneshot::channel();
            poll_then_spawn(&Handle::current(), async move {
                // Wakes itself at once.
                yield_now().await;
                sleep(pause).await;
                let _ = sender.send(());
            });
            assert_eq!(timeout(SOON, done).await, Ok(Ok(())));
        }
    }

    #[tokio::test]
    async fn what_is_ready_is_left_to_the_runtime() {
        let starting = std::thread::current().id();
        let (sender, done) = oneshot::channel();
        let runtime = Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.expect("a runtime");
        poll_then_spawn(runtime.handle(), async move {
            leave_to_runtime(|_| true).await;
            let _ = sender.send(std::thread::current().id());
        });
        let ended = timeout(SOON, done).await.expect("its end");
        assert!(ended.is_ok_and(|thread| thread != starting));
        runtime.shutdown_background();
    }

    #[test]
    fn what_waits_is_dropped_with_its_runtime() {
        let build = || {
            Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
        };
        let runtime = build().expect("a runtime");
        let (held, dropped) = oneshot::channel::<()>();
        poll_then_spawn(runtime.handle(), async move {
            sleep(Duration::from_secs(600)).await;
            drop(held);
        });
        drop(runtime);
        let other = build().expect("another runtime");
        let ended = other.block_on(async { timeout(SOON, dropped).await });
        assert!(matches!(ended, Ok(Err(_))), "{ended:?}");
    }
}
