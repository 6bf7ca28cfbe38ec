"""Writes what tests hold masked autoregressive flows against, computed by NumPy in float64.

    .libtorch-python Tools/flow_reference.py       # Fixtures/expected/flow.json

flow.json    {"cases": [{dimensions, width, layers, labels, tensors, z, codes, u, log_determinant,
                         log_density, noise, draws}]}
    Flows with given weights, by their paths in a model file. Each shift and log-scale is a sum over
    what its dimension may see, dimension by dimension, with no masks; log_determinant is that of the
    Jacobian of z -> u by central differences; draws are z of noise, found by bisection of each
    dimension in turn. Used by LatentFlowTests.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).resolve().parent.parent / "Fixtures" / "expected" / "flow.json"


def plain(array):
    array = np.asarray(array, np.float32)
    return {"shape": list(array.shape), "values": [float(str(v)) for v in array.reshape(-1)]}


class Flow:
    def __init__(self, random, dimensions, width, layers, labels):
        self.dimensions, self.width, self.layers, self.labels = dimensions, width, layers, labels

        def drawn(*shape, scale=0.5):
            return np.round(scale * random.standard_normal(shape), 2).astype(np.float32)

        self.tensors = {
            "flow.location": drawn(dimensions, scale=2),
            "flow.scale": np.float32(0.5) + np.abs(drawn(dimensions))}
        for k in range(layers):
            self.tensors |= {
                f"flow.{k}.input.weight": drawn(width, dimensions),
                f"flow.{k}.input.bias": drawn(width),
                f"flow.{k}.output.weight": drawn(2 * dimensions, width),
                f"flow.{k}.output.bias": drawn(2 * dimensions)}
            if labels:
                self.tensors |= {
                    f"flow.{k}.label_input.weight": drawn(width, labels),
                    f"flow.{k}.label_output.weight": drawn(2 * dimensions, labels)}

    def step(self, k, x, label, place, seen):
        """Shift and log-scale of a dimension, given those that come before it."""
        part = {name.split(".", 2)[2]: value.astype(np.float64)
                for name, value in self.tensors.items() if name.startswith(f"flow.{k}.")}
        both = part["output.bias"][[place, place + self.dimensions]].copy()
        for unit in range(self.width):
            visible = unit % self.dimensions  # dimensions that it sees
            if visible > len(seen):
                continue
            level = part["input.bias"][unit] + sum(
                part["input.weight"][unit, d] * x[d] for d in seen[:visible])
            if label is not None:
                level += part["label_input.weight"][unit, label]
            both += part["output.weight"][[place, place + self.dimensions], unit] * max(0, level)
        if label is not None:
            both += part["label_output.weight"][[place, place + self.dimensions], label]
        return both[0], 3 * np.tanh(both[1] / 3)

    def order(self, k):
        places = list(range(self.dimensions))
        return places[::-1] if k % 2 else places

    def forward(self, z, label):
        x = (z - self.tensors["flow.location"]) / self.tensors["flow.scale"].astype(np.float64)
        for k in range(self.layers):
            u, order = np.zeros_like(x), self.order(k)
            for index, place in enumerate(order):
                shift, log_scale = self.step(k, x, label, place, order[:index])
                u[place] = (x[place] - shift) * np.exp(-log_scale)
            x = u
        return x

    def log_determinant(self, z, label, step=1e-6):
        columns = [
            (self.forward(z + step * axis, label) - self.forward(z - step * axis, label))
            / (2 * step) for axis in np.eye(self.dimensions)]
        return np.linalg.slogdet(np.stack(columns, 1))[1]

    def draw(self, noise, label):
        """z that gives the noise: one layer undone after the other, by bisection."""
        x = noise.astype(np.float64)
        for k in reversed(range(self.layers)):
            inner, order = np.zeros_like(x), self.order(k)
            for index, place in enumerate(order):
                shift, log_scale = self.step(k, inner, label, place, order[:index])
                low, high = -1e6, 1e6
                for _ in range(100):
                    middle = (low + high) / 2
                    is_low = (middle - shift) * np.exp(-log_scale) < x[place]
                    low, high = (middle, high) if is_low else (low, middle)
                inner[place] = low
            x = inner
        return x * self.tensors["flow.scale"] + self.tensors["flow.location"]


def main():
    random = np.random.RandomState(41)
    cases = []
    for dimensions, width, layers, labels, count in [(4, 9, 3, 3, 5), (3, 2, 2, 0, 3), (1, 2, 2, 2, 3)]:
        flow = Flow(random, dimensions, width, layers, labels)
        z = np.round(2 * random.standard_normal((count, dimensions)), 2).astype(np.float32)
        noise = np.round(random.standard_normal((count, dimensions)), 2).astype(np.float32)
        codes = [index % labels for index in range(count)] if labels else None
        of = codes or [None] * count
        u = np.stack([flow.forward(row.astype(np.float64), c) for row, c in zip(z, of)])
        logs = np.array([flow.log_determinant(row.astype(np.float64), c) for row, c in zip(z, of)])
        density = logs - 0.5 * (u**2 + np.log(2 * np.pi)).sum(1)
        draws = np.stack([flow.draw(row, c) for row, c in zip(noise, of)])
        cases.append({
            "dimensions": dimensions, "width": width, "layers": layers, "labels": labels,
            "tensors": {name: plain(value) for name, value in flow.tensors.items()},
            "z": plain(z), "codes": codes or [], "u": plain(u), "log_determinant": plain(logs),
            "log_density": plain(density), "noise": plain(noise), "draws": plain(draws)})
    text = json.dumps({"cases": cases}, separators=(",", ":"))
    FILE.write_text(text + "\n")
    print(f"{FILE.name}: {len(text)} bytes")


if __name__ == "__main__":
    main()
