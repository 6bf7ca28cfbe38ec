"""Writes the numbers that tests compare against, computed by PyTorch and numpy in Python.

    .libtorch-python Tools/reference.py                 # all files below Fixtures/expected
    .libtorch-python Tools/reference.py operations      # one of them

Needs torch 2.13, numpy and safetensors. Inputs are drawn from fixed seeds and rounded to a few
decimals, so that a run writes the same inputs anywhere; results may differ in a last digit between
processors. Float32 values are printed with the fewest digits that read back exactly. A tensor is
`{"shape": [...], "values": [...]}`, in row-major order.

operations.json   {"cases": [{name, inputs, upstream, output, gradients}]}
    One forward and backward pass of each operation. Everything is computed in float64 from the
    float32 inputs and rounded at the end, so that the expected values are those of the operation
    and not of one float32 kernel. `gradients` are those of sum(output * upstream), one for each
    input, null where an input is data and not differentiated. The numbers that are not tensors
    (strides, axes) stand in both this file and the test. Used by OperationTests: all cases, to a
    float32 rounding error.

training.json     {initial, inputs, noise, steps: [{loss, gradient_norm}], final}
    Ten steps of a small convolutional VAE with PyTorch's fused AdamW, in float32, from given
    weights, images and noise. Used by TrainingTests, which builds it from Torch's own layers.

generator.json    {philox: [{counter, key, output}], streams: [{seed, words, bits, normals}]}
    Known answers of Philox4x32-10 as published with Random123 (kat_vectors), checked here against
    an independent implementation before they are written; and the first numbers of the streams
    that `Generator` defines on top of it. Used by GeneratorTests: bits exactly, normals to a
    float32 rounding error. A change of these numbers breaks every checkpoint and every seed.

weights.safetensors, weights.json
    A file written by Python's safetensors, and the same contents as JSON. Used by
    SafetensorsTests. One metadata entry only: the writer orders several of them at random.

likelihood.json   {x, logits, mean, log_variance, shared, expected: {…}, posterior: {…}}
    log p(x) of three windows under each likelihood and KL(q ‖ N(0, I)) of four posteriors, from
    torch.distributions in float64. Used by LikelihoodTests.

vae.json    {"cases": [{name, shape, weights, x, noise, …}]}
    A forward pass of small VAEs with given weights, in float64, written again from the paths of the
    weights. Used by VAETests.

gated.json    {weights, x, noise, mean, decoded}
    A pass of a small gated network, as in vae.json. Used by GatedNetworkTests.

continuous_bernoulli.json    {logits, x, log, mean}
    log p(x) for each logit and x, and E[x], by Gauss-Legendre quadrature of the definition in
    float64; where torch.distributions is exact it must agree. Used by ContinuousBernoulliTests.

laplace.json    {x, mean, log_scale, log}
    log p(x) of three windows from torch.distributions in float64. Used by LaplaceTests.

student_t.json    {x, output, mean, log}
    log p(x) of three windows from torch.distributions in float64. Used by StudentTTests.

logistic_mixture.json    {"cases": [{name, output, x, log}], "means": [{output, mean}]}
    log p of grey and coloured windows from the logistic CDF, in float64; and E[x] of single pixels
    as a sum over all 256 steps of each channel. Used by LogisticMixtureTests.

ladder.json    {"cases": [{name, shape, weights, x, noise, posteriors, decoded, prior}]}
    A pass of hierarchical models with given weights, in float64, written again from the paths of
    the weights; and latents drawn from the prior. Used by LadderTests.

requested.json    {x, noise, draws, steps, log_scale, regret, ratios}
    Importance-weighted bounds of the first model of ladder.json less those without its lowest layers,
    and its regret by torch.optim.Adam, in float64. Used by RequestedScoreTests.

conditional.json    {…}
    A pass of a small conditional VAE, as in vae.json. Used by ConditioningTests.

objectives.json    {total_correlation, discrepancy, importance, mixture}
    Parts of losses by loops or logaddexp over float64. Used by the tests of the objectives.

disentangled.json    {mean, log_variance, value}
    Squared distance of the covariance of z to the unit matrix, by numpy.cov in float64. Used by
    DisentangledInferredPriorTests.

augmentation.json    {"cases": [{shape, seed, step, position, shift, rotation, gain, x, moved}]}
    Images shifted and rotated by grid_sample with the numbers that the stream of a step and a place
    gives. Used by InputAugmentationTests.

views.json    {"cases": [{name, x, cells, finished}]}
    What the views for detection make of small maps, and of their cells taken as one window, in
    float64 by convolutions of PyTorch with repeated edges. Used by ViewTransformTests.

scores.json    {x, posterior_mean, reconstructed, new: {…}, neighbours, residual, latent,
               displaced}
    Scores of new windows, fitted to others, by numpy in float64. Used by FittedScoreTests.

mixture.json    {tensors, x, errors, best}
    The smallest errors of two small networks on principal components, in float64. Used by
    MixtureErrorTests.

masked.json    {tensors, x, errors}
    The errors of a network that fills in nine blocks of each window, in float64. Used by
    MaskedErrorTests.

density.json    {weights, means, factors, mean, log_variance, bound, expected, fitted_mean,
                fitted_covariance, noise, draws}
    A mixture of Gaussians: its expected log-density under posteriors, the one Gaussian that is fitted
    to them, and draws, in float64 by PyTorch's distributions. Used by GaussianMixtureTests.

thresholds.json    {"beta", "drift", "discoveries", "tails"}
    Quantiles of Beta distributions, two-sample Kolmogorov-Smirnov statistics with the limiting
    p-value and stability indices, Benjamini and Hochberg's rejections, and generalised Pareto tails
    by probability-weighted moments, from scipy and numpy in float64. Used by CalibrationTests,
    DriftTests, FalseDiscoveryTests and TailModelTests.

mel.json    {"banks": [{rate, fft, mels, weights}], "spectra": [{…, hop, signal, log}]}
    Slaney's mel bank as librosa builds it, checked here against the mel frequencies that librosa's
    documentation prints; and ln of the mel power of a chirp in noise, by numpy's FFT with reflected
    ends and a periodic Hann window, in float64. Used by LogMelViewTests.
"""

import json
import math
import pathlib
import sys

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "expected"


def number(value):
    """The shortest decimal that reads back as the same float32."""
    value = np.float32(value)
    assert np.isfinite(value)
    short = float(str(value))
    plain_integer = short.is_integer() and abs(short) < 1e6 and str(short) != "-0.0"
    return int(short) if plain_integer else short


def plain(tensor):
    """A tensor as JSON."""
    array = np.asarray(tensor.detach() if torch.is_tensor(tensor) else tensor)
    return {"shape": list(array.shape), "values": [number(v) for v in array.reshape(-1)]}


