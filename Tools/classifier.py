"""A small classifier of real files, an independent judge of generated ones; used by the benchmarks.

Convolutions with batch normalisation, and features of 64 numbers before the last layer. Pictures are
grey, resized to 28x28. Recordings are log-mel spectrograms of 40 bands and 96 frames of 10 ms at
8 kHz: silence at both ends is cut off, the clip is put in the middle, and levels are counted down
from the loudest bin, 40 dB of them. Nothing of `latent` is used in either.
"""

import fractions
import hashlib
import os
import pathlib

# Threads that spin are slow on a machine with other work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import nn

SIDE = 28
RATE, FRAME, HOP, BANDS, FRAMES = 8000, 256, 80, 40, 96
RANGE_DECIBELS, SILENCE_DECIBELS = 40, 30
FEATURES = 64


def picture(path):
    """[1, 28, 28] in 0…1."""
    image = Image.open(path).convert("L").convert("F")
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.BILINEAR)
    return np.asarray(image, np.float32)[None] / 255


def mel_bank():
    edges = 700 * (np.exp(np.linspace(0, np.log(1 + RATE / 2 / 700), BANDS + 2)) - 1)
    bins = np.fft.rfftfreq(2 * FRAME, 1 / RATE)
    return np.stack([
        np.clip(np.minimum((bins - a) / (b - a), (c - bins) / (c - b)), 0, None)
        for a, b, c in zip(edges, edges[1:], edges[2:])])


BANK = mel_bank()


def log_mel(path):
    """[1, 40, 96] in 0…1."""
    rate, signal = wavfile.read(path)
    signal = signal.astype(np.float64)
    if signal.ndim > 1:
        signal = signal.mean(1)
    if rate != RATE:
        ratio = fractions.Fraction(RATE, rate)
        signal = resample_poly(signal, ratio.numerator, ratio.denominator)
    signal = np.pad(signal, FRAME)
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), 2 * FRAME)) ** 2 @ BANK.T
    loudness = power.sum(1)
    loud = np.flatnonzero(loudness > loudness.max() * 10 ** (-SILENCE_DECIBELS / 10))
    if not len(loud):  # silence
        return np.zeros((1, BANDS, FRAMES), np.float32)
    power = power[loud[0]:loud[-1] + 1]
    decibels = 10 * np.log10(np.maximum(power / power.max(), 1e-10))
    levels = np.clip(decibels / RANGE_DECIBELS + 1, 0, 1).T
    excess = levels.shape[1] - FRAMES
    if excess > 0:
        levels = levels[:, excess // 2:excess // 2 + FRAMES]
    left = max(0, -excess) // 2
    levels = np.pad(levels, ((0, 0), (left, FRAMES - left - levels.shape[1])))
    return levels[None].astype(np.float32)


def read(paths):
    """Features of files, [N, 1, H, W]."""
    return torch.from_numpy(np.stack([
        log_mel(path) if pathlib.Path(path).suffix.lower() == ".wav" else picture(path)
        for path in paths]))


class Network(nn.Module):
    def __init__(self, height, width, class_count):
        super().__init__()
        layers = []
        for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
                nn.MaxPool2d(2)]
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(0.3),
            nn.Linear(64 * (height // 8) * (width // 8), FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, class_count)

    def forward(self, x):
        return self.head(self.body(x))


def vary(x):
    """Shifts, other speeds or sizes, noise, and hidden rows and columns of spectrograms."""
    count, _, height, width = x.shape
    is_sound = height == BANDS
    angle = torch.zeros(count) if is_sound else (torch.rand(count) - 0.5) * 0.35
    across = 1 + (torch.rand(count) - 0.5) * 0.3
    down = torch.ones(count) if is_sound else 1 + (torch.rand(count) - 0.5) * 0.2
    shift = (torch.rand(count, 2) - 0.5) * torch.tensor(
        [0.2, 0.1 if is_sound else 0.2])
    transform = torch.stack([
        torch.stack([angle.cos() * across, -angle.sin(), shift[:, 0]], 1),
        torch.stack([angle.sin(), angle.cos() * down, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(transform, x.shape, align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False)
    if is_sound:
        for axis, length in ((2, 8), (3, 12)):
            places = torch.arange(x.shape[axis]).view([-1 if i == axis else 1 for i in range(4)])
            start = (torch.rand(count, 1, 1, 1) * x.shape[axis]).floor()
            size = (torch.rand(count, 1, 1, 1) * length).floor()
            x = x * ~((places >= start) & (places < start + size))
    noise = 0.05 if is_sound else 0.02
    return (x + noise * torch.rand(count, 1, 1, 1) * torch.randn_like(x)).clamp(0, 1)


def fit(x, y, class_count, epochs, seed=0):
    """A network that tells the classes y of x apart."""
    torch.manual_seed(seed)
    network = Network(*x.shape[2:], class_count)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            if len(part) == 1:  # no variance to normalise by
                schedule.step()
                continue
            loss = F.cross_entropy(network(vary(x[part])), y[part], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return network.eval()


def trained(x, y, class_count, epochs, seed=0):
    """`fit`, kept in the cache folder: the same files and the same code give the same network."""
    key = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    key.update(f"{torch.__version__} {tuple(x.shape)} {class_count} {epochs} {seed}".encode())
    key.update(x.numpy().tobytes() + y.numpy().tobytes())
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    path = folder / "latent" / f"classifier-{key.hexdigest()[:16]}.pt"
    if path.exists():
        network = Network(*x.shape[2:], class_count)
        network.load_state_dict(torch.load(path, weights_only=True))
        return network.eval()
    network = fit(x, y, class_count, epochs, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return network


@torch.inference_mode()
def predict(network, x):
    return torch.cat([network(part).argmax(1) for part in x.split(256)])


@torch.inference_mode()
def features(network, x):
    """The numbers before the last layer, [N, 64], as float64."""
    return torch.cat([network.body(part) for part in x.split(256)]).double()
