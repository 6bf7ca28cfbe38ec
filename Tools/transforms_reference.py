"""Writes what classic transforms must give, computed by SciPy, NumPy and PyTorch.

    .libtorch-python Tools/transforms_reference.py     # Fixtures/expected/transforms.json

images      {height, width, values, right, down, cases: [{movements, padding, expected}]}
    A grey image 0…1 and what movements make of it: each is written as where a pixel of the result comes
    from, they are put together, and scipy.ndimage.map_coordinates reads once, bilinear. Modes `nearest`
    and `reflect` are the paddings. `right` and `down` are the displacements of the elastic field at its
    4×4 points, in pixels; between them it is torch's bicubic interpolation with aligned corners.
bands       {rate, samples, low, high, expected}
    A signal without a band: Hann windows of 256 at a hop of 64, ends reflected, bins of rfft that lie in
    the band set to 0, added up again over the sum of squared windows. All in float64.
"""

import json
import pathlib

import numpy as np
import torch
from scipy import ndimage

FILE = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "expected" / "transforms.json"
HEIGHT, WIDTH = 11, 14


def movements(field):
    """Where (x, y) of the result comes from, by name."""
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])[:, None, None]

    def rotate(p, degrees):
        angle = np.deg2rad(degrees)
        # Rows count downwards: counter-clockwise as seen, taken back.
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return middle + np.einsum("ij,jhw->ihw", matrix, p - middle)

    def elastic(p):
        def at(grid):
            # Bicubic at integer pixels only: elastic comes last in the cases, so that p is the grid.
            grid = torch.tensor(grid, dtype=torch.float64).reshape(1, 1, 4, 4)
            return torch.nn.functional.interpolate(
                grid, (HEIGHT, WIDTH), mode="bicubic", align_corners=True)[0, 0].numpy()
        return p + np.stack([at(field[0]), at(field[1])])

    return {
        "flip-x": lambda p: np.stack([WIDTH - 1 - p[0], p[1]]),
        "flip-y": lambda p: np.stack([p[0], HEIGHT - 1 - p[1]]),
        "shift": lambda p, x, y: p - np.array([x * WIDTH, y * HEIGHT])[:, None, None],
        "rotate": rotate,
        "scale": lambda p, factor: middle + (p - middle) / factor,
        # The edges of the part at (1 - size) · (x, y) of the sides; centres are half a pixel inside.
        "crop": lambda p, size, x, y: (p + 0.5) * size - 0.5
        + ((1 - size) * np.array([x * WIDTH, y * HEIGHT]))[:, None, None],
        "elastic": elastic,
    }


def images(random):
    values = random.random((HEIGHT, WIDTH)).round(4)
    field = random.normal(0, 1.2, (2, 16)).round(3)
    moves = movements(field)
    lists = [
        [["flip-x"]], [["flip-y"]], [["shift", 0.11, -0.23]], [["rotate", 33.0]], [["rotate", -140.0]],
        [["scale", 1.3]], [["scale", 0.6]], [["crop", 0.55, 0.2, 0.9]], [["elastic"]],
        [["rotate", 14.0], ["scale", 0.9], ["shift", 0.1, 0.05], ["flip-x"], ["elastic"]],
    ]
    cases = []
    for names in lists:
        for padding, mode in [("edge", "nearest"), ("reflect", "reflect")]:
            y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
            place = np.stack([x, y])
            for name, *numbers in reversed(names):
                place = moves[name](place, *numbers)
            expected = ndimage.map_coordinates(values, place[::-1], order=1, mode=mode)
            cases.append({
                "movements": [{"name": name, "numbers": numbers} for name, *numbers in names],
                "padding": padding, "expected": np.float32(expected).ravel().tolist()})
    return {
        "height": HEIGHT, "width": WIDTH, "values": values.ravel().tolist(),
        "right": field[0].tolist(), "down": field[1].tolist(), "cases": cases}


def bands(random):
    rate, size, hop, low, high = 8000, 256, 64, 900.0, 1500.0
    samples = random.normal(0, 0.1, 1500).round(4)
    padded = np.pad(samples, size // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    frequencies = np.arange(size // 2 + 1) * rate / size
    kept = ~((frequencies >= low) & (frequencies < high))
    total, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for start in range(0, len(padded) - size + 1, hop):
        part = slice(start, start + size)
        spectrum = np.fft.rfft(padded[part] * window) * kept
        total[part] += np.fft.irfft(spectrum, size) * window
        weight[part] += window ** 2
    result = (total / np.maximum(weight, 1e-12))[size // 2:size // 2 + len(samples)]
    return {
        "rate": rate, "samples": samples.tolist(), "low": low, "high": high,
        "expected": np.float32(result).tolist()}


def main():
    random = np.random.default_rng(20)
    content = {"images": images(random), "bands": bands(random)}

    def short(value):
        if isinstance(value, float):
            return float(f"{value:.6g}")
        if isinstance(value, list):
            return [short(part) for part in value]
        if isinstance(value, dict):
            return {key: short(part) for key, part in value.items()}
        return value

    FILE.write_text(json.dumps(short(content), separators=(",", ":"), allow_nan=False) + "\n")
    print(FILE, FILE.stat().st_size, "bytes")


main()