def write(name, content):
    """Writes compact JSON."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n"
    (FOLDER / name).write_text(text)


class Source:
    """Small random tensors from a generator whose numbers numpy has frozen."""

    def __init__(self, seed):
        self.random = np.random.RandomState(seed)

    def normal(self, *shape, scale=1.0, decimals=2):
        values = np.round(self.random.standard_normal(shape) * scale, decimals)
        return torch.tensor(values.astype(np.float32))

    def uniform(self, *shape, low=0.0, high=1.0, decimals=2):
        values = np.round(self.random.uniform(low, high, shape), decimals)
        return torch.tensor(values.astype(np.float32))


# Operations


def operation_cases():
    """Yields (name, function, inputs, number of differentiated inputs)."""
    source = Source(1)
    n, u = source.normal, source.uniform

    yield "linear", F.linear, [n(3, 5), n(4, 5), n(4)]
    yield "linear without bias", F.linear, [n(3, 5), n(4, 5)]
    yield "matmul", torch.matmul, [n(3, 4), n(4, 5)]
    yield "matmul of batches", torch.matmul, [n(2, 3, 4), n(4, 2)]

    def halving(x, weight, bias=None):
        return F.conv2d(x, weight, bias, stride=2, padding=1)

    def doubling(x, weight, bias=None):
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)

    yield "conv2d", halving, [n(2, 3, 10, 6), n(5, 3, 4, 4), n(5)]
    yield "conv2d of odd size", halving, [n(1, 2, 7, 9), n(3, 2, 4, 4), n(3)]
    yield "conv2d without bias", halving, [n(1, 2, 4, 6), n(3, 2, 4, 4)]
    yield "convTranspose2d", doubling, [n(2, 3, 5, 3), n(3, 2, 4, 4), n(2)]
    yield "convTranspose2d without bias", doubling, [n(1, 2, 1, 4), n(2, 3, 4, 4)]
    yield "conv1d", lambda x, w: F.conv1d(x, w, stride=3), [n(2, 1, 17), n(4, 1, 5)]

    # The ends of the range, where a naive formula overflows or loses all digits.
    wide = torch.cat([n(3, 5, scale=2), torch.tensor([[-80.0, 30.0], [-9, 80], [0, -30]])], dim=1)
    yield "relu", F.relu, [wide]
    yield "silu", F.silu, [wide]
    yield "sigmoid", torch.sigmoid, [wide]
    # The threshold only chooses a formula for large x; without it the value is the exact one.
    yield "softplus", lambda x: torch.logaddexp(x, torch.zeros_like(x)), [wide]
    yield "magnitude", torch.abs, [n(3, 7)]
    yield "exp", torch.exp, [torch.cat([n(3, 5), torch.tensor([[-80.0], [80], [0]])], dim=1)]
    yield "log", torch.log, [u(3, 7, low=0.01, high=4)]
    yield "squareRoot", torch.sqrt, [u(3, 7, low=0.01, high=4)]
    yield "squared", torch.square, [n(3, 7)]
    yield "clamped", lambda x: x.clamp(-0.75, 1.25), [n(3, 7)]
    yield "clamped at its ends", lambda x: x.clamp(-0.75, 1.25), [torch.tensor([-0.75, 0, 1.25])]

    yield "add", torch.add, [n(2, 1, 3), n(4, 1)]
    yield "subtract", torch.sub, [n(2, 1, 3), n(4, 1)]
    yield "multiply", torch.mul, [n(2, 1, 3), n(4, 1)]
    yield "divide", torch.div, [n(2, 1, 3), u(4, 1, low=0.5, high=2)]
    yield "maximum", torch.maximum, [n(2, 1, 3), n(4, 1)]
    yield "maximum of equals", torch.maximum, [torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 3, 2])]
    yield "add a number", lambda x: x + 1.5, [n(2, 3)]
    yield "subtract a number", lambda x: x - 1.5, [n(2, 3)]
    yield "multiply by a number", lambda x: x * -2.5, [n(2, 3)]
    yield "negate", torch.neg, [n(2, 3)]

    yield "reshaped", lambda x: x.reshape(3, -1), [n(2, 3, 2)]
    yield "transposed", lambda x: x.transpose(0, 2), [n(2, 3, 4)]
    yield "narrowed", lambda x: x.narrow(1, 2, 3), [n(2, 7)]
    yield "concatenated", lambda a, b, c: torch.cat([a, b, c], 1), [n(2, 3), n(2, 1), n(2, 2)]
    yield "repeatedInterleaved", lambda x: x.repeat_interleave(3, 0), [n(2, 3)]
    yield "repeatedInterleaved on axis 1", lambda x: x.repeat_interleave(2, 1), [n(2, 3)]
    yield "padded", lambda x: F.pad(x, (2, 1, 0, 3), value=-0.5), [n(2, 3, 4)]

    yield "sum", torch.sum, [n(3, 4, 5)]
    yield "sum keeping axes", lambda x: x.sum((0, 1, 2), keepdim=True), [n(3, 4, 5)]
    yield "sum over axes", lambda x: x.sum((0, 2)), [n(3, 4, 5)]
    yield "sum over axes, kept", lambda x: x.sum((0, -1), keepdim=True), [n(3, 4, 5)]
    yield "sumPerItem", lambda x: x.sum((1, 2)), [n(3, 4, 5)]
    yield "mean", torch.mean, [n(3, 4, 5)]
    yield "mean keeping axes", lambda x: x.mean((0, 1, 2), keepdim=True), [n(3, 4, 5)]
    yield "mean over axes", lambda x: x.mean((1,)), [n(3, 4, 5)]
    yield "mean over axes, kept", lambda x: x.mean((0, -1), keepdim=True), [n(3, 4, 5)]
    yield "logSumExp", lambda x: torch.logsumexp(x, 1), [n(3, 5)]
    large = n(3, 5) + torch.tensor([[100.0], [101], [-300]])
    yield "logSumExp of large numbers", lambda x: torch.logsumexp(x, 0), [large]

    def cross_entropy(logits, target):
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    logits = torch.tensor([-80.0, 80, 0, -80, 80, 0, -80, 80, -3.25, 2.5])
    target = torch.tensor([0.0, 0, 0, 1, 1, 1, 0.25, 0.25, 0.5, 0.75])
    yield "binaryCrossEntropy", cross_entropy, [logits, target], 1

    def resize(height, width):
        return lambda x: F.interpolate(
            x, (height, width), mode="bilinear", align_corners=False, antialias=True)

    yield "resizedBilinear down", resize(9, 13), [u(1, 1, 28, 28)]
    yield "resizedBilinear up", resize(16, 16), [u(2, 1, 7, 7)]

    def fourier(signal):
        window = torch.hann_window(64, dtype=signal.dtype)
        return torch.stft(signal, 64, 16, 64, window, center=True, pad_mode="reflect",
                          onesided=True, return_complex=True), window

    def masked(signal, mask):
        spectrum, window = fourier(signal)
        return torch.istft(spectrum * mask, 64, 16, 64, window, center=True, length=205)

    yield "magnitude of shortTimeFourier", lambda x: fourier(x)[0].abs(), [n(205)]
    yield "inverseShortTimeFourier of a masked spectrum", masked, [n(205), u(33, 1)]

    small = torch.tensor([[1e-6, -1e-6, 0.0], [1e-3, -1e-3, 0], [3e-5, -3e-5, 0]])
    yield "expMinusOne", torch.expm1, [torch.cat([small, n(3, 4), -u(3, 2, high=60)], dim=1)]
    yield "logOnePlus", torch.log1p, [torch.cat([small, u(3, 4, low=-0.98, high=9)], dim=1)]
    yield "tanh", torch.tanh, [torch.cat([small, wide], dim=1)]
    halves = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 254.5, 0.49, -0.51])
    yield "rounded", torch.round, [halves]
    yield "conv1d with bias and padding", lambda x, w, b: F.conv1d(x, w, b, 2, 1), [
        n(2, 3, 10), n(4, 3, 4), n(4)]
    yield "convTranspose1d", lambda x, w, b: F.conv_transpose1d(x, w, b, 2, 1), [
        n(2, 3, 5), n(3, 2, 4), n(2)]
    yield "conv2d of 3×3", lambda x, w, b: F.conv2d(x, w, b, 1, 1), [
        n(2, 3, 4, 5), n(4, 3, 3, 3), n(4)]


def operations():
    """operations.json"""
    source = Source(2)
    cases = []
    for name, function, inputs, *rest in operation_cases():
        differentiated = rest[0] if rest else len(inputs)
        wide = [x.double().requires_grad_(i < differentiated) for i, x in enumerate(inputs)]
        output = function(*wide)
        upstream = source.normal(*output.shape)
        (output * upstream.double()).sum().backward()
        cases.append({
            "name": name, "inputs": [plain(x) for x in inputs], "upstream": plain(upstream),
            "output": plain(output),
            "gradients": [None if x.grad is None else plain(x.grad) for x in wide],
        })
    write("operations.json", {"cases": cases})


# Training


def training():
    """training.json"""
    source = Source(3)
    layers = {
        "encoder.0": ((4, 1, 4, 4), 4, 16), "encoder.1": ((8, 4, 4, 4), 8, 64),
        "mean": ((3, 128), 3, 128), "log_variance": ((3, 128), 3, 128),
        "expand": ((128, 3), 128, 3),
        "decoder.0": ((8, 4, 4, 4), 4, 64), "decoder.1": ((4, 1, 4, 4), 1, 16),
    }
    p = {}
    for name, (shape, outputs, fan_in) in layers.items():
        bound = 1 / math.sqrt(fan_in)
        p[f"{name}.weight"] = source.uniform(*shape, low=-bound, high=bound, decimals=4)
        p[f"{name}.bias"] = source.uniform(outputs, low=-bound, high=bound, decimals=4)
    initial = {name: plain(value) for name, value in p.items()}
    images = source.uniform(6, 1, 16, 16)
    noise = source.normal(10, 6, 3, decimals=3)

    for value in p.values():
        value.requires_grad_()

    def layer(function, name, x, **options):
        return function(x, p[f"{name}.weight"], p[f"{name}.bias"], **options)

    optimizer = torch.optim.AdamW(p.values(), lr=1e-3, weight_decay=0.01, fused=True)
    steps = []
    for draw in noise:
        h = F.relu(layer(F.conv2d, "encoder.0", images, stride=2, padding=1))
        h = F.relu(layer(F.conv2d, "encoder.1", h, stride=2, padding=1)).reshape(6, 128)
        mean, log_variance = layer(F.linear, "mean", h), layer(F.linear, "log_variance", h)
        z = mean + (0.5 * log_variance).exp() * draw
        h = F.relu(layer(F.linear, "expand", z)).reshape(6, 8, 4, 4)
        h = F.relu(layer(F.conv_transpose2d, "decoder.0", h, stride=2, padding=1))
        logits = layer(F.conv_transpose2d, "decoder.1", h, stride=2, padding=1)
        distortion = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum()
        loss = (distortion + rate) / 6
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        optimizer.step()
        steps.append({"loss": number(loss.item()), "gradient_norm": number(norm.item())})

    write("training.json", {
        "initial": initial, "inputs": plain(images), "noise": plain(noise), "steps": steps,
        "final": {name: plain(value) for name, value in p.items()},
    })


# Generator

PHILOX = [  # counter, key, output
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
MASK = 2**64 - 1


def philox(counter, key):
    """Philox4x32-10, written from the paper."""
    (x0, x1, x2, x3), (k0, k1) = counter, key
    for _ in range(10):
        left, right = divmod(x0 * 0xD2511F53, 2**32), divmod(x2 * 0xCD9E8D57, 2**32)
        x0, x1, x2, x3 = right[0] ^ x1 ^ k0, right[1], left[0] ^ x3 ^ k1, left[1]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return x0, x1, x2, x3


def mix(z):
    """The finalizer of SplitMix64."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def stream(seed, words, blocks):
    """The first blocks of the stream that `Generator` defines for a seed and words."""
    key = mix(seed + 0x9E3779B97F4A7C15 & MASK)
    for word in words:
        key = mix(key ^ word) + 0x9E3779B97F4A7C15 & MASK
    top = mix(key ^ 0xD1B54A32D192ED03)
    split = [key % 2**32, key >> 32]
    return [philox([i, 0, top % 2**32, top >> 32], split) for i in range(blocks)]


