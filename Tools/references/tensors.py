"""Operations, training, random numbers and files of weights.

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
"""

import math

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F

from .common import FOLDER, number, plain, Source, write


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
    yield "maxPooled2d", lambda x: F.max_pool2d(x, 2), [n(2, 3, 5, 6)]


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
