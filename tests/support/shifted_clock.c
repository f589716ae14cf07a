/* A wall clock that is off by as many seconds as a file says, for a process that preloads this.

   The file is eight bytes, a signed number, mapped into the process: who writes it makes the clock
   of a running process jump. The monotonic clock, by which everything waits, is left alone, as it
   is when an administrator sets the time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_s;
static int (*true_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void open_offset(void) {
    *(void **)&true_clock = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CXR_TEST_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) abort();
    void *mapped = mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    offset_s = mapped;
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = true_clock(which, now);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *also) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (also != NULL) *also = exact.tv_sec;
    return exact.tv_sec;
}
