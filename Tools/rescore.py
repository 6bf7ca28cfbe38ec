"""Recomputes scores in NumPy from the model file alone and sets them beside `latent score`.

    ./.libtorch-python Tools/rescore.py MODEL FILE... [--draws 4096] [--seed 1] [--latent PATH]

Nothing is shared with the program but the file: reading, resizing or log-mel, windows, networks,
likelihood, draws, aggregation, distances, ensemble and p-value are written again here, in float64 and
without torch. `latent score` is told to multiply in float32, as products of bfloat16, in which some models
score, differ by up to 2 % where a file is far from all that was trained on. The draws are other ones, so the
two agree as two estimates do: the difference shrinks with 1/√draws. Printed for each file and figure: ours, NumPy's, their relative difference, and for the drawn figures the
difference in standard errors of a difference.

Exit code 1 when a figure differs by more than 0.5 % (of at least 0.1 nats, as KL may be nearly 0)
and, where it is drawn, by more than 5 standard errors (a log-density may lie near 0, and a per cent
of that is less than the noise).
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import safetensors
from PIL import Image
from scipy.io import wavfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"


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


# Networks

def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def silu(x):
    return x * sigmoid(x)


def relu(x):
    return np.maximum(x, 0)


class Network:
    """The networks of a model: 4×4 convolutions of stride 2 and padding 1, or linear layers."""

    def __init__(self, record, weights):
        self.record, self.weights = record, weights
        self.shape = record["configuration"]
        self.window = [self.shape[key] for key in ("channelCount", "height", "width")]

    def linear(self, path, x):
        return x @ self.weights[path + ".weight"].T + self.weights[path + ".bias"]

    def halve(self, path, x):
        weight, bias = self.weights[path + ".weight"], self.weights[path + ".bias"]
        batch, channels, height, width = x.shape
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        patches = np.lib.stride_tricks.sliding_window_view(x, (4, 4), (2, 3))[:, :, ::2, ::2]
        patches = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, channels * 16)
        y = patches @ weight.reshape(len(weight), -1).T + bias
        return y.reshape(batch, height // 2, width // 2, -1).transpose(0, 3, 1, 2)

    def double(self, path, x):
        weight, bias = self.weights[path + ".weight"], self.weights[path + ".bias"]
        batch, channels, height, width = x.shape
        outputs = weight.shape[1]
        parts = x.transpose(0, 2, 3, 1).reshape(-1, channels) @ weight.reshape(channels, -1)
        parts = parts.reshape(batch, height, width, outputs, 4, 4)
        y = np.zeros((batch, 2 * height + 2, 2 * width + 2, outputs))
        for row in range(4):
            for column in range(4):
                y[:, row:row + 2 * height:2, column:column + 2 * width:2] += (
                    parts[..., row, column])
        return (y[:, 1:-1, 1:-1] + bias).transpose(0, 3, 1, 2)

    def encode(self, x):
        """Mean and log-variance, [B, D] each."""
        h = x * 2 - 1
        count = len(self.shape["widths"])
        if self.shape["architecture"] == "conv":
            for index in range(count):
                h = relu(self.halve(f"encoder.{index}", h))
        h = h.reshape(len(x), -1)
        if self.shape["architecture"] == "mlp":
            for index in range(count):
                h = silu(self.linear(f"encoder.{index}", h))
        mean, log_variance = np.split(self.linear("encoder.posterior", h), 2, 1)
        return mean, np.clip(log_variance, -8, 4)

    def decode(self, z):
        """What the decoder gives: logits, or means; [B, C, H, W]."""
        count = len(self.shape["widths"])
        if self.shape["architecture"] == "mlp":
            h = z
            for index in range(count + 1):
                h = self.linear(f"decoder.{index}", h)
                if index < count:
                    h = silu(h)
            return h.reshape(len(z), *self.window)
        h = relu(self.linear("decoder.0", z))
        h = h.reshape(len(z), -1, self.window[1] >> count, self.window[2] >> count)
        for index in range(count):
            h = self.double(f"decoder.{index + 1}", h)
            if index + 1 < count:
                h = relu(h)
        return h

    def expectation(self, z):
        """E[x|z]."""
        output = self.decode(z)
        return sigmoid(output) if self.shape["likelihood"] == "bernoulli" else output

    def log_probability(self, x, z):
        """log p(x|z) in nats and the mean squared error of one window under each draw, [L]."""
        output = self.decode(z)
        kind = self.shape["likelihood"]
        if kind == "bernoulli":
            # log of the probability of 1, and of 0
            one, zero = -np.logaddexp(0, -output), -np.logaddexp(0, output)
            logs = x * one + (1 - x) * zero
            mean = sigmoid(output)
            return logs.sum((1, 2, 3)), ((x - mean) ** 2).mean((1, 2, 3)), mean
        log_variance = self.weights["likelihood.log_scale"].item()
        if kind == "gaussian-per-element":
            h = silu(self.linear("variance.0", z))
            ratio = sigmoid(self.linear("variance.1", h)) * 6 - 3
            log_variance = log_variance + ratio.reshape(len(z), *self.window)
        squared = (x - output) ** 2
        logs = -0.5 * (squared * np.exp(-log_variance) + log_variance + math.log(2 * math.pi))
        return logs.sum((1, 2, 3)), squared.mean((1, 2, 3)), output


# Scores

def aggregate(values, kind):
    if kind == "mean":
        return values.mean()
    count = 1 if kind == "max" else max(1, len(values) // (10 if kind == "top-tenth" else 100))
    return np.sort(values)[::-1][:count].mean()


def rescore(path, network, draw_count, generator):
    """Each figure of a file, larger is more anomalous, and its standard error."""
    windows = windows_of(path, network.record)
    means, log_variances = network.encode(windows)
    divergence = 0.5 * (means**2 + np.exp(log_variances) - log_variances - 1).sum(1)
    reconstruction, errors, deviations, spreads, rebuilt = [], [], [], [], []
    for window, mean, log_variance in zip(windows, means, log_variances):
        logs, squares, total = [], [], 0
        for start in range(0, draw_count, 128):
            noise = generator.standard_normal((min(128, draw_count - start), len(mean)))
            log, square, output = network.log_probability(
                window[None], mean + np.exp(log_variance / 2) * noise)
            total = total + output.sum(0)
            logs.append(log)
            squares.append(square)
        logs, squares = np.concatenate(logs), np.concatenate(squares)
        rebuilt.append(total / draw_count)
        reconstruction.append(logs.mean())
        errors.append(squares.mean())
        deviations.append(logs.std() / math.sqrt(draw_count))
        spreads.append(squares.std() / math.sqrt(draw_count))
    kind = network.record["aggregate"]
    reconstruction, deviations = np.array(reconstruction), np.array(deviations)

    def joint(deviations):
        """Of a mean of independent windows; of the largest ones, no more than this."""
        each = np.array(deviations)
        return math.sqrt((each**2).sum()) / len(each) if kind == "mean" else each.max()

    return distances(network, windows, means, np.stack(rebuilt), kind) | {
        "reconstruction_nats": (-aggregate(-reconstruction, kind), joint(deviations)),
        "kl_nats": (aggregate(divergence, kind), None),
        "negative_elbo_nats": (aggregate(divergence - reconstruction, kind), joint(deviations)),
        "mse": (aggregate(np.array(errors), kind), joint(spreads)),
    }, len(windows)


def distances(network, windows, means, rebuilt, kind):
    """The fitted scores that the model has; they are next to free of noise."""
    weights, flat = network.weights, windows.reshape(len(windows), -1)
    if "score.residual.precision" not in weights:
        return {}
    residual = (flat - rebuilt.reshape(flat.shape)) ** 2 * weights["score.residual.precision"]
    offset = (means - weights["score.latent.mean"]) @ weights["score.latent.whitening"]
    more = {}
    if "score.neighbours.kept" in weights:
        kept = weights["score.neighbours.kept"]
        squares = np.stack([np.sort(((kept - window) ** 2).mean(1))[:3].mean() for window in flat])
        if weights.get("score.neighbours.displacement", [0])[0]:
            squares = np.stack([nearest_displaced(window, kept) for window in windows])
        more["neighbours"] = (aggregate(squares, kind), None)
    if "score.mixture.noise" in weights:
        more["mixture"] = (aggregate(mixture(weights, flat), kind), None)
    if "score.masked.scale" in weights:
        more["masked"] = (aggregate(masked(weights, windows), kind), None)
    return more | {
        "residual": (aggregate(residual.mean(1), kind), None),
        "latent": (aggregate((offset**2).mean(1), kind), None)}


def mixture(weights, flat):
    """The smallest of the networks' errors, by the draws that the model file has."""
    part = {
        path.removeprefix("score.mixture."): value.astype(np.float64)
        for path, value in weights.items() if path.startswith("score.mixture.")}
    x = (flat - part["mean"]) @ part["directions"]

    def layer(x, name):
        return x @ part[f"{name}.weight"] + part[f"{name}.bias"]

    posterior = layer(silu(layer(x[None], "encoder.0")), "encoder.1")
    count = part["noise"].shape[1]
    mean, deviation = posterior[..., :count], np.exp(
        0.5 * np.clip(posterior[..., count:], -8, 4))
    errors = np.mean([
        ((layer(silu(layer(mean + deviation * draw, "decoder.0")), "decoder.1") - x) ** 2).mean(2)
        for draw in part["noise"]], 0)
    return errors.min(0)


