// `latent --version` answered before any shared library is initialised.
//
// libtorch registers thousands of operators when it is loaded, which takes a quarter of a second
// before `main` begins. Functions in `.preinit_array` of an executable run before the initialisers
// of the libraries it is linked with, so the one question that needs none of them is answered here.

#include "CEarlyVersion.h"

#include <string.h>
#include <unistd.h>

#if defined(__linux__)
static void answer_version(int argc, char **argv, char **environment) {
    (void)environment;
    if (argc != 2 || strcmp(argv[1], "--version") != 0) {
        return;
    }
    static const char text[] = "latent " LATENT_VERSION "\n";
    ssize_t written = write(STDOUT_FILENO, text, sizeof text - 1);
    _exit(written == (ssize_t)(sizeof text - 1) ? 0 : 74);
}

__attribute__((section(".preinit_array"), used)) static void (*early_version)(
    int, char **, char **) = answer_version;
#endif
