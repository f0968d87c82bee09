//! Feeds a command what it reads, no faster than it takes it.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;

use tokio::io::ReadBuf;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::api::error::{ExecutionError, Result, ValidationError};
use crate::api::stdin::{BoxedReader, Stdin, StdinReader};
use crate::process::PipeWriter;
use crate::state::cancellation::Cause;
use crate::state::execution::Execution;
use crate::state::input::{Order, Reply};

/// How much is read from a reader at once: as much as a pipe holds.
const READ_SIZE: usize = 64 * 1024;

/// What a command is fed from.
pub(crate) enum Feed {
    /// The null device, or a file: the command reads by itself.
    Nothing,
    Bytes(Arc<Vec<u8>>),
    Orders(UnboundedReceiver<Order>),
    Reader(StdinReader),
}

impl Feed {
    /// What is to be fed to an execution; a file is left to who starts the command.
    pub fn of(stdin: &mut Option<Stdin>, execution: &Execution) -> Self {
        match stdin.take_if(|stdin| !matches!(stdin, Stdin::File(_))) {
            None | Some(Stdin::File(_)) => Self::Nothing,
            Some(Stdin::Bytes(bytes)) => Self::Bytes(Arc::new(bytes)),
            Some(Stdin::Reader(reader)) => Self::Reader(reader),
            Some(Stdin::Open) => {
                execution.input.open();
                let orders = execution.input.take_orders();
                orders.map_or(Self::Nothing, Self::Orders)
            }
        }
    }

    /// Whether the command is given a pipe.
    pub fn has_pipe(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// What the next attempt is fed; `again`: another one may be fed the same. Nobody else holds on to what was fed.
    pub fn next(&mut self, again: bool) -> Self {
        match self {
            Self::Bytes(bytes) if again => Self::Bytes(Arc::clone(bytes)),
            feed => std::mem::replace(feed, Self::Nothing),
        }
    }

    /// Feeds the command until it has all, or takes no more. Where what feeds it fails, it does not see an end: it might take
    /// what it has for the whole.
    pub async fn run(self, pipe: Option<PipeWriter>, execution: &Execution) {
        let Some(mut pipe) = pipe else { return };
        match self {
            Self::Nothing => {}
            Self::Bytes(bytes) => {
                // A command that does not read to the end is no error.
                let _ = pipe.write_all(&bytes).await;
            }
            Self::Orders(orders) => carry_out(orders, pipe).await,
            Self::Reader(reader) => {
                let copied = match reader.take() {
                    Some(reader) => copy(reader, &mut pipe).await,
                    None => Err(io::Error::other("another execution has read it")),
                };
                if let Err(error) = copied {
                    fail(execution, error.to_string());
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// Writes to the input of an execution; resolves once all of it is in the pipe to the command.
pub(crate) fn write(
    execution: &Arc<Execution>,
    data: Vec<u8>,
) -> impl Future<Output = Result<()>> + use<> {
    let id = execution.id();
    let answer = order(execution, |reply| Order::Write(data, reply));
    async move {
        let written = answer?.await.ok_or(ExecutionError::AlreadyFinished(id))?;
        written.map_err(|source| ExecutionError::Io {
            context: format!("the input of {id}"),
            source,
        })
    }
}

/// Ends the input of an execution, behind what was written before.
pub(crate) fn close(execution: &Arc<Execution>) -> impl Future<Output = Result<()>> + use<> {
    let answer = order(execution, Order::Close);
    async move {
        answer?.await;
        Ok(())
    }
}

/// Has something done to an input; resolves with its answer, or `None` if the execution has ended.
fn order<O: FnOnce(Reply) -> Order>(
    execution: &Arc<Execution>,
    order: O,
) -> Result<impl Future<Output = Option<io::Result<()>>> + use<O>> {
    let execution = Arc::clone(execution);
    let answer = execution.input.order(order).ok_or_else(|| {
        let expected = "that of a request which left its input open";
        ValidationError::new("id", expected, execution.id().to_string())
    })?;
    Ok(async move {
        tokio::select! {
            biased;
            Ok(answer) = answer => Some(answer),
            _ = execution.outcome.wait() => None,
        }
    })
}

/// Ends an execution whose input has failed.
pub(crate) fn fail(execution: &Execution, problem: String) {
    execution.input.fail(problem);
    execution.stop.ask(Cause::Input);
}

/// Does what is ordered, for as long as the execution lives: what comes too late is answered too.
async fn carry_out(mut orders: UnboundedReceiver<Order>, pipe: PipeWriter) {
    let mut pipe = Some(pipe);
    let mut why_closed = "the command has closed its input";
    while let Some(order) = orders.recv().await {
        // Who does not wait for the answer has no use for it.
        match order {
            Order::Write(bytes, reply) => {
                let written = match &mut pipe {
                    Some(pipe) => pipe.write_all(&bytes).await,
                    None => Err(io::ErrorKind::BrokenPipe.into()),
                };
                let _ = reply.send(written.map_err(|error| {
                    pipe = None;
                    match error.kind() {
                        kind @ io::ErrorKind::BrokenPipe => io::Error::new(kind, why_closed),
                        _ => error,
                    }
                }));
            }
            Order::Close(reply) => {
                if pipe.take().is_some() {
                    why_closed = "it was closed before";
                }
                let _ = reply.send(Ok(()));
            }
        }
    }
}

/// Passes on what a reader gives. Fails with the reader only: a command that takes no more is no error.
async fn copy(mut reader: BoxedReader, pipe: &mut PipeWriter) -> io::Result<()> {
    let mut room = vec![MaybeUninit::uninit(); READ_SIZE];
    loop {
        let mut buffer = ReadBuf::uninit(&mut room);
        poll_fn(|context| reader.as_mut().poll_read(context, &mut buffer)).await?;
        if buffer.filled().is_empty() || pipe.write_all(buffer.filled()).await.is_err() {
            return Ok(());
        }
    }
}