def generator():
    """generator.json"""
    known = []
    for entry in PHILOX:
        counter, key, output = [[int(word, 16) for word in text.split()] for text in entry]
        assert list(philox(counter, key)) == output, "the implementation here is wrong"
        known.append({"counter": counter, "key": key, "output": output})
    streams = []
    for seed, words in [(0, []), (1, []), (0, [0]), (20260101, [3, 1]), (MASK, [MASK, 0, 7])]:
        bits, normals = [], []
        for a, b, c, d in stream(seed, words, 4):
            bits += [b << 32 | a, d << 32 | c]
            for u, v in [(a, b), (c, d)]:
                radius, angle = math.sqrt(-2 * math.log((u + 0.5) / 2**32)), math.tau * v / 2**32
                normals += [radius * math.cos(angle), radius * math.sin(angle)]
        # Words and bits as text: JSON readers may pass numbers through float64.
        streams.append({
            "seed": str(seed), "words": [str(word) for word in words],
            "bits": [f"{value:016x}" for value in bits], "normals": [number(v) for v in normals],
        })
    write("generator.json", {"philox": known, "streams": streams})


# Weights


def weights():
    """weights.safetensors and weights.json"""
    source = Source(4)
    tensors = {
        "encoder.0.weight": source.normal(2, 3, 1, 2, decimals=4).numpy(),
        "encoder.0.bias": source.normal(2, decimals=4).numpy(),
        "scalar": np.array(-0.1, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "extremes": np.array([0, -0.0, 1e-45, 1.1754944e-38, 3.4028235e38], np.float32),
        'naïve "名"': np.array([1.5], np.float32),
    }
    metadata = {"schema": '{"latent": 1, "name": "é\\n"}'}
    (FOLDER / "weights.safetensors").write_bytes(safetensors.numpy.save(tensors, metadata))
    write("weights.json", {
        "metadata": metadata, "tensors": {name: plain(value) for name, value in tensors.items()},
    })


# Likelihoods


def likelihood():
    """likelihood.json"""
    source = Source(5)
    shape = (3, 3, 2, 5)
    x = source.uniform(*shape)
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    logits = source.normal(*shape, scale=3)
    logits[0, 0, 0, :2] = torch.tensor([-40.0, 40.0])
    mean, log_variance = source.uniform(*shape), source.normal(*shape, scale=2)
    wide = [t.double() for t in (x, logits, mean, log_variance)]
    shared = -3.25

    def gaussian(log_variance):
        deviation = torch.exp(torch.as_tensor(log_variance, dtype=torch.float64) / 2)
        return torch.distributions.Normal(wide[2], deviation).log_prob(wide[0]).sum((1, 2, 3))

    # -log(1 + exp(±logit)) are the logarithms of the two probabilities.
    positive, negative = (-torch.log1p(torch.exp(sign * wide[1])) for sign in (-1, 1))
    bernoulli = (wide[0] * positive + (1 - wide[0]) * negative).sum((1, 2, 3))

    posterior_mean, posterior_log_variance = source.normal(4, 5, scale=2), source.normal(4, 5)
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(
            posterior_mean.double(), torch.exp(posterior_log_variance.double() / 2)),
        torch.distributions.Normal(0.0, 1.0)).sum(1)
    write("likelihood.json", {
        "x": plain(x), "logits": plain(logits), "mean": plain(mean),
        "log_variance": plain(log_variance), "shared": shared,
        "expected": {
            "bernoulli": plain(bernoulli), "gaussian": plain(gaussian(shared)),
            "gaussian_per_element": plain(gaussian(wide[3])),
        },
        "posterior": {
            "mean": plain(posterior_mean), "log_variance": plain(posterior_log_variance),
            "kl": plain(divergence),
        },
    })


# VAE


def vae_weights(source, case):
    """Initial weights by path, rounded."""
    channels, height, width = case["shape"]
    architecture, widths, latent = case["architecture"], case["widths"], case["latent"]
    elements = channels * height * width
    shapes = {}
    area = (height >> len(widths)) * (width >> len(widths))

    def layer(name, *shape, outputs):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, (outputs,)

    if architecture == "conv":
        inputs = channels
        for index, outputs in enumerate(widths):
            layer(f"encoder.{index}", outputs, inputs, 4, 4, outputs=outputs)
            inputs = outputs
        flat = inputs * (height >> len(widths)) * (width >> len(widths))
        layer("encoder.posterior", 2 * latent, flat, outputs=2 * latent)
        layer("decoder.0", flat, latent, outputs=flat)
        for index, inputs in enumerate(widths[::-1]):
            outputs = (widths[::-1] + [channels])[index + 1]
            layer(f"decoder.{index + 1}", inputs, outputs, 4, 4, outputs=outputs)
    elif architecture == "resnet":
        for index, (inputs, outputs) in enumerate(zip([channels] + widths, widths)):
            layer(f"encoder.{index}.down", outputs, inputs, 4, 4, outputs=outputs)
            for half in (0, 1):
                layer(f"encoder.{index}.block.{half}", outputs, outputs, 3, 3, outputs=outputs)
        layer("encoder.posterior", 2 * latent, widths[-1] * area, outputs=2 * latent)
        layer("decoder.first", widths[-1] * area, latent, outputs=widths[-1] * area)
        down = widths[::-1] + [channels]
        for index, (inputs, outputs) in enumerate(zip(down, down[1:])):
            for half in (0, 1):
                layer(f"decoder.{index}.block.{half}", inputs, inputs, 3, 3, outputs=inputs)
            layer(f"decoder.{index}.up", inputs, outputs, 4, 4, outputs=outputs)
    elif architecture == "spectral":
        bands, length = channels * height, width >> len(widths)
        for index, (inputs, outputs) in enumerate(zip([bands] + widths, widths)):
            layer(f"encoder.{index}", outputs, inputs, 4, outputs=outputs)
        layer("encoder.posterior", 2 * latent, widths[-1] * length, outputs=2 * latent)
        layer("decoder.0", widths[-1] * length, latent, outputs=widths[-1] * length)
        down = widths[::-1] + [bands]
        for index, (inputs, outputs) in enumerate(zip(down, down[1:])):
            layer(f"decoder.{index + 1}", inputs, outputs, 4, outputs=outputs)
    else:
        for index, (inputs, outputs) in enumerate(zip([elements] + widths, widths)):
            layer(f"encoder.{index}", outputs, inputs, outputs=outputs)
        layer("encoder.posterior", 2 * latent, widths[-1], outputs=2 * latent)
        sizes = [latent] + widths[::-1] + [elements]
        for index, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
            layer(f"decoder.{index}", outputs, inputs, outputs=outputs)
    if case["likelihood"] == "gaussian-per-element":
        layer("variance.0", 128, latent, outputs=128)
        layer("variance.1", elements, 128, outputs=elements)
    return {name: source.normal(*shape, scale=0.3) for name, shape in shapes.items()}


def layers_of(p):
    """Calls layers by path: a function of torch, the path, the input and options; and blocks."""
    def layer(function, name, h, **options):
        return function(h, p[f"{name}.weight"], p[f"{name}.bias"], **options)

    def block(name, h):
        inner = layer(F.conv2d, f"{name}.0", F.silu(h), padding=1)
        return h + layer(F.conv2d, f"{name}.1", F.silu(inner), padding=1)

    return layer, block


def residual_pass(case, p, x, noise):
    """As vae_pass, of the architecture `resnet`."""
    widths, (layer, block) = case["widths"], layers_of(p)
    h = 2 * x - 1
    for index in range(len(widths)):
        h = layer(F.conv2d, f"encoder.{index}.down", F.silu(h) if index else h, stride=2, padding=1)
        h = block(f"encoder.{index}.block", h)
    mean, log_variance = layer(F.linear, "encoder.posterior", F.silu(h).flatten(1)).chunk(2, 1)
    log_variance = log_variance.clip(-8, 4)
    z = mean + torch.exp(log_variance / 2) * noise
    side = [size >> len(widths) for size in case["shape"][1:]]
    h = layer(F.linear, "decoder.first", z).unflatten(1, [widths[-1], *side])
    for index in range(len(widths)):
        h = F.silu(block(f"decoder.{index}.block", h))
        h = layer(F.conv_transpose2d, f"decoder.{index}.up", h, stride=2, padding=1)
    return mean, log_variance, z, h, None


def spectral_pass(case, p, x, noise):
    """As vae_pass, of the architecture `spectral`."""
    widths, (layer, _) = case["widths"], layers_of(p)
    h = (2 * x - 1).flatten(1, 2)
    for index in range(len(widths)):
        h = F.silu(layer(F.conv1d, f"encoder.{index}", h, stride=2, padding=1))
    mean, log_variance = layer(F.linear, "encoder.posterior", h.flatten(1)).chunk(2, 1)
    log_variance = log_variance.clip(-8, 4)
    z = mean + torch.exp(log_variance / 2) * noise
    h = F.silu(layer(F.linear, "decoder.0", z)).unflatten(1, [widths[-1], -1])
    for index in range(1, len(widths) + 1):
        h = layer(F.conv_transpose1d, f"decoder.{index}", h, stride=2, padding=1)
        h = F.silu(h) if index < len(widths) else h
    return mean, log_variance, z, h.reshape(x.shape), None


