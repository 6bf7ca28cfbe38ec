#ifndef CEARLYSTART_H
#define CEARLYSTART_H

/// The version of the program, in one place.
#define LATENT_VERSION "0.1.0"

/// Has all threads allocate from one arena that keeps what is freed, up to 512 MiB, where the C
/// library is glibc; to be called first in main.
void LatentKeepMemory(void);

#endif
