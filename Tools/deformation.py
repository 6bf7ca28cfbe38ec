"""What `latent augment --method deform` does, in PyTorch and in NumPy; and what its tests compare with.

    ./.libtorch-python Tools/deformation.py     # writes Fixtures/expected/deformation.json

deformation.json    {"cases": [{shape, numbers, x, rows, columns, repeats_edges, expected}],
                     "network": {shape, latent, pairs, mean, log_variance, z, numbers}}
    Maps deformed pixel by pixel in NumPy, in float64, from the description of a deformation's 96
    numbers alone; and a pass of a small network whose weights are a formula: number i of tensor k, in
    the order in which they are made, is 0.1 sin(0.37 i + k). Used by DeformationTests.

`apply` is the same in PyTorch, for batches: Tools/usefulness.py deforms with numbers of its own, as large
as those of a model, `sizes`. It is compared with the NumPy one before anything is written.
"""

import json
import pathlib

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F

COUNT = 96
AFFINE, FIELD, GAINS, GAIN, STROKE = slice(0, 6), slice(6, 78), slice(78, 94), 94, 95


# In PyTorch, for batches.

def apply(numbers, x, rows=1, columns=1, repeats_edges=True):
    """Deforms maps [B, C, H, W] in 0…1 by numbers [B, 96]."""
    count, _, height, width = x.shape
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=x.dtype)
    grid = F.affine_grid(identity + 0.3 * numbers[:, AFFINE].view(-1, 2, 3), x.shape,
                         align_corners=False)
    field = F.interpolate(numbers[:, FIELD].view(-1, 2, 6, 6), (height, width), mode="bicubic",
                          align_corners=False)
    moved = F.grid_sample(x, grid + 0.1 * field.permute(0, 2, 3, 1), align_corners=False,
                          padding_mode="border" if repeats_edges else "zeros")
    kernel, padding = (2 * rows + 1, 2 * columns + 1), (rows, columns)
    stroke = torch.tanh(numbers[:, STROKE]).view(-1, 1, 1, 1)
    thick = F.max_pool2d(moved, kernel, 1, padding)
    thin = -F.max_pool2d(-moved, kernel, 1, padding)
    # Of a stroke of 0 there is a gradient on one side.
    moved = moved + stroke.relu() * (thick - moved) + (stroke - stroke.relu()) * (moved - thin)
    gains = F.interpolate(numbers[:, GAINS].view(-1, 1, 4, 4), (height, width), mode="bilinear",
                          align_corners=False)
    gain = (1 + 0.3 * gains) * (1 + 0.3 * numbers[:, GAIN].view(-1, 1, 1, 1))
    return (moved * gain.clamp(0.1, 3)).clamp(0, 1)


def sizes(model):
    """Deviations [96] of the numbers that `latent augment --method deform` draws by a model."""
    factor = safetensors.torch.load_file(model)["deform.factor"]
    return 0.75 * factor.square().sum(1).sqrt()


class Network:
    """The autoencoder that finds deformations, of tensors by their paths."""

    def __init__(self, tensors):
        self.tensors = tensors

    def layer(self, name):
        return self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]

    def posterior(self, pairs):
        """Mean and log-variance [B, D] of what makes the second of a pair of the first: [B, 2C, H, W]."""
        x = F.silu(F.conv2d(pairs, *self.layer("encoder.0"), stride=2, padding=2))
        x = F.silu(F.conv2d(x, *self.layer("encoder.1"), stride=2, padding=1)).flatten(1)
        x = F.silu(F.linear(x, *self.layer("encoder.2")))
        mean, log_variance = F.linear(x, *self.layer("encoder.posterior")).chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)

    def numbers(self, z):
        """Deformations [B, 96] of latents [B, D]."""
        return F.linear(F.silu(F.linear(z, *self.layer("decoder.0"))),
                        *self.layer("decoder.numbers"))


# In NumPy, pixel by pixel.

def keys(t, a=-0.75):
    """Weights of the four nodes around a place, t after the second of them (Keys 1981)."""
    def near(s):
        return ((a + 2) * s - (a + 3)) * s * s + 1

    def far(s):
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a
    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def field_at(nodes, row, column, size, bicubic):
    """A field of nodes at a pixel of a map: both divide the same square evenly."""
    value = 0.0
    places = []
    for place, length, count in zip((row, column), size, nodes.shape):
        position = (place + 0.5) / length * count - 0.5
        if not bicubic:
            position = max(position, 0)
        first = int(np.floor(position))
        t = position - first
        weights = keys(t) if bicubic else [0, 1 - t, t, 0]
        places.append([(min(max(first - 1 + k, 0), count - 1), w) for k, w in enumerate(weights)])
    for i, v in places[0]:
        for j, u in places[1]:
            value += v * u * nodes[i, j]
    return value


