#!/usr/bin/env bash
# Checks the application in examples/tauri: its lints and its tests, without a window.
set -u
. "$(dirname "$0")/cross.sh"
need cargo cargo cc build-essential pkg-config pkg-config \
  /usr/include/webkitgtk-4.1/webkit2/webkit2.h libwebkit2gtk-4.1-dev
export CARGO_TARGET_DIR=$work/tauri CARGO_PROFILE_DEV_DEBUG=0
cd examples/tauri/src-tauri || exit 1

count 'its style' cargo fmt --check
count 'its lints' cargo clippy --locked --quiet --all-targets -- -D warnings
timeout 900 cargo test --locked >"$work/tauri.log" 2>&1
status=$?
grep -E '^test |panicked|^error' "$work/tauri.log"
add_rust "$work/tauri.log" "$status"
finish
