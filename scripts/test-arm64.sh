#!/usr/bin/env bash
# The Rust tests, and the portable tests in Node, for Linux on arm64, run under QEMU. The commands that the tests run are
# those of this machine. It shows how the engine behaves there, not how fast it is.
set -u
. "$(dirname "$0")/cross.sh"
need_rust
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu /usr/aarch64-linux-gnu/lib/libc.so.6 libc6-dev-arm64-cross \
  qemu-aarch64 qemu-user npm npm
target=aarch64-unknown-linux-gnu
root_of_target=/usr/aarch64-linux-gnu
# Optimised, since under QEMU the tests that keep a time would not keep it otherwise.
export CARGO_TARGET_DIR=$work/arm64 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=2
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $root_of_target"

# Left out: QEMU keeps a signal of the host for itself, so that children find it ignored. It copies the host where a child
# is to share its memory, so that a program that cannot be executed ends with exit code 127 instead of telling why. And
# what is measured there is QEMU: the acceptance of ten thousand steps, and a thousand random plans.
cargo_for "$target" test --lib --tests --no-fail-fast -- --test-threads=2 \
  --skip a_child_has_default_signals_and_no_foreign_descriptors \
  --skip a_start_that_fails_says_what_was_wrong \
  --skip ten_thousand_steps_are_accepted_at_once_and_all_end \
  --skip random_plans_keep_order_limit_and_truth 2>&1 | tee "$work/rust.log"
add_rust "$work/rust.log" "${PIPESTATUS[0]}"

cargo_for "$target" build --lib --features node || exit 1
node=$(node_of linux-arm64 bin/node) || exit 0
stage "$work/arm64-package" "$CARGO_TARGET_DIR/$target/debug/libexecution_engine.so"
cd "$work/arm64-package" || exit 1
export ENGINE_TEST_NODE="[\"qemu-aarch64\", \"-L\", \"$root_of_target\", \"$node\"]"
qemu-aarch64 -L "$root_of_target" "$node" --test-reporter=tap __test__/package/portable.mjs 2>&1 | tee "$work/node.log" |
  grep -E '^(# (tests|pass|fail) |not ok)|[eE]rror'
add_node "$work/node.log" "${PIPESTATUS[0]}"
finish
