//! Following a log: its entries as they are written, until nobody writes it any more.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::page::{Entries, LogReader, Most};
use crate::api::error::{ExecutionError, Result};
use crate::api::log::LogLine;
use crate::process::pool;
use crate::process::watch::Watch;
use crate::state::completion::Completion;
use crate::state::execution::Execution;

/// How much is read at once.
const MOST: Most = Most {
    lines: 1000,
    bytes: 256 * 1024,
};

/// Follows the log of an execution, of this process or another.
///
/// What it yields is read from the file, when it is asked for: a slow follower holds nothing up. Nothing is lost if one of
/// its futures is dropped.
///
/// ```no_run
/// # use execution_engine::{Command, ExecutionEngine, ExecutionRequest, Result};
/// # async fn follow(engine: ExecutionEngine) -> Result<()> {
/// let id = engine.execute(ExecutionRequest::new(Command::shell("make"))).await?;
/// let mut lines = engine.follow_logs(id, 0);
/// while let Some(entry) = lines.next().await? {
///     println!("{} {}", entry.stream.as_str(), entry.line);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LogFollower {
    id: Uuid,
    path: PathBuf,
    /// Of this process; it may not have logged anything yet.
    execution: Option<Arc<Execution>>,
    /// Ends the waiting for another process.
    shut_down: Arc<Completion<()>>,
    /// Where the next entry begins.
    next: u64,
    source: Source,
    /// Whether a log that is not there is waited for.
    waits: bool,
    lines: VecDeque<LogLine>,
}

/// What is begun for it is awaited by whoever asks next, where the one who asked has gone.
#[derive(Debug)]
enum Source {
    /// What is said once, instead of an entry.
    Refused(ExecutionError),
    Unopened,
    Opening(oneshot::Receiver<Result<Looked>>),
    /// It is not there yet.
    Absent(Watch),
    Open(Open),
    Over,
}

/// What a look for the log has found.
#[derive(Debug)]
enum Looked {
    Open(Open),
    /// It is waited for.
    Absent(Watch),
    Missing,
}

#[derive(Debug)]
struct Open {
    reader: Arc<LogReader>,
    watch: Watch,
    reading: Option<oneshot::Receiver<Result<Entries>>>,
    /// Whether the last look has found anything.
    found: bool,
}

impl LogFollower {
    pub(crate) fn new(
        id: Uuid,
        path: PathBuf,
        from: u64,
        execution: Result<Option<Arc<Execution>>>,
        shut_down: Arc<Completion<()>>,
    ) -> Self {
        let (execution, source) = match execution {
            Ok(execution) => (execution, Source::Unopened),
            Err(error) => (None, Source::Refused(error)),
        };
        Self {
            id,
            path,
            execution,
            shut_down,
            next: from,
            source,
            waits: false,
            lines: VecDeque::new(),
        }
    }

    /// Waits for a log that is not there yet, as that of an execution which another process is going to start, instead of
    /// [`ExecutionError::NoLog`]. One that never prints anything is waited for until the follower is dropped.
    #[must_use]
    pub fn waiting(mut self) -> Self {
        self.waits = true;
        self
    }

    /// The next entry, once it is there. `None` when the execution has ended and all was read; of an execution of another
    /// process, when nobody writes the log any more.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NoLog`] when there is no log, and none to come from an execution of this process;
    /// [`ExecutionError::IsPlan`], as only the steps of a plan have logs;
    /// [`ExecutionError::Validation`] for an offset at which no entry of this log begins; [`ExecutionError::Io`] when it
    /// cannot be read, or when something else than an entry is found in it; [`ExecutionError::ShutDown`] where it would wait
    /// for another process after the engine was shut down.
    pub async fn next(&mut self) -> Result<Option<LogLine>> {
        if self.lines.is_empty() {
            self.lines = self.next_many().await?.into();
        }
        Ok(self.lines.pop_front())
    }

