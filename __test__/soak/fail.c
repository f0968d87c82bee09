// Preloaded into a host, it makes calls fail: FAIL="pipe2:24:3" lets the next three pipe2 fail with errno 24. The host
// sets the variable while it runs; "execve:2:9:/bin/sh" fails only for that program. WITHOUT="clone3" takes away the call
// that the library has no function for, so that `clone` is used.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char armed[256];
static int left;

// The error that a call is to fail with, or 0.
static int failure(const char *call, const char *about) {
  int error = 0, count = 0;
  char name[64] = "", only[128] = "";
  pthread_mutex_lock(&lock);
  const char *now = getenv("FAIL");
  if (now == NULL) now = "";
  int fields = sscanf(now, "%63[^:]:%d:%d:%127s", name, &error, &count, only);
  if (strcmp(armed, now) != 0) {
    snprintf(armed, sizeof armed, "%s", now);
    left = count;
  }
  int hit = fields >= 3 && strcmp(name, call) == 0 && left > 0;
  if (hit && fields == 4) hit = about != NULL && strstr(about, only) != NULL;
  if (hit) left--;
  pthread_mutex_unlock(&lock);
  return hit ? error : 0;
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

int pipe2(int ends[2], int flags) {
  int error = failure("pipe2", NULL);
  if (error == 0) return REAL(pipe2)(ends, flags);
  errno = error;
  return -1;
}

int clone(int (*run)(void *), void *stack, int flags, void *argument, ...) {
  int error = failure("clone", NULL);
  if (error == 0) return REAL(clone)(run, stack, flags, argument);
  errno = error;
  return -1;
}

int execve(const char *path, char *const argv[], char *const envp[]) {
  int error = failure("execve", path);
  if (error == 0) return REAL(execve)(path, argv, envp);
  errno = error;
  return -1;
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  int error = failure("open", path);
  if (error == 0) return REAL(open64)(path, flags, mode);
  errno = error;
  return -1;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  int error = failure("pthread_create", NULL);
  return error != 0 ? error : REAL(pthread_create)(thread, attributes, start, argument);
}

long syscall(long number, ...) {
  va_list more;
  long a[6];
  va_start(more, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(more, long);
  va_end(more);
  int error = 0;
  if (number == SYS_pidfd_open) error = failure("pidfd_open", NULL);
  if (number == SYS_pidfd_send_signal) error = failure("pidfd_send_signal", NULL);
  if (error == 0) return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  errno = error;
  return -1;
}

__attribute__((constructor)) static void take_away(void) {
  const char *without = getenv("WITHOUT");
  if (without == NULL || strcmp(without, "clone3") != 0) return;
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(99);
}