def vae_pass(case, p, x, noise):
    """Encodes, draws, decodes; float64."""
    if case["architecture"] == "resnet":
        return residual_pass(case, p, x, noise)
    if case["architecture"] == "spectral":
        return spectral_pass(case, p, x, noise)
    conv, widths, latent = case["architecture"] == "conv", case["widths"], case["latent"]
    layer, _ = layers_of(p)

    h = 2 * x - 1
    if not conv:
        h = h.flatten(1)
    for index in range(len(widths)):
        if conv:
            h = torch.relu(layer(F.conv2d, f"encoder.{index}", h, stride=2, padding=1))
        else:
            h = F.silu(layer(F.linear, f"encoder.{index}", h))
    mean, log_variance = layer(F.linear, "encoder.posterior", h.flatten(1)).split(latent, 1)
    log_variance = log_variance.clip(-8, 4)
    z = mean + torch.exp(log_variance / 2) * noise

    h = z
    if conv:
        side = [size >> len(widths) for size in case["shape"][1:]]
        h = torch.relu(layer(F.linear, "decoder.0", h)).unflatten(1, [widths[-1], *side])
        for index in range(1, len(widths) + 1):
            h = layer(F.conv_transpose2d, f"decoder.{index}", h, stride=2, padding=1)
            h = torch.relu(h) if index < len(widths) else h
    else:
        for index in range(len(widths) + 1):
            h = layer(F.linear, f"decoder.{index}", h)
            h = F.silu(h) if index < len(widths) else h
    output = h.reshape(x.shape)
    ratio = None
    if "variance.0.weight" in p:
        h = layer(F.linear, "variance.1", F.silu(layer(F.linear, "variance.0", z)))
        ratio = (6 * torch.sigmoid(h) - 3).reshape(x.shape)
    return mean, log_variance, z, output, ratio


def vae():
    """vae.json"""
    source = Source(6)
    cases = []
    for name, shape, architecture, widths, latent, kind in [
        ("conv", (1, 8, 8), "conv", [4], 2, "bernoulli"),
        ("conv, two layers, RGB, not square", (3, 4, 12), "conv", [3, 5], 3, "gaussian"),
        ("mlp, odd sides", (3, 3, 5), "mlp", [7, 5], 3, "gaussian"),
        ("mlp with a variance for each element", (1, 2, 3), "mlp", [5], 2, "gaussian-per-element"),
        ("resnet, one level, RGB", (3, 2, 6), "resnet", [4], 2, "gaussian"),
        ("resnet, two levels, not square", (1, 4, 12), "resnet", [3, 4], 2, "bernoulli"),
        ("spectral, odd number of bands", (1, 5, 8), "spectral", [6, 4], 3, "gaussian"),
        ("spectral, three channels", (3, 2, 4), "spectral", [5], 2, "bernoulli"),
    ]:
        case = {"name": name, "shape": shape, "architecture": architecture, "widths": widths,
                "latent": latent, "likelihood": kind}
        weights = vae_weights(source, case)
        x, noise = source.uniform(4, *shape), source.normal(4, latent)
        p = {path: value.double() for path, value in weights.items()}
        x64 = x.double()
        mean, log_variance, z, output, ratio = vae_pass(case, p, x64, noise.double())
        # The posteriors must not all lie at an end of the range.
        assert log_variance.abs().max() < 4
        elements = x64[0].numel()
        if kind == "bernoulli":
            expectation = torch.sigmoid(output)
            log = x64 * torch.log(expectation) + (1 - x64) * torch.log1p(-expectation)
            reconstruction = log.sum((1, 2, 3))
        else:
            expectation = output
            variance = (x64 - output).square().mean()
            reconstruction = -0.5 * (
                elements * torch.log(2 * math.pi * variance)
                + (x64 - output).square().sum((1, 2, 3)) / variance)
        rate = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        case |= {
            "weights": {path: plain(value) for path, value in weights.items()},
            "x": plain(x), "noise": plain(noise), "mean": plain(mean),
            "log_variance": plain(log_variance), "z": plain(z), "decoded": plain(expectation),
            "log_ratio": None if ratio is None else plain(ratio),
            "reconstruction": plain(reconstruction), "kl": plain(rate),
            "squared_error": number((x64 - expectation).square().mean()),
        }
        cases.append(case)
    write("vae.json", {"cases": cases})


def gated():
    """gated.json"""
    source = Source(21)
    shapes = {
        "encoder.0": ((6, 3, 4, 4), 6), "encoder.1": ((10, 3, 4, 4), 10),
        "encoder.posterior": ((4, 15), 4), "decoder.0": ((30, 2), 30),
        "decoder.1": ((5, 6, 4, 4), 6), "decoder.2": ((3, 3, 4, 4), 3)}
    weights = {}
    for path, (shape, outputs) in shapes.items():
        weights[f"{path}.weight"] = source.normal(*shape, scale=0.3)
        weights[f"{path}.bias"] = source.normal(outputs, scale=0.3)
    x, noise = source.uniform(4, 3, 4, 12), source.normal(4, 2)
    layer, _ = layers_of({path: value.double() for path, value in weights.items()})
    h = 2 * x.double() - 1
    for index in (0, 1):
        h = F.glu(layer(F.conv2d, f"encoder.{index}", h, stride=2, padding=1), 1)
    mean, log_variance = layer(F.linear, "encoder.posterior", h.flatten(1)).chunk(2, 1)
    z = mean + torch.exp(log_variance.clip(-8, 4) / 2) * noise.double()
    h = F.glu(layer(F.linear, "decoder.0", z), 1).unflatten(1, [5, 1, 3])
    h = F.glu(layer(F.conv_transpose2d, "decoder.1", h, stride=2, padding=1), 1)
    decoded = layer(F.conv_transpose2d, "decoder.2", h, stride=2, padding=1)
    write("gated.json", {
        "weights": {path: plain(value) for path, value in weights.items()}, "x": plain(x),
        "noise": plain(noise), "mean": plain(mean), "decoded": plain(decoded)})


# Likelihoods of the family


def continuous_bernoulli():
    """continuous_bernoulli.json"""
    logits = np.array([
        -40, -25, -12.5, -8, -4, -2, -1, -0.5, -0.11, -0.05, -0.03, -0.01, -0.002, -0.0005, 0,
        0.0004, 0.001, 0.004, 0.02, 0.04, 0.06, 0.1, 0.25, 0.75, 1.5, 3, 5, 9, 15, 30, 40,
    ], np.float32)
    x = np.array([0, 0.004, 0.1, 0.37, 0.5, 0.82, 0.996, 1], np.float32)
    nodes, node_weights = np.polynomial.legendre.leggauss(200)
    nodes, node_weights = (nodes + 1) / 2, node_weights / 2
    wide = logits.astype(np.float64)[:, None]

    def unnormalised(at):  # x log λ + (1 - x) log(1 - λ)
        return -at * np.logaddexp(0, -wide) - (1 - at) * np.logaddexp(0, wide)

    mass = (np.exp(unnormalised(nodes[None])) * node_weights).sum(1, keepdims=True)
    log = unnormalised(x.astype(np.float64)[None]) - np.log(mass)
    mean = (np.exp(unnormalised(nodes[None])) * node_weights * nodes).sum(1) / mass[:, 0]
    # Beyond, PyTorch's probabilities round to 0 or 1.
    near = np.abs(logits) < 9
    peer = torch.distributions.ContinuousBernoulli(logits=torch.tensor(wide[near]))
    value = torch.tensor(x, dtype=torch.float64)[None].expand(int(near.sum()), -1)
    assert np.abs(peer.log_prob(value).numpy() - log[near]).max() < 1e-9
    assert np.abs(peer.mean[:, 0].numpy() - mean[near]).max() < 1e-9
    write("continuous_bernoulli.json", {
        "logits": plain(logits), "x": plain(x), "log": plain(log), "mean": plain(mean)})


def laplace():
    """laplace.json"""
    source = Source(8)
    x, mean = source.uniform(3, 3, 2, 5), source.normal(3, 3, 2, 5)
    scale = -2.25
    log = torch.distributions.Laplace(mean.double(), math.exp(scale)).log_prob(x.double())
    write("laplace.json", {
        "x": plain(x), "mean": plain(mean), "log_scale": scale, "log": plain(log.sum((1, 2, 3)))})


def student_t():
    """student_t.json"""
    source = Source(22)
    x, output = source.uniform(3, 2, 2, 5), source.normal(3, 4, 2, 5)
    mean, raw = output.double().chunk(2, 1)
    scale = F.softplus(raw) + 1 / 510
    log = torch.distributions.StudentT(4.0, mean, scale).log_prob(x.double())
    write("student_t.json", {
        "x": plain(x), "output": plain(output), "mean": plain(mean),
        "log": plain(log.sum((1, 2, 3)))})


def log_logistic_mass(step, mean, log_scale):
    """log P(step) of a logistic over 256 steps of 2/255 in -1…1, by differences of the CDF."""
    mean, scale = np.broadcast_arrays(mean, np.exp(log_scale))
    centre = step * 2 / 255 - 1 - mean
    # The CDF of the side that is nearer to 0, so that a difference keeps its digits.
    sign = np.where(centre > 0, -1.0, 1.0)
    upper = np.where(sign > 0, centre + 1 / 255, -(centre - 1 / 255)) / scale
    lower = np.where(sign > 0, centre - 1 / 255, -(centre + 1 / 255)) / scale
    lower = np.where((sign > 0) & (step == 0) | (sign < 0) & (step == 255), -np.inf, lower)
    upper = np.where((sign > 0) & (step == 255) | (sign < 0) & (step == 0), np.inf, upper)
    log_upper, log_lower = -np.logaddexp(0, -upper), -np.logaddexp(0, -lower)
    return log_upper + np.log(-np.expm1(log_lower - log_upper))


