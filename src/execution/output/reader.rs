//! Reading both streams of a command: stripped, captured, written to files, cut into lines, delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::ansi::{Plain, PlainText};
use super::capture::{Capture, Excess};
use super::lines::{LineSplitter, Lines};
use super::log::{Chunk, FilesState};
use super::order::ReadOrder;
use super::writer::Writer;
use crate::api::config::{ExecutionConfig, OversizedOutputStrategy};
use crate::api::event::{ExecutionEvent, OutputBatch, OutputChunk, OutputStream};
use crate::api::output::{OutputOrder, SplitOn};
use crate::execution::handlers::Handlers;
use crate::execution::output::buffers::{self, READ_SIZE};
use crate::masking::stream::StreamMask;
use crate::process::PipeReader;
use crate::state::cancellation::Cause;
use crate::state::execution::Execution;

/// What a pipe is grown to once a command fills it: fewer turns between writer and reader. More did not pay: the
/// bytes leave the cache before they are read.
const BUSY_PIPE_SIZE: i32 = 256 * 1024;

/// How long a line may stay unfinished before it is told as it is: it may be a question that waits for its answer.
const SILENCE: Duration = Duration::from_millis(200);

/// How much of each stream is still taken when reading is cut short: more than a pipe holds.
const LAST_READS: usize = 2 * 1024 * 1024;

/// What the supervisor sees of the reader, and tells it.
#[derive(Debug)]
pub(crate) struct Progress {
    begun: Instant,
    /// When bytes last came or were delivered, in microseconds since `begun`.
    last: AtomicU64,
    waits_for_bytes: AtomicBool,
    reached_end: AtomicBool,
    cut: Notify,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            waits_for_bytes: AtomicBool::new(false),
            reached_end: AtomicBool::new(false),
            cut: Notify::new(),
        }
    }

    fn touch(&self) {
        let since = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// When bytes last came or were delivered.
    pub fn last_activity(&self) -> Instant {
        self.begun + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }

    /// Whether the command, and not the consumer, is to do the next step.
    pub fn waits_for_bytes(&self) -> bool {
        self.waits_for_bytes.load(Ordering::Relaxed)
    }

    /// Whether both streams have ended, so that nobody holds them open.
    pub fn reached_end(&self) -> bool {
        self.reached_end.load(Ordering::Relaxed)
    }

    /// Ends reading: what is there is still taken.
    pub fn cut(&self) {
        self.cut.notify_one();
    }
}

/// How a request wants its output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OutputOptions {
    pub split_on: SplitOn,
    pub strip_ansi: bool,
    /// Which streams go into files of their own.
    pub own_files: [bool; 2],
}

/// Reads what a command prints.
pub(crate) struct Reader {
    execution: Arc<Execution>,
    streams: [Stream; 2],
    writer: Writer,
    order: ReadOrder,
    handlers: Handlers,
    /// How often the secrets had changed when they were last looked at.
    secret_changes: u32,
    deliver: bool,
    fail_over_limit: bool,
    /// What goes on to print is read to its end, also when the execution is over.
    keeps_reading: bool,
}

struct Stream {
    name: OutputStream,
    reader: Option<PipeReader>,
    /// Takes the secrets out of what was read, before anything else sees it. `None`: there are none.
    mask: Option<StreamMask>,
    /// It goes into a file of its own, and nowhere else.
    has_own_file: bool,
    /// Makes what result and log hold of it. `None`: they hold all of it.
    plain: Option<PlainText>,
    capture: Capture,
    lines: LineSplitter,
    /// When the unfinished line is told as it is, unless it goes on before.
    tell_unfinished_at: Option<Instant>,
    is_busy: bool,
}

impl Reader {
    pub fn new(
        execution: Arc<Execution>,
        readers: [Option<PipeReader>; 2],
        config: &ExecutionConfig,
        options: OutputOptions,
        writer: Writer,
        handlers: Handlers,
        keeps_reading: bool,
    ) -> Self {
        let [stdout, stderr] = readers;
        let stream = |name, reader| Stream {
            name,
            reader,
            has_own_file: options.own_files[name as usize],
            mask: None,
            plain: options.strip_ansi.then(PlainText::default),
            capture: Capture::new(config.max_output_size_bytes),
            lines: LineSplitter::new(config.max_line_size_bytes, options.split_on),
            tell_unfinished_at: None,
            is_busy: false,
        };
        Self {
            execution,
            streams: [
                stream(OutputStream::Stdout, stdout),
                stream(OutputStream::Stderr, stderr),
            ],
            order: ReadOrder::default(),
            writer,
            handlers,
            secret_changes: 0,
            deliver: config.stream_output,
            fail_over_limit: config.oversized_output_strategy
                == OversizedOutputStrategy::FailExecution,
            keeps_reading,
        }
    }