def masked(weights, windows):
    """The error, in units of training, of what a network says of nine blocks that are hidden in turn."""
    part = {
        path.removeprefix("score.masked."): value for path, value in weights.items()
        if path.startswith("score.masked.")}
    _, _, rows, columns = windows.shape
    x = (windows - part["mean"].reshape(windows.shape[1:])) / part["scale"]

    def parts(length):
        count = min(3, length)
        return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]

    errors = np.zeros_like(x)
    for down in parts(rows):
        for right in parts(columns):
            hidden = np.zeros((rows, columns))
            hidden[down, right] = 1
            seen = (x * (1 - hidden)).reshape(len(x), -1)
            h = np.concatenate([seen, np.repeat(hidden.reshape(1, -1), len(x), 0)], 1)
            for index in range(3):
                path = f"network.{index}."
                h = h @ part[path + "weight"].T + part[path + "bias"]
                h = silu(h) if index < 2 else h
            errors[:, :, down, right] = (h.reshape(x.shape) - x)[:, :, down, right] ** 2
    return (errors.reshape(len(x), -1) * part["scale"] ** 2 * part["precision"]).mean(1)


def nearest_displaced(window, kept):
    """The mean of the three smallest distances to the 30 nearest, cells up to one away."""
    rows, columns = window.shape[1:]
    candidates = np.argsort(((kept - window.ravel()) ** 2).sum(1))[:30]
    around = np.pad(
        kept[candidates].reshape(-1, *window.shape), ((0, 0), (0, 0), (1, 1), (1, 1)))
    best = np.inf
    for down in range(3):
        for right in range(3):
            moved = around[:, :, down:down + rows, right:right + columns]
            squares = np.pad(((window - moved) ** 2).sum(1), ((0, 0), (1, 1), (1, 1)))
            best = np.minimum(best, np.lib.stride_tricks.sliding_window_view(
                squares, (3, 3), (1, 2)).sum((3, 4)))
    return np.sort(best.sum((1, 2)))[:3].mean() / 9 / window.size