def pixel(plane, row, column, repeats_edges):
    height, width = plane.shape
    if not (0 <= row < height and 0 <= column < width):
        if not repeats_edges:
            return 0.0
        row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    return plane[row, column]


def apply_slowly(numbers, x, rows, columns, repeats_edges):
    """Deforms one map [C, H, W]."""
    channels, height, width = x.shape
    affine = np.array([[1.0, 0, 0], [0, 1, 0]]) + 0.3 * numbers[AFFINE].reshape(2, 3)
    right, down = 0.1 * numbers[FIELD].reshape(2, 6, 6)
    gains = numbers[GAINS].reshape(4, 4)
    moved = np.zeros_like(x)
    for i in range(height):
        for j in range(width):
            place = np.array([2 * (j + 0.5) / width - 1, 2 * (i + 0.5) / height - 1, 1])
            u, v = affine @ place
            u += field_at(right, i, j, (height, width), True)
            v += field_at(down, i, j, (height, width), True)
            column, row = (u + 1) / 2 * width - 0.5, (v + 1) / 2 * height - 0.5
            if repeats_edges:
                column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
            top, left = int(np.floor(row)), int(np.floor(column))
            b, a = row - top, column - left
            for c in range(channels):
                moved[c, i, j] = sum(
                    weight * pixel(x[c], top + di, left + dj, repeats_edges)
                    for di, dj, weight in [(0, 0, (1 - a) * (1 - b)), (0, 1, a * (1 - b)),
                                           (1, 0, (1 - a) * b), (1, 1, a * b)])
    made = np.zeros_like(x)
    t = np.tanh(numbers[STROKE])
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                around = moved[c, max(0, i - rows):i + rows + 1, max(0, j - columns):j + columns + 1]
                target = around.max() if t > 0 else around.min()
                value = moved[c, i, j] + abs(t) * (target - moved[c, i, j])
                gain = (1 + 0.3 * field_at(gains, i, j, (height, width), False)) \
                    * (1 + 0.3 * numbers[GAIN])
                made[c, i, j] = min(max(value * min(max(gain, 0.1), 3), 0), 1)
    return made


def formula(shape, k):
    count = int(np.prod(shape))
    return torch.tensor(0.1 * np.sin(0.37 * np.arange(count) + k)).view(*shape).float().double()


def small_network(channels, height, width, latent):
    flat = 32 * ((height + 3) // 4) * ((width + 3) // 4)
    shapes = {}
    for name, shape in [
            ("encoder.0", (24, 2 * channels, 5, 5)), ("encoder.1", (32, 24, 3, 3)),
            ("encoder.2", (128, flat)), ("encoder.posterior", (2 * latent, 128)),
            ("decoder.0", (128, latent)), ("decoder.numbers", (COUNT, 128))]:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]
    return Network({name: formula(shape, k) for k, (name, shape) in enumerate(shapes.items())})


def plain(values):
    values = np.asarray(values, np.float64)
    return {"shape": list(values.shape),
            "values": [float(np.format_float_positional(np.float32(v), unique=True))
                       for v in values.ravel()]}


def main():
    source = np.random.default_rng(11)
    cases = []
    for shape, scale, rows, columns, repeats in [
            ((1, 9, 7), 0.5, 1, 1, True), ((3, 6, 11), 1.0, 1, 2, False), ((1, 5, 8), 1.5, 2, 1, True)]:
        x = source.uniform(0, 1, shape).astype(np.float32).astype(np.float64)
        numbers = (scale * source.standard_normal(COUNT)).astype(np.float32).astype(np.float64)
        expected = apply_slowly(numbers, x, rows, columns, repeats)
        twin = apply(torch.tensor(numbers)[None], torch.tensor(x)[None], rows, columns, repeats)
        assert np.abs(twin[0].numpy() - expected).max() < 1e-6, np.abs(twin[0].numpy() - expected).max()
        cases.append({
            "numbers": plain(numbers), "x": plain(x), "rows": rows, "columns": columns,
            "repeats_edges": repeats, "expected": plain(expected)})
    shape, latent = (1, 10, 7), 3
    network = small_network(*shape, latent)
    pairs = torch.tensor(source.uniform(0, 1, (4, 2, *shape[1:])).astype(np.float32)).double()
    mean, log_variance = network.posterior(pairs)
    z = torch.tensor(source.standard_normal((4, latent)).astype(np.float32)).double()
    content = {"cases": cases, "network": {
        "latent": latent, "pairs": plain(pairs), "mean": plain(mean),
        "log_variance": plain(log_variance), "z": plain(z), "numbers": plain(network.numbers(z))}}
    path = pathlib.Path(__file__).resolve().parent.parent / "Fixtures/expected/deformation.json"
    path.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
