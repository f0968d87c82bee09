#!/usr/bin/env bash
# The Rust tests, and the addon in Node, for Linux on arm64, run under QEMU. QEMU runs the programs of the tests too,
# which are those of this machine. It shows how the engine behaves there, not how fast it is.
set -u
. "$(dirname "$0")/cross.sh"
need_rust
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/lib/libc.so.6 libc6-dev-arm64-cross \
  qemu-aarch64 qemu-user npm npm
export CARGO_TARGET_DIR=$work/arm64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu'
target=aarch64-unknown-linux-gnu

cargo_for "$target" test --lib --tests --no-fail-fast -- --test-threads=2 2>&1 | tee "$work/arm64.log"
add_rust "$work/arm64.log" "${PIPESTATUS[0]}"

cargo_for "$target" build --lib --features node || exit 1
. scripts/node-of.sh
node=$(node_of linux-arm64 bin/node) || exit 1
cp "$CARGO_TARGET_DIR/$target/debug/libexecution_engine.so" "$work/execution-engine.arm64.node"
export ENGINE_BINDING=$work/execution-engine.arm64.node
QEMU_LD_PREFIX=/usr/aarch64-linux-gnu qemu-aarch64 "$node" --test --test-isolation=none __test__/portable.mjs
