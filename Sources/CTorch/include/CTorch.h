#ifndef CTORCH_H
#define CTORCH_H

// A C interface to the part of libtorch that `Torch` uses.
//
// Ownership: every tensor written to `out` is +1 and freed with LTTensorFree. Inputs are borrowed.
// Host buffers are copied. Status 0 is success; otherwise LTLastError() has the message, for this
// thread, until the next LT call. Shapes are int64_t, counts are size_t, data are float32 unless
// the name says otherwise. A tensor is used by one thread at a time.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct LTTensor LTTensor;
typedef int32_t LTStatus;
typedef const LTTensor *_Nonnull LTIn;
typedef LTTensor *_Nullable *_Nonnull LTOut;

/// The message of the last failed call on this thread; borrowed, valid until the next LT call.
const char *_Nonnull LTLastError(void);

// Library
const char *_Nonnull LTVersion(void);
/// Sets the number of threads an operation may use; also flushes denormals to zero on this thread
/// and on the threads it starts from now on (denormals cost up to 100x on x86).
LTStatus LTConfigureThreads(int32_t count);
int32_t LTThreadCount(void);
/// Makes operations of the calling thread serial: for threads beside others that do the same.
void LTSerializeThisThread(void);
bool LTDeviceIsAvailable(const char *_Nonnull device);
LTStatus LTUseDeterministicAlgorithms(void);
/// Makes matrix products and convolutions of this thread work in bfloat16 (libtorch's autocast);
/// gives whether they did.
bool LTSetBFloat16(bool enabled);
/// Whether the processor multiplies bfloat16, so that layers are made of our products.
bool LTHasBFloat16(void);

// Creation, host copies, properties
LTStatus LTTensorFromFloats(const float *_Nullable data, const int64_t *_Nonnull shape, size_t rank,
                            LTOut out);
/// A view of host memory that must outlive the tensor; for reading.
LTStatus LTTensorBorrowFloats(const float *_Nullable data, const int64_t *_Nonnull shape,
                              size_t rank, LTOut out);
LTStatus LTTensorFull(double value, const int64_t *_Nonnull shape, size_t rank,
                      const char *_Nonnull device, LTOut out);
LTStatus LTTensorCopyFloats(LTIn tensor, float *_Nullable data, size_t count);
LTStatus LTTensorAssign(LTTensor *_Nonnull tensor, LTIn source);
LTStatus LTTensorToDevice(LTIn tensor, const char *_Nonnull device, LTOut out);
LTStatus LTTensorItem(LTIn tensor, double *_Nonnull value);
size_t LTTensorRank(LTIn tensor);
void LTTensorShape(LTIn tensor, int64_t *_Nonnull shape);
/// Writes the device's name, such as `cuda:0`.
LTStatus LTTensorDevice(LTIn tensor, char *_Nonnull name, size_t capacity);
void LTTensorFree(LTTensor *_Nullable tensor);

// Autograd
bool LTSetGradientMode(bool enabled);
LTStatus LTTensorSetRequiresGradient(LTTensor *_Nonnull tensor, bool required);
LTStatus LTTensorBackward(LTIn tensor);
/// Writes null where the tensor has no gradient.
LTStatus LTTensorGradient(LTIn tensor, LTOut out);
LTStatus LTTensorClearGradient(LTTensor *_Nonnull tensor);
/// Adds the gradients of other leaves, where they have some, to those of `leaves`, and takes them away.
LTStatus LTMoveGradients(LTTensor *_Nonnull const *_Nonnull others,
                         LTTensor *_Nonnull const *_Nonnull leaves, size_t count);
LTStatus LTTensorDetach(LTIn tensor, LTOut out);

