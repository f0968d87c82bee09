// The floor of a start: posix_spawn and wait, so many in all, so many at once. Prints starts per second.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int count = atoi(argv[1]), at_once = atoi(argv[2]), started = 0, live = 0;
  char *words[] = {"true", NULL};
  struct timespec begun, ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  while (started < count || live > 0) {
    while (started < count && live < at_once) {
      pid_t pid;
      if (posix_spawn(&pid, "/bin/true", NULL, NULL, words, environ) != 0) return 1;
      started++;
      live++;
    }
    if (wait(NULL) > 0) live--;
  }
  clock_gettime(CLOCK_MONOTONIC, &ended);
  double seconds = (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
  printf("%f\n", count / seconds);
  return 0;
}
