"""Do files of `latent augment` make a classifier better? A table of accuracies, and paired differences.

    ./.libtorch-python Tools/usefulness.py DATA [--n 10] [--seeds 5] [--rows real,classic,…]
        [--group speaker] [--imbalance [--classes 8,…]] [--cache DIR] [--latent PATH]

DATA has train/CLASS/ and test/CLASS/ with PNGs or WAVs. For each seed, --n real files of each class
are drawn from DATA/train; `latent train --for augmentation` reads these alone, `latent augment` writes
1000 files of each class from them, and one small network (two 3x3 convolutions; 600 steps of AdamW
with batches of 64) is trained on each row and asked about all of DATA/test:

    real             the real files alone
    classic          each real file changed anew at each step: images turned by up to 14 degrees,
                     scaled by up to 15 % and shifted by up to 7.5 % of a side; recordings shifted by
                     an eighth of the frames, louder or softer, with noise, bands and frames hidden
    classic+elastic  and warped smoothly by a grid of 4x4 random shifts (sd 5 % of a side)
    smote            half of a batch real, half between a real file and one of its 5 nearest of the
                     same class, pixel by pixel or mel by mel (Chawla 2002)
    random           half real, half real files deformed by random numbers: those of a deformation of
                     `latent`, each independent and normal, of the same root mean square as `ours`
    ours             half real, half `latent augment --method deform`
    random+classic, smote+classic, ours+classic
                     the same, and all of it changed as in `classic`
    random alone, smote alone, ours alone
                     no real files at all (TSTR)
    density, density+classic, prior…
                     as ours, of the autoencoder's own samples (--rows asks for them)

Every setting stands here and is the same for all data; none was chosen on DATA/test. Recordings are
the log-mel spectrograms of their WAV files, 40 bands of frames of 256 samples at half overlap and
8 kHz, in the middle of 48 frames, also those that `latent` writes.

Printed are means over the seeds with standard deviations, and paired differences with 95 % intervals
of Student's t over the seeds. With --group, rows are of test files whose group (the second part of
the file's name between underscores, as FSDD has it) is in none of the real ones: a seed keeps one
group for the test, in turn, and draws from the others, of both folders.

--imbalance: one class has --n files and the others --others (200); balanced accuracy and the rare
class's recall, over every class in turn, each row filling up the rare class to the others' count:

    real, classic                nothing filled up
    resample, resample+classic   the rare files more often
    smote, smote+classic         with SMOTE
    random, random+classic       with random deformations of the size of ours
    ours, ours+classic           with files of `latent augment --method deform`
    all, all+classic             half of a batch real, the rare ones more often, half deformed files of
                                 every class alike (--per-class), so that what deformed files look
                                 like does not tell the rare class

Files and figures are kept in --cache (usefulness-cache below the folder for temporary files), so that a run
can go on, or have further seeds or rows.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch

import fractions

import numpy as np
import scipy.stats
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import nn

import deformation

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
VERSION = 1  # of what is kept: another one forgets all of it

RATE, FRAME, HOP, BANDS, FRAMES, RANGE_NATS = 8000, 256, 128, 40, 48, 10
STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 600, 64, 1e-3, 1e-2
FILES_OF_CLASS = 1000

ROWS = ["real", "classic", "classic+elastic", "smote", "random", "ours", "smote+classic",
        "random+classic", "ours+classic", "smote alone", "random alone", "ours alone"]
IMBALANCE_ROWS = ["real", "classic", "resample", "resample+classic", "smote", "smote+classic",
                  "random", "random+classic", "ours", "ours+classic", "all", "all+classic"]
PAIRS = [
    ("ours", "real"), ("ours", "random"), ("ours", "smote"), ("ours alone", "real"),
    ("ours alone", "classic"), ("classic+elastic", "classic"), ("ours+classic", "classic"),
    ("ours+classic", "classic+elastic"), ("ours+classic", "random+classic"),
    ("ours+classic", "smote+classic")]
IMBALANCE_PAIRS = [
    ("ours", "resample"), ("ours", "smote"), ("ours", "random"),
    ("ours+classic", "resample+classic"), ("ours+classic", "smote+classic"),
    ("ours+classic", "random+classic"), ("ours+classic", "smote"), ("all", "resample"),
    ("all+classic", "resample+classic"), ("all+classic", "smote+classic")]


# Files to tensors.

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


def files_of(folder):
    return {d.name: sorted(p for p in d.iterdir() if p.suffix in (".png", ".wav"))
            for d in sorted(folder.iterdir()) if d.is_dir()}


# The classifier, the same for all rows.

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


def accuracy_of(draw, shape, classes, test, seed):
    """Predictions for the test files of a network that sees `draw(step)` at each step."""
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
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in test.split(500)])


# What is drawn.

def pick(x, y, count):
    rows = torch.randint(0, len(x), (count,))
    return x[rows], y[rows]


def smote(x, y, count, neighbours=5):
    """Between a file and one of its nearest of the same class."""
    flat = x.flatten(1)
    made, labels = [], []
    for row in torch.randint(0, len(x), (count,)).tolist():
        mates = torch.nonzero(y == y[row]).flatten()
        mates = mates[mates != row]
        distances = (flat[mates] - flat[row]).square().sum(1)
        nearest = mates[distances.argsort()[:neighbours]]
        other = nearest[torch.randint(0, len(nearest), (1,))]
        made.append(x[row] + torch.rand(1) * (x[other[0]] - x[row]))
        labels.append(y[row])
    return torch.stack(made), torch.stack(labels)


def strengths(model, x, y, count):
    """Numbers of deformations [count, 96] as `latent augment --method deform` draws them."""
    net = deformation.Network.of(model)
    size = record_of(model)["deformation"]
    small = F.interpolate(x, (size["height"], size["width"]), mode="bilinear", antialias=True,
                          align_corners=False)
    first = torch.randint(0, len(x), (count,))
    second = torch.stack([
        mates[torch.randint(0, len(mates), (1,))[0]]
        for mates in (torch.nonzero((y == y[i]) & (torch.arange(len(y)) != i)).flatten()
                      for i in first)])
    mean, log_variance = net.posterior(torch.cat([small[first], small[second]], 1))
    z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
    return net.numbers(z) * 1.3 * torch.rand(count, 1)


def record_of(model):
    with open(model, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(json.loads(file.read(length))["__metadata__"]["record"])


def randomly(model, x, y, count, is_sound):
    """Real files, deformed by independent numbers of the size of ours."""
    size = strengths(model, x, y, 2000).square().mean(0).sqrt()
    a, b = pick(x, y, count)
    numbers = torch.randn(count, deformation.COUNT) * size
    return torch.cat([
        deformation.apply(n, part, repeats_edges=not is_sound)
        for n, part in zip(numbers.split(500), a.split(500))]), b


class Real:
    """The real files of a seed, the model of them, and what it draws."""

    def __init__(self, args, files, seed, key):
        self.args, self.seed, self.key = args, seed, key
        self.names = sorted(files)
        self.folder = args.cache / key
        self.paths = [(path, k) for k, name in enumerate(self.names) for path in files[name]]
        self.x = read([path for path, _ in self.paths])
        self.y = torch.tensor([k for _, k in self.paths])
        self.is_sound = self.paths[0][0].suffix == ".wav"

    def run(self, *arguments):
        run = subprocess.run([str(self.args.latent), *map(str, arguments)], capture_output=True,
                             text=True)
        if run.returncode:
            raise SystemExit(run.stderr)

    def data(self):
        folder = self.folder / "real"
        if not folder.exists():
            for path, k in self.paths:
                (folder / self.names[k]).mkdir(parents=True, exist_ok=True)
                # Names of both folders may be the same.
                name = hashlib.sha256(str(path).encode()).hexdigest()[:8]
                shutil.copy(path, folder / self.names[k] / f"{path.stem}-{name}{path.suffix}")
        return folder

    def model(self):
        model = self.folder / "model.safetensors"
        if not model.exists():
            self.run("train", self.data(), "-o", model, "--for", "augmentation", "--seed",
                     self.seed, "--threads", 1, "--quiet", "--force")
        return model

    def files(self, method, parents, amount, name):
        """Tensors of the files that `latent augment` makes of a folder."""
        kept = self.folder / f"{name}.pt"
        if not kept.exists():
            model = self.model()
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                self.run("augment", "-m", model, *([parents] if parents else []), "-o",
                         f"{folder}/new", *amount, "--method", method, "--seed", self.seed,
                         "--threads", 1, "--quiet")
                made = files_of(pathlib.Path(folder) / "new")
                pairs = [(p, k) for k, n in enumerate(self.names) for p in made.get(n, [])]
                if not pairs:
                    raise SystemExit(f"--method {method} gives no labels; leave its rows out")
                x = (255 * read([p for p, _ in pairs])).round().byte()
                torch.save((x, torch.tensor([k for _, k in pairs])), kept)
        x, y = torch.load(kept)
        return x.float() / 255, y


def source(real, row):
    """What `accuracy_of` draws from."""
    name, isolated = row.removesuffix(" alone"), row.endswith(" alone")
    kind, _, further = name.partition("+")
    elastic = "elastic" in row
    classic = kind == "classic" or further == "classic"
    count = FILES_OF_CLASS * len(real.names)
    amount = ["-n", count]
    torch.manual_seed(real.seed + 1000)
    if kind in ("real", "classic"):
        made = None
    elif kind == "smote":
        made = smote(real.x, real.y, count)
    elif kind == "random":
        made = randomly(real.model(), real.x, real.y, count, real.is_sound)
    elif kind == "ours":
        made = real.files("deform", real.data(), amount, "deform")
    elif kind in ("posterior", "interpolate"):
        made = real.files(kind, real.data(), amount, kind)
    else:
        made = real.files(kind, None, amount, kind)

    def draw():
        if made is None:
            x, y = pick(real.x, real.y, BATCH)
        elif isolated:
            x, y = pick(*made, BATCH)
        else:
            (a, b), (c, d) = pick(real.x, real.y, BATCH // 2), pick(*made, BATCH // 2)
            x, y = torch.cat([a, c]), torch.cat([b, d])
        return (vary(x, real.is_sound, elastic) if classic else x), y
    return draw


def imbalanced_source(real, row, rare, fill):
    """The real files, the rare class filled up; batches are drawn from all of them."""
    kind, _, further = row.partition("+")
    classic = kind == "classic" or further == "classic"
    x, y = real.x, real.y
    own = (y == rare)
    torch.manual_seed(real.seed + 1000)
    deformed = None
    if kind in ("resample", "all"):
        a, b = pick(x[own], y[own], fill)
        if kind == "all":
            deformed = real.files("deform", real.data(), ["--per-class", int(own.sum()) + fill], "all")
    elif kind == "smote":
        a, b = smote(x[own], y[own], fill)
    elif kind == "random":
        size = strengths(real.model(), x, y, 2000).square().mean(0).sqrt()
        a, b = pick(x[own], y[own], fill)
        a = deformation.apply(torch.randn(fill, deformation.COUNT) * size, a,
                              repeats_edges=not real.is_sound)
    elif kind == "ours":
        # All files are named, so that half of the rare ones are deformed by pairs of any class.
        a, b = real.files("deform", real.data(), ["--counts", f"{real.names[rare]}={fill}"], "fill")
    if kind not in ("real", "classic"):
        x, y = torch.cat([x, a]), torch.cat([y, b])

    def draw():
        a, b = pick(x, y, BATCH // (2 if deformed else 1))
        if deformed:
            c, d = pick(*deformed, BATCH // 2)
            a, b = torch.cat([a, c]), torch.cat([b, d])
        return (vary(a, real.is_sound) if classic else a), b
    return draw


# Seeds and figures.

def chosen(files, count, seed):
    """`count` files of each class, or as many as there are, by the seed."""
    order = np.random.default_rng(seed)
    result = {}
    for k, name in enumerate(sorted(files)):
        most = count[k] if isinstance(count, list) else count
        places = order.permutation(len(files[name]))[:most]
        result[name] = [files[name][i] for i in sorted(places)]
    return result


def key_of(*parts):
    return hashlib.sha256(json.dumps([VERSION, *map(str, parts)]).encode()).hexdigest()[:16]


class Figures:
    """Figures by row and seed, kept in a file."""

    def __init__(self, path):
        self.path = path
        self.values = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name, compute):
        if name not in self.values:
            self.values[name] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".new")
            temporary.write_text(json.dumps(self.values))
            temporary.replace(self.path)
        return self.values[name]


def interval(values):
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, float("nan")
    error = statistics.stdev(values) / len(values) ** 0.5
    return mean, error * scipy.stats.t.ppf(0.975, len(values) - 1)


def table(title, rows, pairs, figures):
    """figures[row] is a list, a figure for each seed, in percent."""
    print(f"\n{title}\n{'':18}{'mean':>7}{'sd':>7}   each")
    for row in rows:
        values = figures[row]
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        print(f"{row:18}{statistics.mean(values):7.1f}{spread:7.1f}   "
              + " ".join(f"{v:.1f}" for v in values))
    print("\npaired differences, 95 % intervals over "
          f"{len(next(iter(figures.values())))} seeds")
    for a, b in pairs:
        if a in figures and b in figures:
            mean, half = interval([x - y for x, y in zip(figures[a], figures[b])])
            verdict = "above 0" if mean - half > 0 else "below 0" if mean + half < 0 else "open"
            print(f"{a + ' - ' + b:36}{mean:+6.1f}  [{mean - half:+.1f}, {mean + half:+.1f}]  "
                  f"{verdict}")
    if "real" in figures and "ours alone" in figures:
        ratios = [a / b for a, b in zip(figures["ours alone"], figures["real"])]
        mean, half = interval(ratios)
        print(f"{'ours alone / real':36}{mean:6.3f}  [{mean - half:.3f}, {mean + half:.3f}]")


def few(args, files, test_files):
    rows = args.rows or ROWS
    groups = []
    if args.group:
        merged = {name: files[name] + test_files.get(name, []) for name in files}
        groups = sorted({group_of(p) for paths in merged.values() for p in paths})
    figures = {row: [] for row in rows}
    for seed in range(args.seeds):
        if args.group:
            held = groups[seed % len(groups)]
            pool = {k: [p for p in v if group_of(p) != held] for k, v in merged.items()}
            tested = {k: [p for p in v if group_of(p) == held] for k, v in merged.items()}
        else:
            pool, tested = files, test_files
        names = sorted(files)
        real = Real(args, chosen(pool, args.n, seed), seed,
                    key_of(args.data.resolve(), args.n, seed, args.group))
        pairs = [(p, k) for k, name in enumerate(names) for p in tested[name]]
        test, truth = read([p for p, _ in pairs]), torch.tensor([k for _, k in pairs])
        kept = Figures(real.folder / "figures.json")

        def figure(row):
            found = accuracy_of(source(real, row), real.x.shape[1:], len(names), test, seed)
            return 100 * (found == truth).float().mean().item()

        for row in rows:
            figures[row].append(kept.get(row, lambda: figure(row)))
            print(f"seed {seed}  {row:18}{figures[row][-1]:6.1f}", flush=True)
    group = f", whole {args.group}s held out" if args.group else ""
    table(f"{args.data.name}: accuracy in %, {args.n} files a class{group}, {len(pairs)} test files",
          rows, PAIRS, figures)


def group_of(path):
    return path.stem.split("_")[1]


def imbalance(args, files, test_files):
    rows = args.rows or IMBALANCE_ROWS
    names = sorted(files)
    pairs = [(p, k) for k, name in enumerate(names) for p in test_files[name]]
    test, truth = read([p for p, _ in pairs]), torch.tensor([k for _, k in pairs])
    balanced, rare_recall = {row: [] for row in rows}, {row: [] for row in rows}
    for seed in range(args.seeds):
        for rare, name in enumerate(names):
            if args.classes and name not in args.classes:
                continue
            counts = [args.n if k == rare else args.others for k in range(len(names))]
            real = Real(args, chosen(files, counts, seed), seed,
                        key_of(args.data.resolve(), counts, seed))
            kept = Figures(real.folder / "figures.json")

            def figure(row):
                draw = imbalanced_source(real, row, rare, args.others - args.n)
                found = accuracy_of(draw, real.x.shape[1:], len(names), test, seed)
                recalls = [(found[truth == k] == k).float().mean().item() for k in range(len(names))]
                return [100 * statistics.mean(recalls), 100 * recalls[rare]]

            for row in rows:
                value = kept.get(row, lambda: figure(row))
                balanced[row].append(value[0])
                rare_recall[row].append(value[1])
                print(f"seed {seed}  rare {name}  {row:18}{value[0]:6.1f}{value[1]:7.1f}", flush=True)
    what = f"{args.data.name}: {args.n} files of one class, {args.others} of each other"
    table(f"{what}; balanced accuracy in %", rows, IMBALANCE_PAIRS, balanced)
    table(f"{what}; recall of the rare class in %", rows, IMBALANCE_PAIRS, rare_recall)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=lambda text: text.split(","))
    parser.add_argument("--group", help="hold whole groups out, such as speaker")
    parser.add_argument("--imbalance", action="store_true")
    parser.add_argument("--others", type=int, default=200)
    parser.add_argument("--classes", type=lambda text: text.split(","))
    parser.add_argument("--cache", type=pathlib.Path,
                        default=pathlib.Path(tempfile.gettempdir()) / "usefulness-cache")
    parser.add_argument("--latent", type=pathlib.Path, default=LATENT)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files, test_files = files_of(args.data / "train"), files_of(args.data / "test")
    args.cache.mkdir(parents=True, exist_ok=True)
    (imbalance if args.imbalance else few)(args, files, test_files)


if __name__ == "__main__":
    main()
