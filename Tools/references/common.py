"""What all writers of expected values share."""

import json
import pathlib

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).resolve().parent.parent.parent / "Fixtures" / "expected"


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