def mixture_parts(output, channels):
    """[5·(3 or 10), …] → log-weights, means, log-scales, coefficients, components first."""
    parts = np.asarray(output, np.float64).reshape(-1, 5, *output.shape[1:])
    log_weights = parts[0] - np.logaddexp.reduce(parts[0], axis=0)
    means = parts[1:1 + 2 * channels:2]
    log_scales = np.clip(parts[2:2 + 2 * channels:2] - 2, -7, 2)
    return log_weights, means, log_scales, np.tanh(parts[1 + 2 * channels:])


def logistic_mixture():
    """logistic_mixture.json"""
    source = Source(9)
    cases = []
    for name, channels, scale in [("grey", 1, 1), ("grey, wild", 1, 6), ("RGB", 3, 1),
                                  ("RGB, wild", 3, 6)]:
        output = source.normal(2, 15 if channels == 1 else 50, 2, 3, scale=scale).numpy()
        x = source.uniform(2, channels, 2, 3, decimals=3).numpy()
        x[0, :, 0, 0], x[0, :, 0, 1], x[1, 0, 1, 2] = 0, 1, 1
        log = []
        for window, target in zip(output, x):
            log_weights, means, log_scales, coefficients = mixture_parts(window, channels)
            steps = np.rint(target.astype(np.float64) * 255)
            values = steps * 2 / 255 - 1
            means = list(means)
            if channels == 3:
                a, b, c = coefficients
                means[1] = means[1] + a * values[0]
                means[2] = means[2] + b * values[0] + c * values[1]
            total = log_weights
            for step, mean, log_scale in zip(steps, means, log_scales):
                total = total + log_logistic_mass(step[None], mean, log_scale)
            log.append(np.logaddexp.reduce(total, axis=0).sum())
        cases.append({"name": name, "output": plain(output), "x": plain(x),
                      "log": plain(np.array(log))})

    means = []
    steps = np.arange(256.0)
    scaled = steps * 2 / 255 - 1
    for channels in (1, 1, 3):
        # Narrow, and far from the ends, where tails would be cut.
        logits, middles = source.normal(1, 5), source.uniform(channels, 5, low=-0.3, high=0.3)
        widths = source.uniform(channels, 5, low=-2, high=-1)
        rows = [logits] + [t[i:i + 1] for i in range(channels) for t in (middles, widths)]
        if channels == 3:
            rows.append(source.normal(3, 5, scale=0.4))
        output = torch.cat(rows).reshape(-1, 1, 1).numpy()
        log_weights, middle, log_scales, coefficients = mixture_parts(output[:, 0, 0], channels)
        expected = np.zeros(channels)
        for k, weight in enumerate(np.exp(log_weights)):
            red = np.exp(log_logistic_mass(steps, middle[0][k], log_scales[0][k]))
            assert abs(red.sum() - 1) < 1e-12
            expected[0] += weight * (red * steps).sum() / 255
            if channels == 1:
                continue
            a, b, c = coefficients[:, k]
            for value, probability in zip(scaled, red):
                if probability < 1e-12:
                    continue
                green = np.exp(log_logistic_mass(
                    steps, middle[1][k] + a * value, log_scales[1][k]))
                expected[1] += weight * probability * (green * steps).sum() / 255
                shifted = middle[2][k] + b * value + c * scaled[:, None]
                blue = np.exp(log_logistic_mass(steps[None], shifted, log_scales[2][k]))
                expected[2] += weight * probability * (green * (blue @ steps)).sum() / 255
        means.append({"output": plain(output[None]), "mean": plain(expected)})
    write("logistic_mixture.json", {"cases": cases, "means": means})


# Hierarchical models


def ladder_levels(widths, layers):
    """The level of each map: the finest ones at the end, one each, the deepest has the rest."""
    maps, levels = layers - 1, len(widths)
    own = min(maps, levels)
    return [levels - 1] * (maps - own) + list(range(levels - 1, levels - 1 - own, -1))


def ladder_weights(source, case):
    """Weights by path, rounded."""
    channels, height, width = case["shape"]
    widths, latent, maps = case["widths"], case["latent"], case["map_channels"]
    flat = widths[-1] * (height >> len(widths)) * (width >> len(widths))
    shapes = {}

    def layer(name, *shape, outputs, scale=0.3):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (shape, scale), ((outputs,), scale)

    def block(name, count):
        for half in (0, 1):
            layer(f"{name}.{half}", count, count, 3, 3, outputs=count, scale=0.2)

    for index, (inputs, outputs) in enumerate(zip([channels] + widths, widths)):
        layer(f"encoder.{index}.down", outputs, inputs, 4, 4, outputs=outputs)
        block(f"encoder.{index}.block", outputs)
    layer("encoder.posterior", 2 * latent, flat, outputs=2 * latent)
    layer("decoder.top", flat, latent, outputs=flat)
    for index, level in enumerate(ladder_levels(widths, case["layers"])):
        count, name = widths[level], f"decoder.layer{index + 1}"
        for path in [f"{name}.prior", f"{name}.posterior_above", f"encoder.layer{index + 1}"]:
            layer(path, 2 * maps, count, 3, 3, outputs=2 * maps, scale=0.15)
        layer(f"{name}.enter", count, maps, 3, 3, outputs=count)
        block(f"{name}.block", count)
    for level in range(len(widths) - 1, 0, -1):
        block(f"decoder.up{level}.block", widths[level])
        layer(f"decoder.up{level}.up", widths[level], widths[level - 1], 4, 4,
              outputs=widths[level - 1])
    block("decoder.last.block", widths[0])
    layer("decoder.last.up", widths[0], channels, 4, 4, outputs=channels)
    return {name: source.normal(*shape, scale=scale) for name, (shape, scale) in shapes.items()}


def ladder_descent(case, p, top, draw):
    """From the top latents to the output; draw(index, level, h, prior) gives the maps' z."""
    widths, (layer, block) = case["widths"], layers_of(p)
    side = [size >> len(widths) for size in case["shape"][1:]]
    levels = ladder_levels(widths, case["layers"])
    h = layer(F.linear, "decoder.top", top).unflatten(1, [widths[-1], *side])
    for level in range(len(widths) - 1, -1, -1):
        for index in (i for i, own in enumerate(levels) if own == level):
            name = f"decoder.layer{index + 1}"
            mean, log_variance = layer(F.conv2d, f"{name}.prior", F.silu(h), padding=1).chunk(2, 1)
            z = draw(index, level, h, mean, log_variance.clip(-8, 4))
            h = block(f"{name}.block", h + layer(F.conv2d, f"{name}.enter", z, padding=1))
        name = f"decoder.up{level}" if level else "decoder.last"
        h = F.silu(block(f"{name}.block", h))
        h = layer(F.conv_transpose2d, f"{name}.up", h, stride=2, padding=1)
    return h


LADDER_CASES = [
    {"name": name, "shape": shape, "widths": widths, "layers": layers, "latent": latent,
     "map_channels": map_channels}
    for name, shape, widths, layers, latent, map_channels in [
        ("three layers on two levels", (1, 8, 8), [3, 4], 3, 2, 2),
        ("three layers on one level, RGB, not square", (3, 4, 6), [4], 3, 3, 1),
        ("two layers, the finer level without latents", (1, 4, 12), [2, 3], 2, 2, 2),
    ]]


def ladder_sizes(case):
    """Latent dimensions of each layer, the top one first."""
    return [case["latent"]] + [
        case["map_channels"] * (case["shape"][1] >> level + 1) * (case["shape"][2] >> level + 1)
        for level in ladder_levels(case["widths"], case["layers"])]


def ladder_pass(case, p, x, noise, shift=None, from_prior=0):
    """q and p of each layer, z, and the output.

    `shift`: added to means and log-variances of q, [B, D] each. The last `from_prior` layers are drawn
    from p.
    """
    layer, block = layers_of(p)
    sizes = ladder_sizes(case)
    noises = noise.split(sizes, 1)
    shifts = [part.split(sizes, 1) for part in shift] if shift else None
    features, h = [], 2 * x - 1
    for index in range(len(case["widths"])):
        h = layer(F.conv2d, f"encoder.{index}.down", F.silu(h) if index else h,
                  stride=2, padding=1)
        h = block(f"encoder.{index}.block", h)
        features.append(F.silu(h))
    mean, log_variance = layer(
        F.linear, "encoder.posterior", features[-1].flatten(1)).chunk(2, 1)
    found = []

    def record(mean, log_variance, prior_mean, prior_log_variance):
        place = len(found)
        if shifts:
            mean = mean + shifts[0][place].reshape(mean.shape)
            log_variance = log_variance + shifts[1][place].reshape(mean.shape)
        assert log_variance.abs().max() < 4, "the posterior lies at an end of the range"
        z = mean + torch.exp(log_variance / 2) * noises[place].reshape(mean.shape)
        found.append({
            "mean": mean, "log_variance": log_variance, "z": z,
            "q": torch.distributions.Normal(mean, torch.exp(log_variance / 2)),
            "p": torch.distributions.Normal(prior_mean, torch.exp(prior_log_variance / 2))})
        return z

    def infer(index, level, h, prior_mean, prior_log_variance):
        if index + 1 >= case["layers"] - from_prior:
            return prior_mean + torch.exp(prior_log_variance / 2) * noises[index + 1].reshape(
                prior_mean.shape)
        change = layer(F.conv2d, f"decoder.layer{index + 1}.posterior_above", F.silu(h),
                       padding=1)
        change = change + layer(F.conv2d, f"encoder.layer{index + 1}", features[level],
                                padding=1)
        moved, scaled = change.chunk(2, 1)
        return record(
            prior_mean + moved, prior_log_variance + scaled, prior_mean, prior_log_variance)

    zeros = torch.zeros_like(mean)
    z = record(mean, log_variance, zeros, zeros)
    return found, ladder_descent(case, p, z, infer)


