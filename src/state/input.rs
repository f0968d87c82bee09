//! What a command is given to read while it runs, on its way there.

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::api::request::ExecutionRequest;
use crate::api::stdin::Stdin;

/// The input of an execution.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Only where it is written to while the command runs.
    queue: Mutex<Option<Queue>>,
    /// Why what feeds it has failed.
    problem: OnceLock<String>,
}

#[derive(Debug)]
struct Queue {
    sender: UnboundedSender<Order>,
    /// Taken by the execution.
    receiver: Option<UnboundedReceiver<Order>>,
}

/// What is done to an input, each with its answer; in order.
#[derive(Debug)]
pub(crate) enum Order {
    Write(Vec<u8>, Reply),
    Close(Reply),
}

pub(crate) type Reply = oneshot::Sender<io::Result<()>>;

impl Input {
    /// Lets it be written to from now on, if the request asks for it. If it does not, what was written before the request
    /// was known is refused.
    pub fn open_for(&self, request: &ExecutionRequest) {
        if request.stdin == Some(Stdin::Open) {
            return self.open();
        }
        let mut orders = self.queue().take().and_then(|queue| queue.receiver);
        while let Some(Ok(order)) = orders.as_mut().map(UnboundedReceiver::try_recv) {
            let (Order::Write(_, reply) | Order::Close(reply)) = order;
            let problem = "the request of the step, made since, does not leave it open";
            // Who does not wait for the answer has no use for it.
            let _ = reply.send(Err(io::Error::new(io::ErrorKind::InvalidInput, problem)));
        }
    }

    /// Lets it be written to from now on.
    pub fn open(&self) {
        self.queue().get_or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            let receiver = Some(receiver);
            Queue { sender, receiver }
        });
    }

    /// What is done to it, once.
    pub fn take_orders(&self) -> Option<UnboundedReceiver<Order>> {
        self.queue().as_mut()?.receiver.take()
    }

    fn queue(&self) -> MutexGuard<'_, Option<Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has something done to it. `None` if it cannot be written to; the answer never comes if the execution has ended.
    pub fn order(
        &self,
        order: impl FnOnce(Reply) -> Order,
    ) -> Option<oneshot::Receiver<io::Result<()>>> {
        let (reply, answer) = oneshot::channel();
        // Where nobody takes orders any more, the reply is dropped with this one.
        let _ = self.queue().as_ref()?.sender.send(order(reply));
        Some(answer)
    }

    /// Notes why what feeds it has failed. The first reason stays.
    pub fn fail(&self, problem: String) {
        let _ = self.problem.set(problem);
    }

    pub fn problem(&self) -> Option<&str> {
        self.problem.get().map(String::as_str)
    }
}
