// Prints so many lines of 80 characters, in large blocks: faster than anything here can read them.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 81, BLOCK = 800 };

int main(int argc, char **argv) {
  static char block[LINE * BLOCK];
  long left = argc > 1 ? atol(argv[1]) : 0;
  for (int i = 0; i < BLOCK; i++) {
    memset(block + (long)LINE * i, 'a' + i % 26, LINE - 1);
    block[LINE * i + LINE - 1] = '\n';
  }
  while (left > 0) {
    long lines = left < BLOCK ? left : BLOCK;
    long size = LINE * lines;
    for (char *from = block; size > 0;) {
      ssize_t written = write(STDOUT_FILENO, from, size);
      if (written < 0) return 1;
      from += written;
      size -= written;
    }
    left -= lines;
  }
  return 0;
}
