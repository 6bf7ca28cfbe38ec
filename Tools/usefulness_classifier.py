"""Files as tensors, and the small network that is trained on them in the same way for all rows; used by
usefulness.py.

Two 3x3 convolutions; 600 steps of AdamW with batches of 64, the learning rate falling along a cosine.
Images are taken as they are; recordings are log-mel spectrograms, 40 bands of frames of 256 samples at
half overlap and 8 kHz, in the middle of 48 frames.
"""

import fractions
import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import nn

RATE, FRAME, HOP, BANDS, FRAMES, RANGE_NATS = 8000, 256, 128, 40, 48, 10
STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 600, 64, 1e-3, 1e-2


def picture(path):
    image = np.asarray(Image.open(path))
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    image = image if image.ndim == 3 else image[..., None]
    return (image[..., :3] if image.shape[2] >= 3 else image[..., :1]).transpose(2, 0, 1)


def mel_bank():
    """Triangles of equal area on Slaney's scale."""
    def hertz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    top = 15 + np.log(RATE / 2 / 1000) * 27 / np.log(6.4)
    edges = hertz(np.linspace(0, top, BANDS + 2))
    bins = np.fft.rfftfreq(FRAME, 1 / RATE)
    return np.stack([
        np.clip(np.minimum((bins - a) / (b - a), (c - bins) / (c - b)), 0, None) * 2 / (c - a)
        for a, b, c in zip(edges, edges[1:], edges[2:])])


BANK = mel_bank()
WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


def spectrogram(path):
    rate, signal = wavfile.read(path)
    signal = signal.astype(np.float64) / (32768 if signal.dtype == np.int16 else 1)
    if signal.ndim > 1:
        signal = signal.mean(1)
    if rate != RATE:
        ratio = fractions.Fraction(RATE, int(rate))
        signal = resample_poly(signal, ratio.numerator, ratio.denominator)
    signal = np.pad(signal, (0, max(0, FRAME // 2 + 1 - len(signal))))
    signal = np.pad(signal, FRAME // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::HOP] * WINDOW
    logs = np.log(np.maximum(BANK @ (np.abs(np.fft.rfft(frames)) ** 2).T, 1e-12))
    values = np.clip(1 + (logs - logs.max()) / RANGE_NATS, 0, 1)
    length = values.shape[1]
    if length > FRAMES:
        start = (length - FRAMES) // 2
        values = values[:, start:start + FRAMES]
    left = (FRAMES - values.shape[1]) // 2
    values = np.pad(values, ((0, 0), (left, FRAMES - values.shape[1] - left)))
    return np.round(255 * values).astype(np.uint8)[None]


def read(paths):
    return torch.tensor(np.stack([
        (spectrogram if path.suffix == ".wav" else picture)(path) for path in paths])).float() / 255


def network(shape, classes):
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.25), nn.Linear(64 * (height // 4) * (width // 4), 128), nn.ReLU(),
        nn.Dropout(0.25), nn.Linear(128, classes))


def uniform(count, limit):
    return (2 * torch.rand(count) - 1) * limit


def warp(x, elastic):
    count, _, height, width = x.shape
    angle, scale = uniform(count, np.radians(14)), 1 + uniform(count, 0.15)
    cos, sin, aspect = angle.cos() * scale, angle.sin() * scale, height / width
    theta = torch.stack([
        torch.stack([cos, -sin * aspect, uniform(count, 0.15)], 1),
        torch.stack([sin / aspect, cos, uniform(count, 0.15)], 1)], 1)
    return sample(x, theta, elastic, "border")


def sample(x, theta, elastic, padding):
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    if elastic:
        field = F.interpolate(0.1 * torch.randn(len(x), 2, 4, 4), x.shape[2:], mode="bicubic",
                              align_corners=False)
        grid = grid + field.permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)


def vary(x, is_sound, elastic=False):
    """As in `classic`."""
    if not is_sound:
        return warp(x, elastic)
    count, _, height, width = x.shape
    theta = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat(count, 1, 1)
    theta[:, 0, 2] = uniform(count, 0.25)
    x = sample(x, theta, elastic, "zeros")
    x = x * (1 + uniform(count, 0.15)).view(-1, 1, 1, 1) + 0.03 * torch.randn_like(x)
    for axis, length, most in [(2, height, 6), (3, width, 8)]:
        size = torch.randint(0, most + 1, (count,))
        start = (torch.rand(count) * (length - size + 1)).long()
        places = torch.arange(length)
        hidden = (places >= start[:, None]) & (places < (start + size)[:, None])
        x = x.masked_fill(hidden[:, None, :, None] if axis == 2 else hidden[:, None, None, :], 0)
    return x.clamp(0, 1)


def trained(draw, shape, classes, seed):
    """A network that has seen `draw()` at each step."""
    torch.manual_seed(seed)
    model = network(shape, classes)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        x, y = draw()
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def probabilities(model, x):
    with torch.no_grad():
        return torch.cat([model(part).softmax(1) for part in x.split(500)])


def accuracy_of(draw, shape, classes, test, seed):
    """Predictions for the test files of a network that sees `draw()` at each step."""
    return probabilities(trained(draw, shape, classes, seed), test).argmax(1)
