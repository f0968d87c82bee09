#!/usr/bin/env bash
# The Rust tests and the portable tests in Node, built for Windows x64 and run under Wine.
set -u
. "$(dirname "$0")/cross.sh"
need_rust
need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64 wine wine npm npm
target=x86_64-pc-windows-gnu
export CARGO_TARGET_DIR=$work/windows CARGO_PROFILE_DEV_DEBUG=0
# Of its own, so that nothing here meets the Wine of whoever runs this.
export WINEPREFIX=$work/wine WINEDEBUG=-all
trap 'wineserver -k >/dev/null 2>&1; wineserver -w >/dev/null 2>&1' EXIT
if [ ! -e "$work/wine/ready" ]; then
  wine reg add 'HKEY_CURRENT_USER\Software\Wine' /v Version /t REG_SZ /d win10 /f </dev/null >"$work/wine.log" 2>&1 &&
    touch "$work/wine/ready" || { tail -n 5 "$work/wine.log"; echo "not run: Wine does not work here"; exit 0; }
fi

# What Wine lacks of Windows 10: a source of random bytes. And a library for the linker of the addon, which finds Node
# when it is loaded.
mkdir -p "$work/dlls" "$work/stubs"
cat >"$work/dlls/prng.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
C
echo 'int nothing;' >"$work/stubs/nothing.c"
x86_64-w64-mingw32-gcc -shared -o "$work/dlls/bcryptprimitives.dll" "$work/dlls/prng.c" -ladvapi32 || exit 1
x86_64-w64-mingw32-gcc -shared -o "$work/stubs/libnode.dll" "$work/stubs/nothing.c" || exit 1
export LIBNODE_PATH=$work/stubs

# in_wine SECONDS LOG PROGRAM [ARGUMENT ...]: Wine's programs print to a file, not to a pipe.
in_wine() {
  local seconds=$1 log=$2
  shift 2
  timeout "$seconds" wine "$@" </dev/null >"$log" 2>&1
  local status=$?
  tr -d '\r' <"$log" | grep -E '^(test |test result|# (tests|pass|fail) |not ok)|panicked|[eE]rror' || cat "$log"
  return "$status"
}

deps=$CARGO_TARGET_DIR/$target/debug/deps
rm -f "$deps"/execution_engine-*.exe "$deps"/windows-*.exe
cargo_for "$target" test --lib --test windows --no-run || exit 1
cp "$work/dlls/bcryptprimitives.dll" "$deps/"
for program in "$deps"/execution_engine-*.exe "$deps"/windows-*.exe; do
  in_wine 300 "$work/rust.log" "$program" --test-threads=2
  add_rust "$work/rust.log" $?
done

cargo_for "$target" build --lib --features node || exit 1
node=$(node_of win-x64 bin/node.exe) || exit 0
cp "$work/dlls/bcryptprimitives.dll" "$work/stubs/libnode.dll" "$(dirname "$node")/"
stage "$work/windows-package" "$CARGO_TARGET_DIR/$target/debug/execution_engine.dll"
cp "$work/dlls/bcryptprimitives.dll" "$work/windows-package/"
cd "$work/windows-package" || exit 1
NODE_SKIP_PLATFORM_CHECK=1 in_wine 300 "$work/node.log" "$node" --test-reporter=tap __test__/package/portable.mjs
add_node "$work/node.log" $?
finish
