#pragma once

// The kernels of Sources/CTorch/Kernels by themselves, on arrays, for tests.

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What makes the products: AVX-512, tiles in plain C++, tiles of the processor.
enum { LTKVectors = 0, LTKEmulatedTiles = 1, LTKTiles = 2 };

/// Whether this machine has them.
bool LTKHas(int32_t units);

typedef struct {
    int32_t items, inputs, outputs;
    int32_t height, width, kernel, stride, padding;
    bool isTransposed;
} LTKLayer;

int32_t LTKOutputHeight(LTKLayer layer);
int32_t LTKOutputWidth(LTKLayer layer);

/// y [H' · W'][N][C'] of x [H · W][N][C] and weights [k · k][C][C'], as layers make it; of bfloat16 where
/// `isHalf`.
void LTKForward(int32_t units, LTKLayer layer, const float *_Nonnull x, const float *_Nonnull weight,
                const float *_Nullable bias, bool isRectified, bool isHalf, float *_Nonnull y);

/// The slopes at x and at the weights, from that at y.
void LTKBackward(int32_t units, LTKLayer layer, const float *_Nonnull x,
                 const float *_Nonnull weight, const float *_Nonnull slope, float *_Nonnull toX,
                 float *_Nonnull toWeight);

/// Whether these kernels may use tiles where the variable that limits oneDNN's instructions says `limit`.
bool LTKAdmitsTiles(const char *_Nonnull limit);

/// How many products of emulated tiles this thread has made.
int64_t LTKTileProducts(void);

#ifdef __cplusplus
}
#endif
