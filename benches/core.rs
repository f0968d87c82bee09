//! The parts of the engine on their own, so that a regression shows where it is.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use execution_engine::{Command, ExecutionConfig, ExecutionEngine, ExecutionRequest};

fn config() -> ExecutionConfig {
    ExecutionConfig {
        log_output: false,
        ..ExecutionConfig::default()
    }
}

fn start(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let engine = ExecutionEngine::new(config()).expect("a valid configuration");
    c.bench_function("start and wait for true", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let request = ExecutionRequest::new(Command::exec("true", [""; 0]));
            let id = engine.execute(request).await.expect("a slot");
            engine.wait_for_completion(id).await.expect("a result")
        });
    });
    runtime.block_on(engine.shutdown());
}

fn output(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let engine = ExecutionEngine::new(config()).expect("a valid configuration");
    let mut group = c.benchmark_group("read");
    group
        .throughput(Throughput::Bytes(64 << 20))
        .sample_size(10);
    group.bench_function("64 MiB without lines", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let request = ExecutionRequest::new(Command::exec("head", ["-c", "64M", "/dev/zero"]));
            let id = engine.execute(request).await.expect("a slot");
            engine.wait_for_completion(id).await.expect("a result")
        });
    });
    group.finish();
}

fn registry(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let engine = ExecutionEngine::new(config()).expect("a valid configuration");
    runtime.block_on(async {
        for _ in 0..1000 {
            let request = ExecutionRequest::new(Command::exec("true", [""; 0]));
            let id = engine.execute(request).await.expect("a slot");
            engine.wait_for_completion(id).await.expect("a result");
        }
    });
    c.bench_function("list 1000 executions", |bencher| {
        bencher.iter_batched(
            || (),
            |()| runtime.block_on(engine.list_executions()),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, start, output, registry);
criterion_main!(benches);
