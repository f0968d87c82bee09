#!/usr/bin/env bash
# Compiles the crate and the addon for macOS, both architectures, without linking: nothing is run.
set -u
. "$(dirname "$0")/cross.sh"
need_rust
export CARGO_TARGET_DIR=$work/macos RUSTFLAGS='-D warnings'

for target in aarch64-apple-darwin x86_64-apple-darwin; do
  count "crate for $target" cargo_for "$target" check
  count "addon for $target" cargo_for "$target" check --features node
done
finish