// Elementwise
LTStatus LTTensorAdd(LTIn a, LTIn b, LTOut out);
LTStatus LTTensorSubtract(LTIn a, LTIn b, LTOut out);
LTStatus LTTensorMultiply(LTIn a, LTIn b, LTOut out);
LTStatus LTTensorDivide(LTIn a, LTIn b, LTOut out);
LTStatus LTTensorMaximum(LTIn a, LTIn b, LTOut out);
/// a * scale + offset
LTStatus LTTensorAffine(LTIn a, double scale, double offset, LTOut out);
LTStatus LTTensorExp(LTIn a, LTOut out);
/// exp(a) - 1, exact for small a.
LTStatus LTTensorExpm1(LTIn a, LTOut out);
LTStatus LTTensorLog(LTIn a, LTOut out);
/// log(1 + a), exact for small a.
LTStatus LTTensorLog1p(LTIn a, LTOut out);
/// As float32; itself where it is.
LTStatus LTTensorWiden(LTIn a, LTOut out);
/// To the nearest integer, halves to even.
LTStatus LTTensorRound(LTIn a, LTOut out);
LTStatus LTTensorTanh(LTIn a, LTOut out);
LTStatus LTTensorSqrt(LTIn a, LTOut out);
LTStatus LTTensorSquare(LTIn a, LTOut out);
/// Magnitude, also of complex tensors.
LTStatus LTTensorAbs(LTIn a, LTOut out);
LTStatus LTTensorSigmoid(LTIn a, LTOut out);
LTStatus LTTensorSoftplus(LTIn a, LTOut out);
LTStatus LTTensorReLU(LTIn a, LTOut out);
LTStatus LTTensorSiLU(LTIn a, LTOut out);
LTStatus LTTensorClamp(LTIn a, double lower, double upper, LTOut out);

// Shape
LTStatus LTTensorReshape(LTIn a, const int64_t *_Nonnull shape, size_t rank, LTOut out);
LTStatus LTTensorTranspose(LTIn a, int64_t first, int64_t second, LTOut out);
LTStatus LTTensorNarrow(LTIn a, int64_t axis, int64_t start, int64_t length, LTOut out);
LTStatus LTTensorConcatenate(const LTTensor *_Nonnull const *_Nonnull tensors, size_t count,
                             int64_t axis, LTOut out);
LTStatus LTTensorRepeatInterleave(LTIn a, int64_t count, int64_t axis, LTOut out);
LTStatus LTTensorPad(LTIn a, const int64_t *_Nonnull padding, size_t count, double value,
                     LTOut out);

// Reduction; an empty list of axes means all of them
LTStatus LTTensorSum(LTIn a, const int64_t *_Nullable axes, size_t count, bool keep, LTOut out);
LTStatus LTTensorMean(LTIn a, const int64_t *_Nullable axes, size_t count, bool keep, LTOut out);
LTStatus LTTensorLogSumExp(LTIn a, int64_t axis, LTOut out);
LTStatus LTTensorAllFinite(LTIn a, bool *_Nonnull finite);

// Decompositions
/// Eigenvalues [n], ascending, and eigenvectors [n, n], in columns, of a symmetric matrix [n, n];
/// its lower half is read. Worked out in float64.
LTStatus LTSymmetricEigen(LTIn a, LTOut values, LTOut vectors);
/// The lower triangular L with L·Lᵀ = A, of each matrix of [..., n, n]; worked out in float64.
LTStatus LTCholesky(LTIn a, LTOut out);
/// X with A·X = B for lower triangular A, of each matrix of [..., n, n] and [..., n, m].
LTStatus LTSolveLowerTriangular(LTIn a, LTIn b, LTOut out);

// Layers; a rectified one gives the larger of its sums and 0.
LTStatus LTMatMul(LTIn a, LTIn b, LTOut out);
LTStatus LTLinear(LTIn x, LTIn weight, const LTTensor *_Nullable bias, bool rectified, LTOut out);
LTStatus LTConv1d(LTIn x, LTIn weight, const LTTensor *_Nullable bias, int64_t stride,
                  int64_t padding, LTOut out);
LTStatus LTConvTranspose1d(LTIn x, LTIn weight, const LTTensor *_Nullable bias, int64_t stride,
                           int64_t padding, LTOut out);
LTStatus LTConv2d(LTIn x, LTIn weight, const LTTensor *_Nullable bias, int64_t stride,
                  int64_t padding, bool rectified, LTOut out);
LTStatus LTConvTranspose2d(LTIn x, LTIn weight, const LTTensor *_Nullable bias, int64_t stride,
                           int64_t padding, bool rectified, LTOut out);
/// Element losses of Bernoulli logits: max(l, 0) - l * x + log(1 + exp(-|l|)).
LTStatus LTBinaryCrossEntropyWithLogits(LTIn logits, LTIn target, LTOut out);