    /// Reads until both streams end, or the supervisor cuts it short; returns once all was delivered.
    pub async fn run(&mut self, progress: &Progress) {
        while self.streams.iter().any(|stream| stream.reader.is_some()) {
            progress.waits_for_bytes.store(true, Ordering::Relaxed);
            let [stdout, stderr] = &self.streams;
            let next = tokio::select! {
                () = readable(stdout.reader.as_ref()) => Next::Read(0),
                () = readable(stderr.reader.as_ref()) => Next::Read(1),
                () = silent(stdout.tell_unfinished_at) => Next::TellUnfinished(0),
                () = silent(stderr.tell_unfinished_at) => Next::TellUnfinished(1),
                () = progress.cut.notified() => Next::Finish,
            };
            progress.waits_for_bytes.store(false, Ordering::Relaxed);
            match next {
                Next::Read(stream) => drop(self.read(stream, progress).await),
                Next::TellUnfinished(stream) => self.tell_unfinished(stream).await,
                Next::Finish => return self.finish_early(progress).await,
            }
        }
        progress.reached_end.store(true, Ordering::Relaxed);
        self.writer.finish(false).await;
        self.handlers.flush().await;
    }

    /// Takes what is there, and delivers it.
    async fn finish_early(&mut self, progress: &Progress) {
        for stream in 0..self.streams.len() {
            let mut taken = 0;
            while taken < LAST_READS {
                match self.read(stream, progress).await {
                    0 => break,
                    n => taken += n,
                }
            }
            if self.streams[stream].reader.is_some() {
                self.end(stream).await;
            }
            if !self.keeps_reading {
                self.streams[stream].reader = None;
            }
        }
        self.writer.finish(self.is_open()).await;
        self.handlers.flush().await;
    }

    /// Reads on to the end of both streams for the files alone: the execution is over, and told.
    pub async fn read_on(mut self) {
        self.deliver = false;
        self.run(&Progress::new()).await;
    }

    /// Whether a stream has not ended.
    pub fn is_open(&self) -> bool {
        self.streams.iter().any(|stream| stream.reader.is_some())
    }

    /// Takes secrets into account that have become known since the read before.
    fn renew_masks(&mut self) {
        let secrets = &self.execution.secrets;
        let changes = secrets.changes();
        if changes == self.secret_changes {
            return;
        }
        self.secret_changes = changes;
        if let Some(mask) = secrets.mask() {
            for stream in &mut self.streams {
                StreamMask::renew(&mut stream.mask, &mask);
                if let Some(plain) = &mut stream.plain {
                    plain.renew_mask(&mask);
                }
            }
        }
    }

    /// Reads once, and deals with what was read; returns how much that was.
    async fn read(&mut self, index: usize, progress: &Progress) -> usize {
        self.renew_masks();
        let stream = &mut self.streams[index];
        let Some(reader) = &stream.reader else {
            return 0;
        };
        // Behind the unfinished line, so that the lines need not be copied together.
        let mut bytes = stream.lines.take_unfinished();
        let old = bytes.len();
        if let Some(mask) = &stream.mask {
            mask.put_held(&mut bytes);
        }
        match reader.try_read(&mut bytes, READ_SIZE) {
            Ok(Some(n)) if n > 0 => {
                if n == READ_SIZE && !stream.is_busy {
                    stream.is_busy = true;
                    reader.grow(BUSY_PIPE_SIZE);
                }
                progress.touch();
                if let Some(mask) = &mut stream.mask {
                    let hidden = mask.mask(&mut bytes, old);
                    stream.capture.count_hidden(hidden);
                }
                self.deal_with(index, bytes, old).await;
                progress.touch();
                n
            }
            Ok(None) => {
                bytes.truncate(old);
                stream.lines.put_back(bytes);
                0
            }
            // A pipe that cannot be read any more has ended.
            Ok(_) | Err(_) => {
                bytes.truncate(old);
                stream.lines.put_back(bytes);
                stream.reader = None;
                self.end(index).await;
                0
            }
        }
    }

