// Prints so many bytes of a log, in large blocks: faster than anything here can read them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 16 };

int main(int argc, char **argv) {
  static char block[2 * BLOCK];
  size_t size = 0;
  long left = argc > 1 ? atol(argv[1]) : 0;
  for (int i = 0; size < BLOCK; i++) {
    size += sprintf(block + size,
                    "2026-11-20T12:%02d:%02d.%03dZ INFO worker-%d GET /api/v1/items/%d 200 in %d ms, user_id=%x\n",
                    i / 60 % 60, i % 60, i * 7 % 1000, i % 32, i * 7919 % 100000, i * 31 % 500, i * 104729);
  }
  while (left > 0) {
    ssize_t written = write(STDOUT_FILENO, block, left < BLOCK ? left : BLOCK);
    if (written < 0) return 1;
    left -= written;
  }
  return 0;
}
