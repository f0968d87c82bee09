//! Reading both streams of a command: captured, logged, cut into lines, delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::capture::{Capture, Excess};
use super::lines::{LineSplitter, Lines};
use super::log::{Files, FilesState};
use super::writer::{Chunk, Writer};
use crate::api::config::{ExecutionConfig, OversizedOutputStrategy};
use crate::api::event::{OutputBatch, OutputStream};
use crate::execution::handlers::Handlers;
use crate::execution::output::buffers::{self, READ_SIZE};
use crate::masking::stream::StreamMask;
use crate::process::PipeReader;
use crate::state::cancellation::Cause;
use crate::state::execution::Execution;

/// What a pipe is grown to once a command fills it: fewer turns between writer and reader. More did not pay: the
/// bytes leave the cache before they are read.
const BUSY_PIPE_SIZE: i32 = 256 * 1024;

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

/// Reads what a command prints.
pub(crate) struct Reader {
    execution: Arc<Execution>,
    streams: [Stream; 2],
    writer: Writer,
    /// Whether everything is written to a file, and whether what exceeds the limit is.
    writes: bool,
    overflows: bool,
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
    capture: Capture,
    lines: LineSplitter,
    is_busy: bool,
}

impl Reader {
    pub fn new(
        execution: Arc<Execution>,
        readers: [PipeReader; 2],
        config: &ExecutionConfig,
        files: Files,
        handlers: Handlers,
        keeps_reading: bool,
    ) -> Self {
        let [stdout, stderr] = readers;
        let stream = |name, reader| Stream {
            name,
            reader: Some(reader),
            mask: None,
            capture: Capture::new(config.max_output_size_bytes),
            lines: LineSplitter::new(config.max_line_size_bytes),
            is_busy: false,
        };
        Self {
            execution,
            streams: [
                stream(OutputStream::Stdout, stdout),
                stream(OutputStream::Stderr, stderr),
            ],
            writes: files.log.is_some() || files.raw.is_some(),
            overflows: files.overflow[0].is_some(),
            writer: Writer::new(files),
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
            let ready = tokio::select! {
                () = readable(stdout.reader.as_ref()) => Some(0),
                () = readable(stderr.reader.as_ref()) => Some(1),
                () = progress.cut.notified() => None,
            };
            progress.waits_for_bytes.store(false, Ordering::Relaxed);
            match ready {
                Some(stream) => drop(self.read(stream, progress).await),
                None => return self.finish_early(progress).await,
            }
        }
        progress.reached_end.store(true, Ordering::Relaxed);
        self.writer.finish().await;
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
        self.writer.finish().await;
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
                match &mut stream.mask {
                    Some(old) => old.change(Arc::clone(&mask)),
                    none => *none = Some(StreamMask::new(Arc::clone(&mask))),
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
        let excess = self.keep(index, &bytes[old..]);
        let exceeding = excess.from < bytes.len() - old;
        let name = self.streams[index].name;
        if self.writes || (exceeding && self.overflows) {
            let mut chunk = buffers::take();
            chunk.extend_from_slice(&bytes[old..]);
            let chunk = Chunk {
                stream: name,
                bytes: chunk,
                excess,
                at: Utc::now(),
            };
            self.writer.write(chunk).await;
        }
        self.split(index, bytes, old).await;
    }

    /// Keeps what was read for the result; returns what of it is beyond the limit.
    fn keep(&mut self, index: usize, chunk: &[u8]) -> Excess {
        let capture = &mut self.streams[index].capture;
        let excess = capture.push(chunk);
        if self.fail_over_limit && capture.is_exceeded() {
            self.execution.stop.ask(Cause::OutputLimit);
        }
        excess
    }

    /// Delivers the lines that what was read completes.
    async fn split(&mut self, index: usize, bytes: Vec<u8>, old: usize) {
        let name = self.streams[index].name;
        if self.deliver && self.handlers.wants_output(name) {
            let lines = self.streams[index].lines.push(bytes, old);
            self.deliver(name, lines).await;
        } else {
            buffers::give(bytes);
        }
    }

    /// Delivers the last line, which may lack its end, and what was held back.
    async fn end(&mut self, index: usize) {
        self.release(index).await;
        let stream = &mut self.streams[index];
        let lines = stream.lines.finish();
        self.deliver(self.streams[index].name, lines).await;
    }

    /// Deals with what may have been the beginning of a secret: it is none. Where the stream is read on for the files,
    /// it may still become one there.
    async fn release(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let Some(mask) = stream.mask.as_mut().filter(|mask| mask.holds()) else {
            return;
        };
        let mut bytes = stream.lines.take_unfinished();
        let old = bytes.len();
        mask.put_held(&mut bytes);
        if self.keeps_reading && stream.reader.is_some() {
            let hidden = mask.clone().finish(&mut bytes, old);
            stream.capture.count_hidden(hidden);
            self.keep(index, &bytes[old..]);
            self.split(index, bytes, old).await;
        } else {
            let hidden = mask.finish(&mut bytes, old);
            stream.capture.count_hidden(hidden);
            self.deal_with(index, bytes, old).await;
        }
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

    /// What was printed so far, and what became of the files: `None` where a write has not returned.
    pub fn take_printed(&mut self) -> ([Capture; 2], Option<FilesState>) {
        let captures = self.streams.each_mut().map(|stream| stream.capture.take());
        (captures, self.writer.files_state())
    }
}

async fn readable(reader: Option<&PipeReader>) {
    match reader {
        Some(reader) => reader.readable().await,
        None => std::future::pending().await,
    }
}
