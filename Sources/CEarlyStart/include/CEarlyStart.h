#ifndef CEARLYSTART_H
#define CEARLYSTART_H

/// The version of the program, in one place.
#define LATENT_VERSION "0.1.0"

/// Has all threads allocate from one arena, where the C library is glibc; to be called first in main.
void LatentShareOneArena(void);

#endif