    /// The next entries, once there is one: those that are there already, at most 1000 and some 256 KiB. Empty when there is
    /// none to come.
    ///
    /// # Errors
    ///
    /// As for [`LogFollower::next`].
    pub async fn next_many(&mut self) -> Result<Vec<LogLine>> {
        if !self.lines.is_empty() {
            return Ok(std::mem::take(&mut self.lines).into());
        }
        self.open().await?;
        loop {
            let Source::Open(open) = &mut self.source else {
                return Ok(Vec::new());
            };
            let from = self.next;
            let reading = open.reading.get_or_insert_with(|| {
                let reader = Arc::clone(&open.reader);
                pool::FILES.begin(move || reader.read(from, MOST))
            });
            let read = reading.await;
            open.reading = None;
            let read = read.map_err(|_| panicked())??;
            self.next = read.next;
            if !read.lines.is_empty() {
                open.found = true;
                return Ok(read.lines);
            }
            if read.is_over {
                if let Some(execution) = &self.execution {
                    execution.outcome.wait().await;
                }
                self.source = Source::Over;
            } else {
                let found = std::mem::take(&mut open.found);
                tokio::select! {
                    biased;
                    _ = self.shut_down.wait(), if self.execution.is_none() => {
                        return Err(ExecutionError::ShutDown);
                    }
                    () = open.watch.changed(found) => {}
                }
            }
        }
    }

    /// Opens the log, once there is one.
    async fn open(&mut self) -> Result<()> {
        if matches!(self.source, Source::Refused(_))
            && let Source::Refused(error) = std::mem::replace(&mut self.source, Source::Over)
        {
            return Err(error);
        }
        if matches!(self.source, Source::Unopened) {
            self.begin().await;
        }
        loop {
            match &mut self.source {
                Source::Opening(opening) => {
                    let looked = opening.await;
                    self.source = Source::Unopened;
                    self.source = match looked.map_err(|_| panicked())?? {
                        Looked::Open(open) => Source::Open(open),
                        Looked::Absent(watch) => Source::Absent(watch),
                        Looked::Missing => return Err(ExecutionError::NoLog(self.id)),
                    };
                }
                Source::Absent(watch) => {
                    // The next look, short after one that was told of and found nothing, is for a log that was not locked.
                    tokio::select! {
                        biased;
                        _ = self.shut_down.wait() => return Err(ExecutionError::ShutDown),
                        () = watch.changed(false) => {}
                    }
                    if let Source::Absent(watch) = std::mem::replace(&mut self.source, Source::Over)
                    {
                        self.look(Some(watch));
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// Waits until an execution of this process has logged something, and begins to open its log.
    async fn begin(&mut self) {
        if let Some(execution) = &self.execution {
            tokio::select! {
                biased;
                _ = execution.log_opened.wait() => {}
                _ = execution.outcome.wait() => {
                    // It has printed nothing. What is there under its name is the log of an earlier execution.
                    self.source = Source::Over;
                    return;
                }
            }
        }
        self.look(None);
    }

    fn look(&mut self, watch: Option<Watch>) {
        let (path, from) = (self.path.clone(), self.next);
        // One of this process has been begun: where it is not there, it was deleted.
        let waits = self.waits && self.execution.is_none();
        self.source = Source::Opening(pool::FILES.begin(move || {
            if waits {
                Looked::awaited(&path, from, watch)
            } else {
                Ok(Open::at(&path, from)?.map_or(Looked::Missing, Looked::Open))
            }
        }));
    }
}

impl Looked {
    /// Looks for a log that may not be there yet, and is watched for before it is looked for the last time.
    fn awaited(path: &Path, from: u64, watch: Option<Watch>) -> Result<Self> {
        if watch.is_none()
            && let Some(open) = Open::begun(path, from)?
        {
            return Ok(Self::Open(open));
        }
        let watch = watch.unwrap_or_else(|| Watch::for_creation(path));
        Ok(Open::begun(path, from)?.map_or(Self::Absent(watch), Self::Open))
    }
}

impl Open {
    /// `None` where there is no log.
    fn at(path: &Path, from: u64) -> Result<Option<Self>> {
        let reader = LogReader::open(path, from)?;
        Ok(reader.map(|reader| Self {
            reader: Arc::new(reader),
            watch: Watch::new(path),
            reading: None,
            found: false,
        }))
    }

    /// `None` also where somebody is just about to begin one: it is there before it is locked.
    fn begun(path: &Path, from: u64) -> Result<Option<Self>> {
        let open = Self::at(path, from)?;
        match open {
            Some(open) if open.reader.is_begun()? => Ok(Some(open)),
            _ => Ok(None),
        }
    }
}

fn panicked() -> ExecutionError {
    ExecutionError::Internal("reading the log panicked".into())
}