def ladder():
    """ladder.json"""
    source = Source(10)
    cases = []
    for case in LADDER_CASES:
        weights = ladder_weights(source, case)
        p = {path: value.double() for path, value in weights.items()}
        sizes = ladder_sizes(case)
        x, noise = source.uniform(2, *case["shape"]), source.normal(2, sum(sizes))
        found, decoded = ladder_pass(case, p, x.double(), noise.double())
        posteriors = [{
            "mean": plain(part["mean"].flatten(1)),
            "log_variance": plain(part["log_variance"].flatten(1)), "z": plain(part["z"].flatten(1)),
            "kl": plain(torch.distributions.kl_divergence(part["q"], part["p"]).flatten(1).sum(1)),
        } for part in found]

        top_noise, *map_noise = noise.double().split(sizes, 1)
        priors = {}
        for kind, factor in [("still", 0.0), ("drawn", 1.0)]:
            parts = [factor * top_noise]

            def draw(index, level, h, mean, log_variance):
                noise = factor * map_noise[index].reshape(mean.shape)
                parts.append((mean + torch.exp(log_variance / 2) * noise).flatten(1))
                return parts[-1].reshape(mean.shape)

            ladder_descent(case, p, parts[0], draw)
            priors[kind] = plain(torch.cat(parts, 1))
        cases.append(case | {
            "weights": {path: plain(value) for path, value in weights.items()}, "x": plain(x),
            "noise": plain(noise), "posteriors": posteriors, "decoded": plain(decoded),
            "prior": priors})
    write("ladder.json", {"cases": cases})


def requested():
    """requested.json: the likelihood ratio and the regret of the first model of ladder.json"""
    case = LADDER_CASES[0]
    p = {path: value.double() for path, value in ladder_weights(Source(10), case).items()}
    source = Source(32)
    draws, steps, log_scale, count = 4, 5, -1.5, sum(ladder_sizes(case))
    x, noise = source.uniform(2, *case["shape"]), source.normal(2, draws + steps, count)
    windows, numbers = x.double(), noise.double()
    deviation = torch.tensor(math.exp(log_scale / 2), dtype=torch.float64)

    def parts(noise, **change):
        """log p(x|z) of a draw of each window, and its layers."""
        found, decoded = ladder_pass(case, p, windows, noise, **change)
        logs = torch.distributions.Normal(decoded, deviation).log_prob(windows)
        return logs.sum((1, 2, 3)), found

    def weighted_bound(from_prior):
        rows = []
        for draw in range(draws):
            log, found = parts(numbers[:, draw], from_prior=from_prior)
            for part in found:
                ratio = part["p"].log_prob(part["z"]) - part["q"].log_prob(part["z"])
                log = log + ratio.flatten(1).sum(1)
            rows.append(log)
        return torch.stack(rows).logsumexp(0) - math.log(draws)

    def bound(noises, shift):
        total = 0
        for noise in noises:
            log, found = parts(noise, shift=shift)
            total = total + log - sum(
                torch.distributions.kl_divergence(part["q"], part["p"]).flatten(1).sum(1)
                for part in found)
        return total / len(noises)

    shift = [torch.zeros(2, count, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    before = bound([numbers[:, draw] for draw in range(draws)], shift)
    optimizer = torch.optim.Adam(shift, eps=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.zero_grad()
        fresh = numbers[:, draws + step]
        (-bound([fresh, -fresh], shift).sum()).backward()
        optimizer.step()
    after = bound([numbers[:, draw] for draw in range(draws)], shift)
    full = weighted_bound(0)
    write("requested.json", {
        "x": plain(x), "noise": plain(noise), "draws": draws, "steps": steps,
        "log_scale": log_scale, "regret": plain(after - before),
        "ratios": [plain(full - weighted_bound(k)) for k in range(3)]})


# Conditional models


def conditional():
    """conditional.json"""
    source = Source(11)
    elements, width, latent, labels = 6, 4, 2, 3 + 2
    shapes = {
        "encoder.0": (width, elements), "encoder.condition": (256, width + labels),
        "encoder.posterior": (2 * latent, 256), "decoder.0": (width, latent + labels),
        "decoder.1": (elements, width),
    }
    weights = {}
    for name, shape in shapes.items():
        scale = 0.05 if name == "encoder.posterior" else 0.5
        weights[f"{name}.weight"] = source.normal(*shape, scale=scale)
        weights[f"{name}.bias"] = source.normal(shape[0], scale=scale)
    x, noise = source.uniform(4, 1, 2, 3), source.normal(4, latent)
    count = 10
    weights["prior.weights"] = source.normal(labels, count, scale=0.5)
    weights["prior.components"] = source.normal(labels, count * 2 * latent, scale=0.5)
    codes = [[0, 0], [2, 1], [1, 0], [0, 1]]
    one_hot = torch.tensor(
        [[float(i == a) for i in range(3)] + [float(i == b) for i in range(2)] for a, b in codes],
        dtype=torch.float64)
    layer, _ = layers_of({path: value.double() for path, value in weights.items()})
    h = F.silu(layer(F.linear, "encoder.0", 2 * x.double().flatten(1) - 1))
    h = F.silu(layer(F.linear, "encoder.condition", torch.cat([h, one_hot], 1)))
    mean, log_variance = layer(F.linear, "encoder.posterior", h).chunk(2, 1)
    assert log_variance.abs().max() < 4
    z = mean + torch.exp(log_variance / 2) * noise.double()
    components = (one_hot @ weights["prior.components"].double()).reshape(4, count, 2 * latent)
    middle, spread = components.chunk(2, 2)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=one_hot @ weights["prior.weights"].double()),
        torch.distributions.Independent(
            torch.distributions.Normal(middle, torch.exp(spread / 2)), 1))
    assert spread.abs().max() < 4
    log_prior = mixture.log_prob(z)
    entropy = torch.distributions.Independent(
        torch.distributions.Normal(mean, torch.exp(log_variance / 2)), 1).entropy()
    h = F.silu(layer(F.linear, "decoder.0", torch.cat([z, one_hot], 1)))
    decoded = layer(F.linear, "decoder.1", h).reshape(x.shape)
    write("conditional.json", {
        "weights": {path: plain(value) for path, value in weights.items()}, "x": plain(x),
        "noise": plain(noise), "codes": codes, "mean": plain(mean),
        "log_variance": plain(log_variance), "decoded": plain(decoded),
        "log_prior": plain(log_prior), "kl": plain(-entropy - log_prior)})


# Objectives


def log_normal(z, mean, log_variance):
    """log N(z) of numbers."""
    return -0.5 * ((z - mean) ** 2 / math.exp(log_variance) + log_variance + math.log(2 * math.pi))


def objectives():
    """objectives.json"""
    source = Source(12)
    batch, dimensions, count = 6, 3, 500
    mean, log_variance = source.normal(batch, dimensions), source.normal(batch, dimensions)
    z = source.normal(batch, dimensions, scale=1.2)
    numbers = [t.double().tolist() for t in (mean, log_variance, z)]
    parts = np.zeros((batch, 3))
    for i in range(batch):
        own = sum(log_normal(*(t[i][d] for t in (numbers[2], *numbers[:2])))
                  for d in range(dimensions))
        densities = np.array([
            [math.exp(log_normal(numbers[2][i][d], numbers[0][j][d], numbers[1][j][d]))
             for d in range(dimensions)] for j in range(batch)])
        aggregate = math.log(densities.prod(1).sum() / (batch * count))
        marginals = sum(math.log(v / (batch * count)) for v in densities.sum(0))
        prior = sum(log_normal(v, 0, 0) for v in numbers[2][i])
        parts[i] = own - aggregate, aggregate - marginals, marginals - prior
    total_correlation = {
        "mean": plain(mean), "log_variance": plain(log_variance), "z": plain(z),
        "window_count": count, "parts": plain(parts)}

    a, b = source.normal(7, 4), source.normal(7, 4, scale=1.5)
    value = 0.0
    for scale in [0.1, 0.2, 0.5, 1, 2, 5, 10]:
        c = 2 * 4 * scale
        for left, right, sign in [(a, a, 1), (b, b, 1), (a, b, -2)]:
            kernels = [
                c / (c + float((u.double() - v.double()).square().sum()))
                for i, u in enumerate(left) for j, v in enumerate(right)
                if left is not right or i != j]
            value += sign * sum(kernels) / len(kernels)
    discrepancy = {"a": plain(a), "b": plain(b), "value": number(value)}

    logs = source.normal(4, 5, scale=3) + torch.tensor([[-900.0], [0], [40], [800]])
    bound = np.logaddexp.reduce(logs.double().numpy(), axis=1) - math.log(5)
    importance = {"logs": plain(logs), "bound": plain(bound)}

    mean, log_variance = source.normal(5, 3, scale=2), source.normal(5, 3)
    z = source.normal(8, 3, scale=2)
    log = [
        np.logaddexp.reduce([
            sum(log_normal(float(v), float(m), float(l)) for v, m, l in zip(row, *component))
            for component in zip(mean.double(), log_variance.double())]) - math.log(5)
        for row in z.double()]
    mixture = {"mean": plain(mean), "log_variance": plain(log_variance), "z": plain(z),
               "log": plain(np.array(log))}
    write("objectives.json", {
        "total_correlation": total_correlation, "discrepancy": discrepancy,
        "importance": importance, "mixture": mixture})


def disentangled():
    """disentangled.json"""
    source = Source(23)
    mean, log_variance = source.normal(7, 3, scale=1.5), source.normal(7, 3)
    covariance = np.cov(mean.double().numpy().T)
    covariance += np.diag(np.exp(log_variance.double().numpy()).mean(0))
    write("disentangled.json", {
        "mean": plain(mean), "log_variance": plain(log_variance),
        "value": number(((covariance - np.eye(3)) ** 2).sum())})


# Input augmentation


def augmentation():
    """augmentation.json"""
    source = Source(13)
    cases = []
    for shape, step, position, shift, rotation, gain in [
        ((1, 7, 9), 0, 0, 0.3, 0.0, 0.0), ((3, 6, 5), 12, 3, 0.0, 40.0, 0.0),
        ((1, 9, 8), 7, 1, 0.2, 30.0, 0.25), ((3, 4, 7), 1000, 5, 0.5, 180.0, 1.0),
    ]:
        seed = 20260101
        x = source.uniform(*shape)
        words = [(b << 32 | a, d << 32 | c)
                 for a, b, c, d in stream(seed, [11, step, position], 2)]
        signed = [2 * (word >> 40) / 2**24 - 1 for pair in words for word in pair]
        height, width = shape[1:]
        moved = complex(signed[2] * shift * width, signed[1] * shift * height)
        turned = np.exp(-1j * np.deg2rad(signed[0] * rotation))
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        middle = complex((width - 1) / 2, (height - 1) / 2)
        origin = (columns + 1j * rows - middle - moved) * turned
        grid = torch.tensor(np.stack(
            [origin.real / ((width - 1) / 2), origin.imag / ((height - 1) / 2)], -1))
        result = F.grid_sample(x.double()[None], grid[None], mode="bilinear",
                               padding_mode="border", align_corners=True)[0]
        result = (result * (1 + signed[3] * gain)).clip(0, 1)
        cases.append({
            "shape": shape, "seed": seed, "step": step, "position": position, "shift": shift,
            "rotation": rotation, "gain": gain, "x": plain(x), "moved": plain(result)})
    write("augmentation.json", {"cases": cases})


# Mel


def blurred(x, sigma):
    """[C, H, W], edges repeated."""
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-torch.arange(-radius, radius + 1, dtype=torch.float64) ** 2 / 2 / sigma ** 2)
    taps = (taps / taps.sum())[None, None]
    padded = F.pad(x[:, None], [radius] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[..., None, :]), taps[..., None])[:, 0]


