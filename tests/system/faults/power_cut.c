/* A disk in a power cut, by LD_PRELOAD: what a program writes to an append-only file stays in memory until it
 * asks for fsync, so that a SIGKILL loses what a power cut would. The kernel would keep it: to the kernel the
 * death of a process is no power cut. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int volatile_fd = -1; /* the append-only file */
static char *unsynced;
static size_t length, room;

static ssize_t really_write(int fd, const void *data, size_t n) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "write");
  return real(fd, data, n);
}

static void flush(void) {
  for (size_t at = 0; at < length;) {
    ssize_t n = really_write(volatile_fd, unsynced + at, length - at);
    if (n < 0) abort();
    at += n;
  }
  length = 0;
}

int open64(const char *path, int flags, ...) {
  static int (*real)(const char *, int, ...);
  if (!real) real = dlsym(RTLD_NEXT, "open64");
  va_list more;
  va_start(more, flags);
  int fd = real(path, flags, va_arg(more, int));
  va_end(more);
  if (fd >= 0 && (flags & O_APPEND) && strstr(path, ".aof")) {
    pthread_mutex_lock(&lock);
    volatile_fd = fd;
    pthread_mutex_unlock(&lock);
  }
  return fd;
}

ssize_t write(int fd, const void *data, size_t n) {
  pthread_mutex_lock(&lock);
  int held = fd == volatile_fd;
  if (held) {
    if (length + n > room) {
      room = 2 * (length + n);
      unsynced = realloc(unsynced, room);
      if (!unsynced) abort();
    }
    memcpy(unsynced + length, data, n);
    length += n;
  }
  pthread_mutex_unlock(&lock);
  return held ? (ssize_t)n : really_write(fd, data, n);
}

static int synced(const char *name, int fd) {
  pthread_mutex_lock(&lock);
  if (fd == volatile_fd) flush();
  pthread_mutex_unlock(&lock);
  return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int fsync(int fd) { return synced("fsync", fd); }

int fdatasync(int fd) { return synced("fdatasync", fd); }
