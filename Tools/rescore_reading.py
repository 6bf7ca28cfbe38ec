"""What a network of `latent` reads, from a model file and the files themselves, in NumPy.

Reading, resizing, resampling, log-mel, windows and views for detection, written again from their
descriptions, in float64; for Tools/rescore.py and others.
"""

import json
import math
import sys

import numpy as np
import safetensors
from PIL import Image
from scipy.io import wavfile


# Model file

def read_model(path):
    """The record and the weights, as float64."""
    with safetensors.safe_open(path, "np") as file:
        record = json.loads(file.metadata()["record"])
        weights = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}
    return record, weights


# Images

def read_image(path, channel_count, background):
    """[C, H, W] in 0…1."""
    with open(path, "rb") as file:
        head = file.read(26)
    depth, colour = head[24], head[25]
    if depth == 16 and colour != 0:
        sys.exit(f"{path}: Pillow reads 16-bit colour with 8 bits; choose another file")
    picture = Image.open(path)
    has_alpha = "transparency" in picture.info or picture.mode in ("LA", "RGBA", "PA")
    if picture.mode.startswith("I"):
        values, alpha = np.asarray(picture, np.float64)[None] / 65535, None
        if "transparency" in picture.info:
            alpha = (np.asarray(picture) != picture.info["transparency"]).astype(np.float64)
    else:
        is_grey = picture.mode in ("1", "L", "LA")
        mode = ("LA" if is_grey else "RGBA") if has_alpha else ("L" if is_grey else "RGB")
        values = np.asarray(picture.convert(mode), np.float64) / 255
        values = values.reshape(picture.height, picture.width, -1).transpose(2, 0, 1)
        alpha = None
        if has_alpha:
            values, alpha = values[:-1], values[-1]
    if alpha is not None:
        values = values * alpha + background * (1 - alpha)
    if len(values) == 3 and channel_count == 1:
        values = np.minimum(np.tensordot([0.299, 0.587, 0.114], values, 1), 1)[None]
    if len(values) == 1 and channel_count == 3:
        values = np.repeat(values, 3, 0)
    return values


def resize_weights(old, new):
    """[new, old]: a triangle around each new pixel's centre, as wide as a new pixel or an old one,
    whichever is wider; cut off at the edges and normalised."""
    scale = max(old / new, 1)
    centres = (np.arange(new) + 0.5) * old / new
    distance = np.abs(np.arange(old)[None] + 0.5 - centres[:, None]) / scale
    weights = np.maximum(1 - distance, 0)
    return weights / weights.sum(1, keepdims=True)


def resize(values, height, width):
    if values.shape[1:] == (height, width):
        return values
    rows = resize_weights(values.shape[1], height)
    columns = resize_weights(values.shape[2], width)
    return np.stack([rows @ channel @ columns.T for channel in values])


# Recordings

def read_wave(path):
    """The mean of the channels, full scale 1, and the rate."""
    rate, samples = wavfile.read(path)
    kind = samples.dtype
    samples = samples.astype(np.float64)
    if kind == np.uint8:
        samples = (samples - 128) / 128
    elif kind.kind == "i":
        samples /= 2.0 ** (8 * kind.itemsize - 1)  # 24 bits come in the upper ones of 32
    return (samples.mean(1) if samples.ndim > 1 else samples), rate


