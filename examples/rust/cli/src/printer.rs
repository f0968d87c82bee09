//! Passes on what commands print.

use std::io;

use execution_engine::{ExecutionEvent, Origin, StepKey, Subscription};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, Stderr, Stdout};

/// How many events are printed with one write of each stream.
const EVENTS: usize = 500;

/// Writes what one command prints as it is, and that of the steps of a plan behind their names.
pub struct Printer {
    names_steps: bool,
    stdout: Stream<Stdout>,
    stderr: Stream<Stderr>,
}

/// One stream of this program.
struct Stream<W> {
    to: W,
    /// What is to be written with the next write.
    text: String,
    /// The line that was begun last, if it goes on.
    open: Option<OpenLine>,
}

/// A line that is not whole yet.
struct OpenLine {
    prefix: String,
    /// What of it will be told again.
    shown: String,
}

impl Printer {
    pub fn new(names_steps: bool) -> Self {
        Self {
            names_steps,
            stdout: Stream::new(tokio::io::stdout()),
            stderr: Stream::new(tokio::io::stderr()),
        }
    }

    /// Everything, to its end.
    ///
    /// # Errors
    ///
    /// When nobody reads any more.
    pub async fn print(&mut self, mut events: Subscription) -> io::Result<()> {
        loop {
            let many = events.next_many(EVENTS).await;
            if many.is_empty() {
                return Ok(());
            }
            for event in &many {
                self.add(event);
            }
            self.stdout.write().await?;
            self.stderr.write().await?;
        }
    }

    fn add(&mut self, event: &ExecutionEvent) {
        match event {
            ExecutionEvent::Stdout {
                origin,
                line,
                partial,
                unfinished,
                ..
            } => {
                let prefix = prefix(self.names_steps, origin);
                self.stdout.add(&prefix, line, *partial, *unfinished);
            }
            ExecutionEvent::Stderr {
                origin,
                line,
                partial,
                unfinished,
                ..
            } => {
                let prefix = prefix(self.names_steps, origin);
                self.stderr.add(&prefix, line, *partial, *unfinished);
            }
            ExecutionEvent::Retrying { attempt, error, .. } => {
                self.say(&format!("execute: {error}; attempt {attempt} follows"));
            }
            other => {
                // The exit code tells of a command that failed by itself; a plan has more to say.
                let end = other
                    .ended()
                    .map(|end| &*end.result)
                    .filter(|result| !result.success);
                let Some(result) = end else { return };
                if self.names_steps || result.exit_code.is_none() {
                    let error = result.error.as_deref().unwrap_or(result.status.as_str());
                    self.say(&format!("execute: {}: {error}", result.command));
                }
            }
        }
    }

    /// A line of this program's own.
    fn say(&mut self, line: &str) {
        self.stderr.close();
        self.stderr.add("", line, false, false);
    }
}

fn prefix(names_steps: bool, origin: &Origin) -> String {
    match &origin.step {
        Some(StepKey::Name(name)) if names_steps => format!("{name} | "),
        Some(StepKey::Index(index)) if names_steps => format!("{index} | "),
        _ => String::new(),
    }
}

impl<W: AsyncWrite + Unpin> Stream<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            text: String::new(),
            open: None,
        }
    }

    fn add(&mut self, prefix: &str, line: &str, partial: bool, unfinished: bool) {
        let open = self.open.as_ref().filter(|open| open.prefix == prefix);
        if let Some(rest) = open.and_then(|open| line.strip_prefix(open.shown.as_str())) {
            self.text.push_str(rest);
        } else {
            // Somebody else has begun a line.
            self.close();
            self.text.extend([prefix, line]);
        }
        self.open = partial.then(|| OpenLine {
            prefix: prefix.into(),
            shown: if unfinished {
                line.into()
            } else {
                String::new()
            },
        });
        if !partial {
            self.text.push('\n');
        }
    }

    /// Ends the line that was begun.
    fn close(&mut self) {
        if self.open.take().is_some() {
            self.text.push('\n');
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        self.to.write_all(text.as_bytes()).await?;
        self.to.flush().await
    }
}
