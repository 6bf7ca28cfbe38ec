"""Parts of objectives, and varied inputs.

objectives.json    {total_correlation, discrepancy, importance, mixture}
    Parts of losses by loops or logaddexp over float64. Used by the tests of the objectives.

disentangled.json    {mean, log_variance, value}
    Squared distance of the covariance of z to the unit matrix, by numpy.cov in float64. Used by
    DisentangledInferredPriorTests.

augmentation.json    {"cases": [{shape, seed, step, position, shift, rotation, gain, x, moved}]}
    Images shifted and rotated by grid_sample with the numbers that the stream of a step and a place
    gives. Used by InputAugmentationTests.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .common import number, plain, Source, write
from .tensors import stream


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