def pooled(x, side):
    """[C, H, W], the last cells of fewer pixels."""
    return F.avg_pool2d(x[None], side, ceil_mode=True)[0]


def views():
    """views.json"""
    source = Source(24)
    cases = []
    for name, shape in [
        ("smooth", (1, 8, 8)), ("smooth", (3, 5, 7)), ("gradients", (1, 12, 12)),
        ("gradients", (3, 10, 7)), ("contrast", (1, 24, 20)), ("contrast", (3, 9, 11)),
    ]:
        x = source.uniform(*shape)
        x64 = x.double()
        if name == "smooth":
            cells = pooled(blurred(x64, 1.0), 2)
            finished = cells
        elif name == "gradients":
            soft = blurred(x64, 0.7)
            padded = F.pad(soft[None], [1] * 4, mode="replicate")[0]
            dx, dy = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
            strongest = (dx ** 2 + dy ** 2).argmax(0, keepdim=True)
            dx, dy = dx.gather(0, strongest)[0], dy.gather(0, strongest)[0]
            magnitude, angle = torch.hypot(dx, dy), torch.atan2(dy, dx)
            maps = [
                magnitude * torch.cos(angle - 2 * math.pi * k / 8).clamp(min=0) ** 3
                for k in range(8)]
            cells = pooled(blurred(torch.stack(maps), 1.0), 4)
            finished = 0.5 * torch.sqrt(cells / cells.mean())
        else:
            logs = pooled(torch.log(x64 + 0.05), 2)
            difference = logs - blurred(logs, 4.0)
            cells = 0.25 * difference / (blurred(difference.abs(), 16.0) + 0.02)
            finished = cells - cells.mean()
        cases.append({
            "name": name, "x": plain(x), "cells": plain(cells), "finished": plain(finished)})
    write("views.json", {"cases": cases})


def displaced(x, y):
    """Each 3x3 neighbourhood of x [C, H, W] where it fits y best, up to a cell away."""
    rows, columns = x.shape[1:]
    around = np.pad(y, ((0, 0), (1, 1), (1, 1)))
    best = np.full((rows, columns), np.inf)
    for down in range(3):
        for right in range(3):
            moved = around[:, down:down + rows, right:right + columns]
            squares = np.pad(((x - moved) ** 2).sum(0), 1)
            best = np.minimum(best, np.lib.stride_tricks.sliding_window_view(
                squares, (3, 3)).sum((2, 3)))
    return best.sum() / 9 / x.size


def scores():
    """scores.json"""
    source = Source(25)
    count, new_count, elements, latent = 40, 6, 12, 3

    def windows(count):
        return {
            "x": source.normal(count, elements), "posterior_mean": source.normal(count, latent),
            "reconstructed": source.normal(count, elements, scale=0.5)}

    known, new = windows(count), windows(new_count)
    a, b = ({key: value.double().numpy() for key, value in part.items()} for part in (known, new))
    distances = np.sort(((b["x"][:, None] - a["x"][None]) ** 2).sum(2), 1)
    nearest = np.argsort(((b["x"][:, None] - a["x"][None]) ** 2).sum(2), 1)[:, :30]
    moved = [
        np.sort([displaced(x.reshape(1, 3, 4), a["x"][i].reshape(1, 3, 4)) for i in row])[:3].mean()
        for x, row in zip(b["x"], nearest)]
    variance = ((a["x"] - a["reconstructed"]) ** 2).mean(0)
    variance = 0.9 * variance + 0.1 * variance.mean()
    residual = ((b["x"] - b["reconstructed"]) ** 2 / variance).mean(1)
    covariance = np.cov(a["posterior_mean"].T)
    covariance = 0.95 * covariance + 0.05 * np.trace(covariance) / latent * np.eye(latent)
    offset = b["posterior_mean"] - a["posterior_mean"].mean(0)
    latent_distance = np.einsum("nd,de,ne->n", offset, np.linalg.inv(covariance), offset) / latent
    write("scores.json", {
        **{key: plain(value) for key, value in known.items()},
        "new": {key: plain(value) for key, value in new.items()},
        "neighbours": plain(distances[:, :3].mean(1) / elements), "residual": plain(residual),
        "latent": plain(latent_distance), "displaced": plain(np.array(moved))})


def mixture():
    """mixture.json"""
    source = Source(31)
    networks, elements, width, hidden, latent = 2, 12, 3, 64, 10
    parts = {
        "mean": source.normal(elements), "directions": source.normal(elements, width, scale=0.5),
        "noise": source.normal(2, latent)}
    for name, inputs, outputs in [
        ("encoder.0", width, hidden), ("encoder.1", hidden, 2 * latent),
        ("decoder.0", latent, hidden), ("decoder.1", hidden, width),
    ]:
        parts[f"{name}.weight"] = source.normal(networks, inputs, outputs, scale=0.3)
        parts[f"{name}.bias"] = source.normal(networks, 1, outputs, scale=0.3)
    x = source.normal(12, elements)
    named = {name: value.double() for name, value in parts.items()}
    projected = (x.double() - named["mean"]) @ named["directions"]

    def errors(k, draw):
        def layer(x, name):
            return F.linear(x, named[f"{name}.weight"][k].T, named[f"{name}.bias"][k, 0])

        both = layer(F.silu(layer(projected, "encoder.0")), "encoder.1")
        z = both[:, :latent] + draw * torch.exp(0.5 * both[:, latent:].clamp(-8, 4))
        rebuilt = layer(F.silu(layer(z, "decoder.0")), "decoder.1")
        return ((rebuilt - projected) ** 2).mean(1)

    means = torch.stack([
        torch.stack([errors(k, draw) for draw in named["noise"]]).mean(0)
        for k in range(networks)])
    write("mixture.json", {
        "tensors": {name: plain(value) for name, value in parts.items()}, "x": plain(x),
        "errors": plain(means.min(0).values), "best": [int(k) for k in means.argmin(0)]})


def density():
    """density.json: Gaussians under posteriors, and the covariance of a fitted one."""
    source = Source(32)
    components, width, count = 3, 4, 7
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    means = source.normal(components, width).double()
    factors = source.normal(components, width, width, scale=0.3).double().tril()
    factors = factors + torch.eye(width)
    mean = source.normal(count, width).double()
    log_variance = source.normal(count, width, scale=0.5).double() - 1
    variance = log_variance.exp()
    logs = []
    for k in range(components):
        gaussian = torch.distributions.MultivariateNormal(means[k], scale_tril=factors[k])
        precision = torch.linalg.inv(factors[k] @ factors[k].T)
        # E[log N(z)] of z ~ N(mean, diag variance).
        logs.append(
            weights[k].log() + gaussian.log_prob(mean) - 0.5 * variance @ precision.diagonal())
    expected = torch.tensor([[0.5, 0.1, 0, 0], [0.1, 0.7, 0, 0.2], [0, 0, 0.4, 0], [0, 0.2, 0, 1]])
    centred = mean - mean.mean(0)
    fitted = (centred.T @ centred + variance.sum(0).diag() + (width + 2) * expected) / (
        count + width + 2)
    fitted = fitted + 1e-4 * fitted.trace() / width * torch.eye(width)
    noise = source.normal(2, width).double()
    write("density.json", {
        "weights": plain(weights), "means": plain(means), "factors": plain(factors),
        "mean": plain(mean), "log_variance": plain(log_variance),
        "bound": plain(torch.stack(logs).logsumexp(0)), "expected": plain(expected.double()),
        "fitted_mean": plain(mean.mean(0)), "fitted_covariance": plain(fitted),
        "noise": plain(noise),
        # At uniform numbers of 0.6 and 0.9: the second and the third component.
        "draws": plain(torch.stack([
            means[1] + factors[1] @ noise[0], means[2] + factors[2] @ noise[1]]))})