    /// Deals with the bytes from `old` on, which were read just now.
    async fn deal_with(&mut self, index: usize, bytes: Vec<u8>, old: usize) {
        if self.streams[index].has_own_file {
            return self.write_to_own_file(index, bytes).await;
        }
        let stripped = self.strip(index, &bytes[old..]);
        let excess = self.keep(index, stripped.as_deref().unwrap_or(&bytes[old..]));
        self.write(index, &bytes[old..], stripped, excess).await;
        self.split(index, bytes, old).await;
    }

    /// Nothing of it was left over from an earlier read: there are no lines.
    async fn write_to_own_file(&mut self, index: usize, bytes: Vec<u8>) {
        let stream = &mut self.streams[index];
        stream.capture.count_elsewhere(bytes.len());
        let chunk = Chunk {
            stream: stream.name,
            excess: Excess::default(),
            unstripped: None,
            bytes,
            at: Utc::now(),
        };
        self.writer.write(chunk).await;
    }

    /// What result and log hold of what was read, where that is not all of it.
    fn strip(&mut self, index: usize, read: &[u8]) -> Option<Vec<u8>> {
        let stream = &mut self.streams[index];
        let plain = stream.plain.as_mut()?.push(read);
        Some(counted(plain, &mut stream.capture))
    }

    /// Keeps what was read for the result; returns what of it is beyond the limit.
    fn keep(&mut self, index: usize, chunk: &[u8]) -> Excess {
        let capture = &mut self.streams[index].capture;
        let kept_before = capture.kept().len();
        let excess = capture.push(chunk);
        let kept = capture.kept().len().saturating_sub(kept_before);
        self.order.note(index, kept);
        if self.fail_over_limit && capture.is_exceeded() {
            self.execution.stop.ask(Cause::OutputLimit);
        }
        excess
    }

    /// Has what was read written to the files that want it.
    async fn write(&self, index: usize, read: &[u8], stripped: Option<Vec<u8>>, excess: Excess) {
        let size = stripped.as_ref().map_or(read.len(), Vec::len);
        let exceeding = excess.from < size;
        if self.writer.writes() || (exceeding && self.writer.overflows()) {
            let unstripped = (stripped.is_some() && self.writer.writes_raw()).then(|| copy(read));
            let chunk = Chunk {
                stream: self.streams[index].name,
                bytes: stripped.unwrap_or_else(|| copy(read)),
                unstripped,
                excess,
                at: Utc::now(),
            };
            self.writer.write(chunk).await;
        } else if let Some(stripped) = stripped {
            buffers::give(stripped);
        }
    }

    /// Delivers what was read, and the lines that it completes.
    async fn split(&mut self, index: usize, bytes: Vec<u8>, old: usize) {
        self.streams[index].tell_unfinished_at = None;
        let name = self.streams[index].name;
        if old < bytes.len() && self.deliver && self.handlers.wants_bytes(name) {
            self.deliver_bytes(name, &bytes[old..]).await;
        }
        if self.deliver && self.handlers.wants_output(name) {
            let lines = self.streams[index].lines.push(bytes, old);
            self.deliver(name, lines).await;
            self.streams[index].tell_unfinished_at = self.when_to_tell_unfinished(index);
        } else {
            buffers::give(bytes);
        }
    }

    async fn deliver_bytes(&self, stream: OutputStream, read: &[u8]) {
        let chunk = OutputChunk {
            execution_id: self.execution.id(),
            stream,
            bytes: copy(read),
            timestamp: Utc::now(),
        };
        self.handlers.on_bytes(chunk).await;
    }

    /// `None` where nobody wants to know, or there is nothing to tell.
    fn when_to_tell_unfinished(&self, index: usize) -> Option<Instant> {
        let stream = &self.streams[index];
        let is_wanted =
            !stream.lines.unfinished().is_empty() && self.handlers.wants_unfinished(stream.name);
        is_wanted.then(|| Instant::now() + SILENCE)
    }

