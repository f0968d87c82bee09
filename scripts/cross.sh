# What the scripts for other platforms share; sourced, not run.
#
# Debian's Rust brings the sources of the standard library, so that it can be built for any platform. It is called by
# its full path, beside whatever other toolchain there is. Each toolchain has a target directory of its own.

# need COMMAND-OR-FILE PACKAGE ...: installs the Debian packages of what is missing; says so and ends where it cannot.
need() {
  local missing=()
  while [ $# -gt 0 ]; do
    if ! command -v "$1" >/dev/null 2>&1 && [ ! -e "$1" ]; then missing+=("$2"); fi
    shift 2
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing ${missing[*]}"
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
  if ! { "${apt[@]}" update &&
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1; then
    tail -n 5 "$work/apt.log"
    echo "not run: the packages ${missing[*]} cannot be installed"
    exit 0
  fi
}

# need_rust: Debian's Rust, with the sources of the standard library.
need_rust() {
  need /usr/bin/cargo cargo-web /usr/bin/rustc rustc-web /usr/lib/rustlib/src/rust/library/std/Cargo.toml rust-web-src
}

# cargo_for TARGET COMMAND [OPTION ...]: runs Debian's cargo for another platform, standard library included.
cargo_for() {
  local target=$1 command=$2
  shift 2
  RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo "$command" --locked --quiet \
    -Zbuild-std=std,panic_unwind --target "$target" "$@"
}

# count NAME COMMAND ...: runs something that passes or fails as one.
passed=0 failed=0
count() {
  local name=$1
  shift
  if "$@"; then
    echo "ok: $name"
    passed=$((passed + 1))
  else
    echo "failed: $name"
    failed=$((failed + 1))
  fi
}

# add_rust LOG STATUS: adds what a run of Rust tests has counted.
add_rust() {
  local p f
  p=$(sed -nE 's/^test result: .* ([0-9]+) passed; .*/\1/p' "$1" | paste -sd+ - | sed 's/^$/0/')
  f=$(sed -nE 's/^test result: .* ([0-9]+) failed; .*/\1/p' "$1" | paste -sd+ - | sed 's/^$/0/')
  passed=$((passed + p)) failed=$((failed + f))
  # It may have failed before it could count.
  if [ "$2" -ne 0 ] && [ "$((f))" -eq 0 ]; then failed=$((failed + 1)); fi
}

# node_of PLATFORM FILE: fetches the Node of another platform from npm, once, and prints where its program is.
node_of() {
  local dir=$work/node-$1
  if [ ! -e "$dir/package/$2" ]; then
    mkdir -p "$dir"
    # Kept where it is unpacked only once it is whole.
    (cd "$dir" && npm pack "node-$1@22" --silent >/dev/null && tar xzf "node-$1"-*.tgz && rm -f "node-$1"-*.tgz) || {
      echo "not run: the npm package node-$1 cannot be had" >&2
      return 1
    }
  fi
  echo "$dir/package/$2"
}

# stage DIR ADDON: the package, with the addon of another platform, and the portable tests.
stage() {
  rm -rf "$1"
  mkdir -p "$1/__test__/package"
  cp -r index.js lib package.json "$1/"
  cp __test__/package/portable.mjs "$1/__test__/package/"
  cp "$2" "$1/execution-engine.node"
  echo "module.exports = require('./execution-engine.node')" >"$1/binding.js"
}

# add_node LOG STATUS: adds what a run of Node's test runner has counted.
add_node() {
  local p f
  p=$(sed -nE 's/^# pass ([0-9]+)$/\1/p' "$1") f=$(sed -nE 's/^# fail ([0-9]+)$/\1/p' "$1")
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
  # It may have failed before it could count.
  if [ "$2" -ne 0 ] && [ "${f:-0}" -eq 0 ]; then failed=$((failed + 1)); fi
}

# finish: the last line, and the status.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
work=${CARGO_TARGET_DIR:-$root/target}/cross
mkdir -p "$work"
