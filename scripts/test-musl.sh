#!/usr/bin/env bash
# The Rust tests as static programs for Linux with musl. Debian's Rust brings neither musl nor an unwinder for it: musl
# is Debian's, and the unwinder LLVM's, since that of GCC asks for what only glibc has.
set -u
. "$(dirname "$0")/cross.sh"
need_rust
unwinder=$(ls /usr/lib/llvm-*/lib/libunwind.a 2>/dev/null | tail -n 1)
newest=$(apt-cache search --names-only '^libunwind-[0-9]+-dev$' 2>/dev/null | cut -d' ' -f1 | sort -t- -k2 -n | tail -n 1)
need musl-gcc musl-tools "${unwinder:-/usr/lib/llvm/lib/libunwind.a}" "${newest:-libunwind-19-dev}"
unwinder=$(ls /usr/lib/llvm-*/lib/libunwind.a 2>/dev/null | tail -n 1)
[ -n "$unwinder" ] || { echo 'not run: there is no static libunwind of LLVM'; exit 0; }
target=x86_64-unknown-linux-musl

# LLVM's was compiled against glibc, of which it needs one function to complain with.
mkdir -p "$work/unwind"
cp "$unwinder" "$work/unwind/libunwind.a"
cat >"$work/unwind/complain.c" <<'C'
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *to, int flag, const char *format, ...) {
  (void)flag;
  va_list rest;
  va_start(rest, format);
  int printed = vfprintf(to, format, rest);
  va_end(rest);
  return printed;
}
C
musl-gcc -c -o "$work/unwind/complain.o" "$work/unwind/complain.c" &&
  ar r "$work/unwind/libunwind.a" "$work/unwind/complain.o" || exit 1

export CARGO_TARGET_DIR=$work/musl CARGO_PROFILE_DEV_DEBUG=0 CC_x86_64_unknown_linux_musl=musl-gcc
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C link-self-contained=no -C target-feature=+crt-static \
-L native=/usr/lib/x86_64-linux-musl -L native=$work/unwind"

cargo_for "$target" test --lib --tests --no-fail-fast -- --test-threads=2 2>&1 | tee "$work/rust.log"
add_rust "$work/rust.log" "${PIPESTATUS[0]}"
finish