    /// Tells the line that a stream has begun, and may not go on with before somebody answers.
    async fn tell_unfinished(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        stream.tell_unfinished_at = None;
        let line = String::from_utf8_lossy(stream.lines.unfinished()).into_owned();
        let (id, origin) = (self.execution.id(), Arc::clone(self.execution.origin()));
        let event = ExecutionEvent::unfinished_line(id, origin, stream.name, line);
        self.handlers.on_unfinished(stream.name, event).await;
    }

    /// Delivers the last line, which may lack its end, and what was held back.
    async fn end(&mut self, index: usize) {
        self.release(index).await;
        let stream = &mut self.streams[index];
        stream.tell_unfinished_at = None;
        let lines = stream.lines.finish();
        self.deliver(self.streams[index].name, lines).await;
    }

    /// Deals with what may have been the beginning of a secret: it is none.
    async fn release(&mut self, index: usize) {
        if self.keeps_reading && self.streams[index].reader.is_some() {
            return self.show_held(index).await;
        }
        let stream = &mut self.streams[index];
        if let Some(mask) = stream.mask.as_mut().filter(|mask| mask.holds()) {
            let mut bytes = stream.lines.take_unfinished();
            let old = bytes.len();
            mask.put_held(&mut bytes);
            let hidden = mask.finish(&mut bytes, old);
            stream.capture.count_hidden(hidden);
            self.deal_with(index, bytes, old).await;
        }
        let stream = &mut self.streams[index];
        if let Some(rest) = stream.plain.as_mut().and_then(PlainText::finish) {
            let text = counted(rest, &mut stream.capture);
            let excess = self.keep(index, &text);
            self.write(index, &[], Some(text), excess).await;
        }
    }

    /// The same where the stream is read on for the files: there it may still become a secret.
    async fn show_held(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let plain_holds = stream.plain.as_ref().is_some_and(PlainText::holds);
        let mask = stream.mask.clone().filter(StreamMask::holds);
        if stream.has_own_file || (mask.is_none() && !plain_holds) {
            return;
        }
        let mut bytes = stream.lines.take_unfinished();
        let old = bytes.len();
        if let Some(mut mask) = mask {
            mask.put_held(&mut bytes);
            let hidden = mask.finish(&mut bytes, old);
            stream.capture.count_hidden(hidden);
        }
        match stream.plain.clone() {
            None => drop(self.keep(index, &bytes[old..])),
            Some(mut plain) => {
                let texts = [Some(plain.push(&bytes[old..])), plain.finish()];
                for text in texts.into_iter().flatten() {
                    let text = counted(text, &mut self.streams[index].capture);
                    self.keep(index, &text);
                }
            }
        }
        self.split(index, bytes, old).await;
    }

    async fn deliver(&self, stream: OutputStream, lines: Option<Lines>) {
        let Some(lines) = lines else { return };
        let batch = OutputBatch {
            execution_id: self.execution.id(),
            origin: Arc::clone(self.execution.origin()),
            stream,
            bytes: lines.bytes,
            partial: lines.partial,
            timestamp: Utc::now(),
        };
        self.handlers.on_output(batch).await;
    }

    /// The order in which both streams were read so far; to be asked before they are taken.
    pub fn take_order(&mut self) -> OutputOrder {
        let kept = self.streams.each_ref().map(|stream| stream.capture.kept());
        std::mem::take(&mut self.order).into_order(kept)
    }

    /// What was printed so far, and what became of the files: `None` where a write has not returned.
    pub fn take_printed(&mut self) -> ([Capture; 2], Option<FilesState>) {
        let captures = self.streams.each_mut().map(|stream| stream.capture.take());
        (captures, self.writer.files_state())
    }
}

/// What a reader does next.
enum Next {
    Read(usize),
    TellUnfinished(usize),
    Finish,
}

/// Counts what is missing of a text.
fn counted(plain: Plain, capture: &mut Capture) -> Vec<u8> {
    capture.count_elsewhere(plain.stripped);
    capture.count_hidden(plain.hidden);
    plain.text
}

fn copy(bytes: &[u8]) -> Vec<u8> {
    let mut copy = buffers::take();
    copy.extend_from_slice(bytes);
    copy
}

/// Resolves then, or never.
async fn silent(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn readable(reader: Option<&PipeReader>) {
    match reader {
        Some(reader) => reader.readable().await,
        None => std::future::pending().await,
    }
}
