#ifndef CEARLYVERSION_H
#define CEARLYVERSION_H

/// The version of the program, in one place.
#define LATENT_VERSION "0.1.0"

#endif
