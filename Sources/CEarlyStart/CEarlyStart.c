// What has to happen before any shared library is initialised.
//
// Functions in `.preinit_array` of an executable run before the initialisers of the libraries that
// it is linked with. Three things need that:
//
// - A program may be started with its standard streams closed (`2>&-`). The next file that it opens
//   would take their place, and warnings would be written into it. Closed ones are opened on
//   /dev/null: input and messages of which nobody hears, output so that writing to it fails.
// - `latent --version` is answered here: libtorch registers thousands of operators when it is
//   loaded, which takes a quarter of a second before `main` begins.
// - OpenMP's threads are told to spin shortly before they sleep, which libgomp reads from the environment
//   when it is loaded. By default they spin some milliseconds: where the machine has anything else to do,
//   a thread that spins keeps the one it waits for off the processor. Measured on two cores beside
//   a busy compiler, training took 45 s so, and 4 s where they sleep. But to wake one that sleeps takes
//   longer than many an operation: with nothing beside it, an epoch took 16 s where they sleep at once,
//   10.5 s with 1000 rounds of spinning, and beside two busy processes 25 and 26 s.

#include "CEarlyStart.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
enum { maximum_variables = 4096 };

static void start_with_patient_threads(char **argv, char **environment) {
    static char *extended[maximum_variables + 2];
    int count = 0;
    for (; environment[count] != NULL; ++count) {
        if (count == maximum_variables || strncmp(environment[count], "OMP_WAIT_POLICY=", 16) == 0 ||
            strncmp(environment[count], "GOMP_SPINCOUNT=", 15) == 0) {
            return;  // the user's choice stands
        }
        extended[count] = environment[count];
    }
    extended[count] = "GOMP_SPINCOUNT=1000";
    // Returns only where it fails; then the program goes on as it is.
    execve("/proc/self/exe", argv, extended);
}

static void open_standard_streams(void) {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
        if (fcntl(stream, F_GETFD) < 0 && errno == EBADF) {
            // The lowest number that is free: this one.
            (void)open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

static void start_early(int argc, char **argv, char **environment) {
    open_standard_streams();
    static const char text[] = "latent " LATENT_VERSION "\n";
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        ssize_t written = write(STDOUT_FILENO, text, sizeof text - 1);
        _exit(written == (ssize_t)(sizeof text - 1) ? 0 : 74);
    }
    start_with_patient_threads(argv, environment);
}

__attribute__((section(".preinit_array"), used)) static void (*early)(
    int, char **, char **) = start_early;
#endif

void LatentKeepMemory(void) {
#if defined(__GLIBC__)
    enum { mebibyte = 1 << 20 };
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 32 * mebibyte);  // the largest that glibc takes
    mallopt(M_TRIM_THRESHOLD, 512 * mebibyte);
#endif
}