def resample(samples, old, new):
    """A sinc of 6 zero crossings on each side under a squared cosine, cut off at 0.99 of Nyquist."""
    divisor = math.gcd(old, new)
    old, new = old // divisor, new // divisor
    if old == new:
        return samples
    if max(old, new) > 1000:
        sys.exit(f"a ratio of {old} to {new}: the program approximates it, this script does not")
    base = min(old, new) * 0.99
    count = -(-len(samples) * new // old)
    places = np.arange(count) / new  # in units of `old` samples
    reach = math.ceil(6 * old / base)
    nearest = (places * old).astype(int)
    taps = nearest[:, None] + np.arange(-reach - 1, reach + 2)
    time = (taps / old - places[:, None]) * base
    kernel = np.where(
        np.abs(time) < 6, np.sinc(time) * np.cos(time * np.pi / 12) ** 2 * base / old, 0)
    is_inside = (taps >= 0) & (taps < len(samples))
    return (kernel * np.where(is_inside, samples[np.clip(taps, 0, len(samples) - 1)], 0)).sum(1)


def hertz(mel):
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def mel_bank(view):
    """[M, F]: triangles of area 1 per Hz of half their width."""
    rate, size, bands = view["sampleRate"], view["fftLength"], view["melCount"]
    top = rate / 2 * 3 / 200 if rate / 2 < 1000 else 15 + math.log(rate / 2000) * 27 / math.log(6.4)
    edges = hertz(np.linspace(0, top, bands + 2))
    bins = np.arange(size // 2 + 1) * rate / size
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    return np.maximum(triangles, 0) * 2 / (high - low)


def log_mel(samples, view):
    """ln of the power in each band, [M, T], in nats."""
    size, hop = view["fftLength"], view["hopLength"]
    if len(samples) <= size // 2:
        samples = np.pad(samples, (0, size // 2 + 1 - len(samples)))
    padded = np.pad(samples, size // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    return np.log(np.maximum(mel_bank(view) @ power.T, 1e-12))


def log_mel_features(path, view):
    """[1, M, T] in 0…1, and the level in nats that 1 stands for."""
    samples, rate = read_wave(path)
    logs = log_mel(resample(samples, rate, view["sampleRate"]), view)
    peak = logs.max()
    if peak <= math.log(1e-11):
        return np.zeros((1, *logs.shape)), peak
    reference = view.get("referenceNats", peak)
    return np.maximum(1 + (logs - reference) / view["rangeNats"], 0)[None], peak


# Windows

def starts(length, window, stride):
    if length <= window:
        return [0]
    return [*range(0, length - window, stride), length - window]


def cut(values, windowing):
    """[n, C, H, W]."""
    height, width = windowing["height"], windowing["width"]
    if windowing["mode"] == "whole":
        return values[None]
    missing = [max(0, height - values.shape[1]), max(0, width - values.shape[2])]
    around = [(0, 0)] + [(m // 2, m - m // 2) for m in missing]
    silent = windowing["mode"] == "frames"
    values = np.pad(values, around, **({} if silent else {"mode": "edge"}))
    return np.stack([
        values[:, y:y + height, x:x + width]
        for y in starts(values.shape[1], height, windowing["stride"])
        for x in starts(values.shape[2], width, windowing["stride"])])


def windows_of(path, record):
    preprocessing = record["preprocessing"]
    (name, view), = preprocessing["view"].items()
    if name == "pixels":
        values = read_image(path, view["channelCount"], view["background"])
    elif name == "log-mel":
        values = log_mel_features(path, view)[0]
    else:
        sys.exit(f"the view {name} is unknown to this script")
    (name, numbers), = preprocessing.get("transform", {"none": {}}).items()
    windowing, side = preprocessing["windowing"], numbers.get("cellSide", 1)
    if windowing["mode"] == "whole":
        values = resize(values, windowing["height"] * side, windowing["width"] * side)
    windows = cut(TRANSFORMS[name](values, numbers), windowing)
    return np.stack([FINISHES[name](window) for window in windows])


# Views for detection

def blur(values, sigma):
    """[C, H, W] with a Gaussian, edges repeated."""
    radius = math.ceil(3 * sigma)
    taps = np.exp(-np.arange(-radius, radius + 1) ** 2 / (2 * sigma**2))
    taps /= taps.sum()
    for axis in (1, 2):
        around = [(radius, radius) if axis == other else (0, 0) for other in range(3)]
        near = np.lib.stride_tricks.sliding_window_view(
            np.pad(values, around, mode="edge"), len(taps), axis)
        values = near @ taps
    return values


def pool(values, side):
    channels, height, width = values.shape
    return np.stack([
        np.stack([values[:, y:y + side, x:x + side].mean((1, 2)) for x in range(0, width, side)], 1)
        for y in range(0, height, side)], 1)


def smooth_cells(values, numbers):
    return pool(blur(values, numbers["blurSigma"]), numbers["cellSide"])


def gradient_cells(values, numbers):
    padded = np.pad(blur(values, numbers["blurSigma"]), ((0, 0), (1, 1), (1, 1)), mode="edge")
    along_x = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    along_y = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    magnitudes = np.hypot(along_x, along_y)
    strongest = magnitudes.argmax(0)[None]
    magnitude = np.take_along_axis(magnitudes, strongest, 0)[0]
    angle = np.take_along_axis(np.arctan2(along_y, along_x), strongest, 0)[0]
    count = numbers["orientationCount"]
    directions = 2 * np.pi * np.arange(count)[:, None, None] / count
    maps = magnitude * np.maximum(0, np.cos(angle - directions)) ** 3
    return pool(blur(maps, numbers["spreadSigma"]), numbers["cellSide"])


def contrast_cells(values, numbers):
    logs = pool(np.log(np.maximum(values, 0) + 0.05), numbers["cellSide"])
    difference = logs - blur(logs, numbers["innerSigma"])
    return 0.25 * difference / (blur(np.abs(difference), numbers["outerSigma"]) + 0.02)


def gradient_window(window):
    mean = window.mean()
    return 0.5 * np.sqrt(np.maximum(window, 0) / mean) if mean > 1e-7 else np.zeros_like(window)


TRANSFORMS = {
    "none": lambda values, numbers: values, "smooth": smooth_cells, "gradients": gradient_cells,
    "contrast": contrast_cells}
FINISHES = {
    "none": lambda window: window, "smooth": lambda window: window, "gradients": gradient_window,
    "contrast": lambda window: window - window.mean()}