def views(record, weights):
    """The networks of each view."""
    def network(view, prefix):
        return Network(view, {
            path[len(prefix):]: value for path, value in weights.items()
            if path.startswith(prefix)})

    return [
        [network(view, prefix + (f"member.{member}." if member else ""))
         for member in range(record.get("memberCount", 1))]
        for view, prefix in [(record, "")] + [
            (view, f"view.{index}.") for index, view in enumerate(record["furtherViews"], 1)]]


def mean_of_members(path, members, draw_count, generator):
    """Each figure of a file, the mean over those networks that give it, and its standard error."""
    results = [rescore(path, network, draw_count, generator) for network in members]
    figures = {}
    for name in results[0][0]:
        given = [figures[name] for figures, _ in results if name in figures]
        errors = [error for _, error in given]
        figures[name] = (
            sum(value for value, _ in given) / len(given),
            None if None in errors else math.hypot(*errors) / len(given))
    return figures, results[0][1]


def ensemble(record, figures):
    """From the figures of each view."""
    values, weights = [], []
    for member in record["ensemble"]["members"]:
        value = figures[member["view"]][member["kind"]][0]
        values.append((math.log(max(value, 1e-30)) - member["meanLog"]) / member["deviation"])
        weights.append(member.get("weight", 1))
    return np.average(values, weights=weights)


