//! The rooms of the engine one by one, so that a regression shows where it is. What a user sees of them is measured
//! by `npm run bench`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use execution_engine::bench_support::{Capture, LineSplitter, Mask, Registry};
use execution_engine::{Command, ExecutionConfig, ExecutionEngine, ExecutionRequest, Secret};
use uuid::Uuid;

/// What one read brings.
const READ: usize = 64 << 10;
const MAX_LINE: usize = 1 << 20;

/// Lines of 80 characters, cut off anywhere, as a read does it.
fn read_of_lines(end: &str) -> Vec<u8> {
    let line = format!("{}{end}", "x".repeat(80));
    line.bytes().cycle().take(READ).collect()
}

fn lines(c: &mut Criterion) {
    let mut group = c.benchmark_group("line splitter, 64 KiB");
    group.throughput(Throughput::Bytes(READ as u64));
    let reads = [
        ("lines of 80", read_of_lines("\n"), MAX_LINE),
        (
            "lines of 80 with a carriage return",
            read_of_lines("\r\n"),
            MAX_LINE,
        ),
        ("lines of 80 in pieces of 32", read_of_lines("\n"), 32),
    ];
    for (name, read, max_line) in reads {
        let mut splitter = LineSplitter::new(max_line);
        group.bench_function(name, |b| {
            b.iter(|| LineSplitter::give_back(splitter.push(black_box(&read))));
        });
    }
    group.finish();
}

fn capture(c: &mut Criterion) {
    const LIMIT: usize = 10 << 20;
    let read = read_of_lines("\n");
    let full = || {
        let mut capture = Capture::new(LIMIT);
        while capture.push(&read) == read.len() {}
        capture
    };
    let mut group = c.benchmark_group("capture");
    group.throughput(Throughput::Bytes(LIMIT as u64));
    group.bench_function("keep 10 MiB", |b| b.iter_with_large_drop(full));
    group.bench_function("10 MiB to text", |b| {
        b.iter_batched(full, Capture::into_text, BatchSize::PerIteration);
    });
    group.throughput(Throughput::Bytes(READ as u64));
    let mut capture = full();
    group.bench_function("64 KiB beyond the limit", |b| {
        b.iter(|| capture.push(black_box(&read)));
    });
    group.finish();
}

/// Lines of a log, cut off anywhere, as a read does it.
fn read_of_log() -> Vec<u8> {
    let line = |number: usize| {
        format!(
            "2026-11-20T12:{:02}:{:02}.{:03}Z INFO worker-{number} GET /api/v1/items/{} 200 in {} ms, user_id={:x}\n",
            number / 60 % 60,
            number % 60,
            number * 7 % 1000,
            number * 7919 % 100_000,
            number * 31 % 500,
            number * 104_729,
        )
    };
    let mut log: Vec<u8> = (0..1000)
        .flat_map(|number| line(number).into_bytes())
        .collect();
    log.truncate(READ);
    log
}

/// Secrets with characters that are quoted and escaped, so that each has many forms.
fn secrets(count: usize, length: usize) -> Vec<Secret> {
    let secret = |number: usize| {
        let letters = (0..length).map(|index| {
            let digit = (number + 1) * 7919 * (index + 3) * (index + 11) % 71;
            char::from(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+$&'\"<=@"[digit],
            )
        });
        Secret::from(letters.collect::<String>())
    };
    (0..count).map(secret).collect()
}

fn mask(c: &mut Criterion) {
    let log = read_of_log();
    let mut group = c.benchmark_group("mask, 64 KiB of a log");
    group.throughput(Throughput::Bytes(READ as u64));
    for (count, length) in [
        (1, 40),
        (10, 40),
        (10, 20),
        (10, 12),
        (10, 6),
        (100, 40),
        (1000, 40),
    ] {
        let mut mask = Mask::of(&secrets(count, length)).expect("there are secrets");
        let mut read = log.clone();
        group.bench_function(format!("{count} secrets of {length} bytes"), |b| {
            b.iter(|| {
                read.clear();
                read.extend_from_slice(&log);
                mask.mask(black_box(&mut read));
            });
        });
    }
    group.finish();
    let mut group = c.benchmark_group("make a mask");
    group.sample_size(10);
    for count in [1, 10, 100, 1000] {
        let secrets = secrets(count, 40);
        group.bench_function(format!("{count} secrets of 40 bytes"), |b| {
            b.iter(|| Mask::of(black_box(&secrets)));
        });
    }
    group.finish();
}

/// A registry that remembers so many finished executions, and one of them.
fn registry_of(count: usize) -> (Registry, Uuid) {
    let registry = Registry::new(count);
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
    for id in &ids {
        registry.enter(*id).expect("a new id");
        registry.finish(*id);
    }
    (registry, ids[count / 2])
}

fn registry(c: &mut Criterion) {
    const COUNT: usize = 20_000;
    let (registry, known) = registry_of(COUNT);
    let mut group = c.benchmark_group("registry of 20 000");
    group.bench_function("look up", |b| b.iter(|| registry.knows(black_box(known))));
    group.bench_function("enter, finish, forget the oldest", |b| {
        b.iter(|| {
            let id = Uuid::new_v4();
            registry.enter(id).expect("a new id");
            registry.finish(id);
        });
    });
    group.sample_size(20);
    group.bench_function("list", |b| b.iter(|| registry.list()));
    group.bench_function("forget all", |b| {
        b.iter_batched(
            || registry_of(COUNT).0,
            |registry| registry.forget_finished(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Runs a command on an engine without a log, again and again.
fn run(c: &mut Criterion, name: &str, samples: usize, command: &Command, bytes: Option<u64>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = ExecutionConfig {
        log_output: false,
        ..ExecutionConfig::default()
    };
    let engine = ExecutionEngine::new(config).expect("a valid configuration");
    let mut group = c.benchmark_group("command");
    group.sample_size(samples);
    if let Some(bytes) = bytes {
        group.throughput(Throughput::Bytes(bytes));
    }
    group.bench_function(name, |b| {
        b.to_async(&runtime).iter(|| async {
            let request = ExecutionRequest::new(command.clone());
            let id = engine.execute(request).await.expect("a slot");
            engine.wait_for_completion(id).await.expect("a result")
        });
    });
    group.finish();
    runtime.block_on(engine.shutdown());
}

fn start(c: &mut Criterion) {
    let command = Command::exec("/bin/true", [""; 0]);
    run(c, "start true and wait for it", 100, &command, None);
}

fn read(c: &mut Criterion) {
    let command = Command::exec("head", ["-c", "64M", "/dev/zero"]);
    run(c, "read 64 MiB", 10, &command, Some(64 << 20));
}

criterion_group!(benches, lines, capture, mask, registry, start, read);
criterion_main!(benches);