def masked():
    """masked.json"""
    source = Source(37)
    channels, rows, columns, hidden = 2, 4, 5, 128
    elements, area = channels * rows * columns, rows * columns
    parts = {
        "mean": source.normal(elements), "scale": torch.tensor([0.7]),
        "precision": source.normal(elements).exp()}
    for index, (inputs, outputs) in enumerate(
            [(elements + area, hidden), (hidden, hidden), (hidden, elements)]):
        parts[f"network.{index}.weight"] = source.normal(outputs, inputs, scale=0.1)
        parts[f"network.{index}.bias"] = source.normal(outputs, scale=0.3)
    x = source.normal(6, elements)
    named = {name: value.double() for name, value in parts.items()}
    standard = ((x.double() - named["mean"]) / named["scale"]).reshape(-1, channels, rows, columns)
    errors = torch.full_like(standard, float("nan"))
    # Which third of the rows and of the columns a place is in: 1, 1 and 2 of 4; 1, 2 and 2 of 5.
    row_parts, column_parts = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2, 2])
    for down in range(3):
        for right in range(3):
            is_hidden = (row_parts == down)[:, None] & (column_parts == right)[None]
            seen = standard.masked_fill(is_hidden, 0).flatten(1)
            flags = is_hidden.double().flatten().expand(len(seen), -1)
            h = torch.cat([seen, flags], 1)
            for index in range(3):
                h = F.linear(h, named[f"network.{index}.weight"], named[f"network.{index}.bias"])
                h = F.silu(h) if index < 2 else h
            said = h.reshape(standard.shape)
            errors[..., is_hidden] = (said - standard)[..., is_hidden] ** 2
    errors = errors.flatten(1) * named["scale"] ** 2 * named["precision"]
    write("masked.json", {
        "tensors": {name: plain(value) for name, value in parts.items()}, "x": plain(x),
        "errors": plain(errors.mean(1))})


def stability_index(new, old):
    edges = np.unique(np.quantile(old, np.arange(1, 10) / 10))
    shares = []
    for values in (old, new):
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    return ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()


def pareto_moments(excesses):
    """Hosking and Wallis's estimates, from the definition of b_1 = E[Y F(Y)]."""
    y = np.sort(excesses)
    b0, b1 = y.mean(), (np.arange(len(y)) * y).sum() / (len(y) - 1) / len(y)
    a1 = b0 - b1
    return 2 - b0 / (b0 - 2 * a1), 2 * b0 * a1 / (b0 - 2 * a1)


def thresholds():
    """thresholds.json"""
    from scipy import special, stats
    random = np.random.RandomState(31)
    beta = [
        {"rank": rank, "count": count, "low": stats.beta.ppf(0.025, rank, count + 1 - rank),
         "high": stats.beta.ppf(0.975, rank, count + 1 - rank)}
        for rank, count in [(1, 19), (5, 99), (1, 99), (10, 99), (50, 999), (3, 3)]]

    drift = []
    for new, old, shift, decimals in [(30, 19, 0, 3), (80, 200, 0.5, 3), (500, 60, 0, 1), (9, 40, 9, 0)]:
        a = np.round(random.standard_normal(new) + shift, decimals)
        b = np.round(random.standard_normal(old), decimals)
        statistic = stats.ks_2samp(a, b).statistic
        drift.append({
            "new": a.tolist(), "old": b.tolist(), "ks": statistic,
            "p": special.kolmogorov(math.sqrt(new * old / (new + old)) * statistic),
            "psi": stability_index(a, b)})

    discoveries = []
    for count, normal, odd, rate in [(99, 60, 15, 0.1), (199, 30, 0, 0.2), (49, 20, 20, 0.05)]:
        calibration = random.standard_normal(count)
        scores = np.concatenate([random.standard_normal(normal), random.standard_normal(odd) + 3])
        p = np.array([(1 + (calibration >= s).sum()) / (count + 1) for s in scores])
        step = math.ceil((count + 1) / 2) / (count + 1)
        share = (1 + (p > step + 1e-9).sum()) / (len(p) * (1 - step))
        flagged = stats.false_discovery_control(p) <= rate + 1e-12
        storey = stats.false_discovery_control(p) * share <= rate + 1e-12
        discoveries.append({
            "count": count, "rate": rate, "p": p.tolist(), "normal_share": share,
            "flagged": flagged.tolist(), "storey": storey.tolist()})

    tails = []
    for scores in [random.standard_normal(400), random.exponential(2.0, 1000),
                   random.standard_t(3, 5000), random.uniform(size=300)]:
        scores = np.round(scores, 6)
        start = np.quantile(scores, 0.9)
        excesses = scores[scores > start] - start
        shape, scale = pareto_moments(excesses)
        rates = [0.08, 0.01, 0.002, 1e-5]
        z = start + stats.genpareto.isf(
            np.array(rates) * len(scores) / len(excesses), shape, scale=scale)
        z = np.where(np.array(rates) < 1 / (len(scores) + 1), np.maximum(z, scores.max()), z)
        tails.append({
            "scores": scores.tolist(), "start": start, "shape": shape, "scale": scale,
            "rates": rates, "thresholds": z.tolist()})
    write("thresholds.json", {
        "beta": beta, "drift": drift, "discoveries": discoveries, "tails": tails})


def mel_to_hertz(mels):
    """Slaney's scale: 200/3 Hz a mel up to 1 kHz, then 27 mels for each factor of 6.4."""
    log_step = np.log(6.4) / 27.0
    return np.where(mels < 15.0, 200.0 / 3 * mels, 1000.0 * np.exp(log_step * (mels - 15.0)))


def hertz_to_mel(hertz):
    """The inverse, for one frequency."""
    return 15.0 + np.log(hertz / 1000.0) / (np.log(6.4) / 27.0) if hertz >= 1000 else hertz / (
        200.0 / 3)


def mel_bank(rate, fft, mels):
    """As librosa.filters.mel(norm="slaney"): ramps of all bands at once."""
    edges = mel_to_hertz(np.linspace(0.0, hertz_to_mel(rate / 2), mels + 2))
    widths = np.diff(edges)
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(fft, 1.0 / rate))
    lower, upper = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    return np.maximum(0, np.minimum(lower, upper)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]


def mel():
    """mel.json"""
    # librosa.mel_frequencies(n_mels=40), as its documentation prints it.
    known = [0, 85.317, 170.635, 255.952, 341.269, 426.586, 511.904, 597.221, 682.538, 767.855,
             853.173, 938.49, 1024.856, 1119.114, 1222.042, 1334.436, 1457.167, 1591.187, 1737.532,
             1897.337, 2071.84, 2262.393, 2470.47, 2697.686, 2945.799, 3216.731, 3512.582,
             3835.643, 4188.417, 4573.636, 4994.285, 5453.621, 5955.205, 6502.92, 7101.009,
             7754.107, 8467.272, 9246.028, 10096.408, 11025]
    found = mel_to_hertz(np.linspace(0.0, hertz_to_mel(11025.0), 40))
    assert np.abs(found - known).max() < 6e-4, "the scale here is wrong"

    banks = [
        {"rate": rate, "fft": fft, "mels": mels, "weights": plain(mel_bank(rate, fft, mels))}
        for rate, fft, mels in [(8000, 256, 40), (16000, 512, 64), (11025, 300, 17), (1500, 64, 8)]
    ]
    random = np.random.RandomState(7)
    spectra = []
    for rate, fft, hop, mels, count in [(8000, 256, 128, 40, 1000), (8000, 64, 20, 12, 333)]:
        time = np.arange(count) / rate
        chirp = 0.5 * np.sin(2 * np.pi * (300 * time + 0.5 * 20000 * time**2))
        signal = np.round(chirp + 0.02 * random.standard_normal(count), 4).astype(np.float32)
        padded = np.pad(signal.astype(np.float64), fft // 2, mode="reflect")
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)
        frames = [padded[start:start + fft] * window for start in range(0, count + 1, hop)]
        power = np.abs(np.fft.rfft(frames, axis=1).T) ** 2
        spectra.append({
            "rate": rate, "fft": fft, "hop": hop, "mels": mels, "signal": plain(signal),
            "log": plain(np.log(mel_bank(rate, fft, mels) @ power)),
        })
    write("mel.json", {"banks": banks, "spectra": spectra})


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    makers = {f.__name__: f for f in [
        operations, training, generator, weights, likelihood, vae, gated, continuous_bernoulli,
        laplace, student_t, logistic_mixture, ladder, requested, conditional, objectives, disentangled,
        augmentation, views, scores, mixture, masked, density, thresholds, mel]}
    for chosen in sys.argv[1:] or makers:
        if chosen not in makers:
            sys.exit(f"{chosen} is not one of {', '.join(makers)}")
        makers[chosen]()
