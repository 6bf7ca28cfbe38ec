// OpenSSL's libcrypto, for SHA-256 alone.
#include <openssl/evp.h>