def p_value(record, line):
    known = np.array(record["calibration"]["scoresByKind"][line["kind"]])
    return (1 + (known >= line["score"]).sum()) / (len(known) + 1) if len(known) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--draws", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1, help="of NumPy's draws")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args()
    result = subprocess.run(
        [args.latent, "score", "-m", args.model, "--draws", str(args.draws), "--format", "ndjson",
         "--precision", "float32", "--quiet", "--", *args.files], capture_output=True, text=True)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    if len(lines) != len(args.files) or any("error" in line for line in lines):
        sys.exit(f"latent score ended with {result.returncode}: {result.stderr}{result.stdout}")

    record, weights = read_model(args.model)
    networks = views(record, weights)
    generator = np.random.default_rng(args.seed)
    shape = record["configuration"]
    print(f"{shape['architecture']} {shape['widths']}, {shape['likelihood']}, L = {args.draws}")
    print("figure                        latent           NumPy  rel. diff.   std. errors  file")
    worst, farthest, failures = 0, 0, 0
    for path, line in zip(args.files, lines):
        results = [
            mean_of_members(path, members, args.draws, generator) for members in networks]
        figures, window_count = results[0]
        ours_by_name = dict(line["components"])
        if record.get("ensemble"):
            # A unit is a deviation over normal files: a hundredth of one is nothing.
            value = ensemble(record, [result[0] for result in results])
            figures["ensemble + 10"] = (value + 10, None)
            ours_by_name["ensemble + 10"] = line["components"]["ensemble"] + 10
        for view, (further, _) in zip(record["furtherViews"], results[1:]):
            (name, _), = view["preprocessing"]["transform"].items()
            figures |= {f"{name}: {key}": value for key, value in further.items()}
            ours_by_name |= {
                f"{name}: {key}": value for key, value in line["views"][name].items()}
        if line["p_value"] != p_value(record, line):
            print(f"{path}: p-value {line['p_value']}, NumPy has {p_value(record, line)}")
            failures += 1
        if window_count != line["windows"]:
            print(f"{path}: {line['windows']} windows, NumPy makes {window_count}")
            failures += 1
        for name, (value, deviation) in figures.items():
            ours = ours_by_name[name]
            floor = 0.1 if name.endswith("nats") else 1e-9
            relative = abs(ours - value) / max(abs(value), floor)
            errors = abs(ours - value) / (math.sqrt(2) * deviation + 1e-12) if deviation else None
            is_off = relative > 0.005 and (errors is None or errors > 5)
            worst, farthest = max(worst, relative), max(farthest, errors or 0)
            failures += is_off
            print(
                f"{name:20} {ours:15.6f} {value:15.6f} {relative:11.2e} "
                f"{'' if errors is None else format(errors, '.2f'):>13}  "
                f"{path}{'   DIFFERS' if is_off else ''}", flush=True)
    print(
        f"largest relative difference {worst:.2e}, largest in standard errors {farthest:.2f}; "
        f"{failures} figures differ")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