// Signals and images
/// The largest of each square of [N, C, H, W]; what is over at the end of an axis is left out.
LTStatus LTMaxPool2d(LTIn x, int64_t size, LTOut out);
/// Antialiased bilinear resize of [N, C, H, W].
LTStatus LTResizeBilinear(LTIn x, int64_t height, int64_t width, LTOut out);
/// Bicubic resize of [N, C, H, W], without antialiasing, A = -0.75.
LTStatus LTResizeBicubic(LTIn x, int64_t height, int64_t width, LTOut out);
/// Where an affine map [N, 2, 3] takes the pixel centres of an image, [N, H, W, 2]: x and y in -1…1,
/// which are the outer edges.
LTStatus LTAffineGrid(LTIn maps, int64_t height, int64_t width, LTOut out);
/// [N, C, H, W] read at [N, H', W', 2], bilinear; outside of it the edges or 0.
LTStatus LTGridSample(LTIn x, LTIn grid, bool repeatsEdges, LTOut out);
/// The largest value within so many rows and columns of each, at the same size.
LTStatus LTDilate(LTIn x, int64_t rows, int64_t columns, LTOut out);
/// Complex STFT [F, T] of a signal [S], one-sided, reflect-padded when `center`.
LTStatus LTShortTimeFourier(LTIn signal, int64_t fftLength, int64_t hopLength, LTIn window,
                            bool center, LTOut out);
/// The inverse of LTShortTimeFourier with `center`, cut to `length` samples.
LTStatus LTInverseShortTimeFourier(LTIn spectrum, int64_t fftLength, int64_t hopLength, LTIn window,
                                   int64_t length, LTOut out);
/// A signal [(T - 1) · hop + 1] whose centred STFT has about the magnitude [F, T], from a complex start [F, T].
LTStatus LTGriffinLim(LTIn magnitude, LTIn start, LTIn window, int64_t hopLength, int64_t rounds,
                      double momentum, LTOut out);

// Optimisation
typedef LTTensor *_Nonnull const *_Nonnull LTTensorList;
/// One step of libtorch's fused AdamW; gradients are read from the parameters.
LTStatus LTAdamWStep(LTTensorList parameters, LTTensorList firstMoments, LTTensorList secondMoments,
                     LTTensorList stepCounts, size_t count, double learningRate, double beta1,
                     double beta2, double epsilon, double weightDecay);
/// Scales all gradients so that their joint L2 norm is at most `maximum`; gives the norm before.
LTStatus LTClipGradientNorm(LTTensorList parameters, size_t count, double maximum,
                            double *_Nonnull norm);
/// average = decay * average + (1 - decay) * parameter, for each pair.
LTStatus LTUpdateAverages(LTTensorList averages, LTTensorList parameters, size_t count,
                          double decay);

// Collectives among the processes of a run; every process makes the same calls in the same order
typedef struct LTGroup LTGroup;
/// The status of a call that failed because another process is gone or silent; the group is then
/// of no further use. Wrong arguments give another status and leave it as it is.
enum { LTStatusLost = 2 };
/// Meets `size - 1` other processes through a key-value store at `address:port`, which this process
/// hosts if `hostsStore`; `prefix` keeps the keys of one attempt apart from those of the last.
LTStatus LTGroupCreate(int32_t rank, int32_t size, const char *_Nonnull address, uint16_t port,
                       bool hostsStore, const char *_Nonnull prefix, double timeoutSeconds,
                       LTGroup *_Nullable *_Nonnull out);
void LTGroupFree(LTGroup *_Nullable group);
/// Replaces the elements of all tensors by their sums over the processes, in one message.
LTStatus LTGroupSum(LTGroup *_Nonnull group, LTTensorList tensors, size_t count);
/// The same for the gradients of parameters, each of which must have one.
LTStatus LTGroupSumGradients(LTGroup *_Nonnull group, LTTensorList parameters, size_t count);
/// The same for numbers in double precision.
LTStatus LTGroupSumDoubles(LTGroup *_Nonnull group, double *_Nullable values, size_t count);
/// Replaces the elements of all tensors by those of the process `root`, in one message.
LTStatus LTGroupBroadcast(LTGroup *_Nonnull group, LTTensorList tensors, size_t count,
                          int32_t root);
LTStatus LTGroupBarrier(LTGroup *_Nonnull group);

#ifdef __cplusplus
}
#endif
#endif
