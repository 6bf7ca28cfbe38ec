"""One class normal, the others anomalous: AUROC of `latent score` beside a PCA floor.

    ./.libtorch-python Tools/detection.py DATA [--classes 0,1,…] [--seeds 1] [--samples N]
        [--workers N] [--held-out] [--floors] [-- TRAIN OPTIONS]

DATA has train/CLASS/FILE and test/CLASS/FILE, PNG or WAV. For each class one model is trained on
train/CLASS with the same settings and scores all of test/; other classes are anomalous. Printed for
each class and on average: AUROC of the score that the model chose, of the pure reconstruction
probability, of the distance to the nearest training windows in the view that the model reads, of the
mixture of small networks where the model has one, and of the floor; and the share of fresh normal files that is flagged at the stated false-alarm rate, with
the 95 % interval that the calibration and test sizes allow (beta-binomial). With --samples recordings
are cut to so many first, where their length gives the class away; with --seeds each class is trained
so often, and standard deviations over the seeds are printed. With --held-out it is the other way round:
one model is trained on all classes but one (--for detection), which is anomalous.

With --floors simple methods are fitted to the very windows that the model's first view makes of its
training files, as kept in the model: the error after 24 principal components, the distance to the three
nearest, the residual of a local linear embedding by 30 neighbours, and an isolation forest; windows
become a file as in the model.

The floor: reconstruction error after 24 principal components of the training class; images as they
are, resized to 32x32; recordings as 32 log-mel bands stretched to 32 frames.
"""

import argparse
import concurrent.futures
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image
from scipy.io import wavfile
from scipy.stats import betabinom

import rescore

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"


def auroc(normal, anomalous):
    """Probability that an anomaly scores above a normal file, ties counting half."""
    scores = np.concatenate([normal, anomalous])
    order = np.argsort(scores, kind="mergesort")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for value in np.unique(scores[np.diff(np.sort(scores), prepend=np.nan) == 0]):
        ranks[scores == value] = ranks[scores == value].mean()
    n, m = len(normal), len(anomalous)
    return (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)


def image_features(path):
    picture = Image.open(path).convert("L").resize((32, 32), Image.BILINEAR)
    return np.asarray(picture, np.float64).ravel() / 255


def audio_features(path):
    rate, signal = wavfile.read(path)
    signal = signal.astype(np.float64)
    if signal.ndim > 1:
        signal = signal.mean(1)
    signal /= max(np.abs(signal).max(), 1e-9)
    size = 1 << round(np.log2(rate * 0.032))
    if len(signal) < size:
        signal = np.pad(signal, (0, size - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2
    edges = 700 * (np.exp(np.linspace(0, np.log(1 + rate / 2 / 700), 34)) - 1)
    bins = np.fft.rfftfreq(size, 1 / rate)
    bank = np.stack([
        np.clip(np.minimum((bins - a) / (b - a), (c - bins) / (c - b)), 0, None)
        for a, b, c in zip(edges, edges[1:], edges[2:])
    ])
    logs = np.log(power @ bank.T + 1e-6)
    places = np.linspace(0, len(logs) - 1, 32)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, len(logs) - 1)
    weight = (places - low)[:, None]
    return (logs[low] * (1 - weight) + logs[high] * weight).ravel()


def shortened(data, folder, samples):
    """A copy of the recordings with their first samples alone."""
    for path in sorted(data.rglob("*.wav")):
        rate, signal = wavfile.read(path)
        target = folder / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(target, rate, signal[:samples])
    return folder


def normals(data, name, held_out):
    """The training files of a class, or of all others."""
    return sorted(
        path for folder in (data / "train").iterdir() if (folder.name == name) != held_out
        for path in folder.iterdir())


def floor(data, name, tests, held_out):
    def features(path):
        return audio_features(path) if path.suffix == ".wav" else image_features(path)

    train = np.stack([features(p) for p in normals(data, name, held_out)])
    mean = train.mean(0)
    components = np.linalg.svd(train - mean, full_matrices=False)[2][:24]
    test = np.stack([features(p) for p in tests]) - mean
    return ((test - test @ components.T @ components) ** 2).sum(1)


def embedded(train, x, nearest, regularisation=1e-2):
    """Squared residual of each row of x as an affine combination of its nearest training rows."""
    residuals = np.empty(len(x))
    for index, (row, places) in enumerate(zip(x, nearest)):
        offsets = train[places] - row
        gram = offsets @ offsets.T
        gram += np.eye(len(gram)) * (regularisation * np.trace(gram) / len(gram) + 1e-12)
        weights = np.linalg.solve(gram, np.ones(len(gram)))
        residuals[index] = (((weights / weights.sum()) @ offsets) ** 2).sum()
    return residuals


def floors_on_view(model, paths):
    """Scores of files by methods on the view of a model, by name."""
    from sklearn.ensemble import IsolationForest
    record, weights = rescore.read_model(model)
    train = weights["score.neighbours.kept"]
    mean = train.mean(0)
    components = np.linalg.svd(train - mean, full_matrices=False)[2][:24]
    forest = IsolationForest(n_estimators=200, random_state=0).fit(train)
    squares = (train**2).sum(1)
    scores = {}
    for path in paths:
        windows = rescore.windows_of(path, record)
        x = windows.reshape(len(windows), -1)
        distances = np.maximum(0, (x**2).sum(1)[:, None] + squares - 2 * x @ train.T)
        nearest = np.argsort(distances, 1)[:, :30]
        offsets = x - mean
        for name, values in {
            "PCA": ((offsets - offsets @ components.T @ components) ** 2).sum(1),
            "neighbours": np.take_along_axis(distances, nearest[:, :3], 1).mean(1),
            "LLE": embedded(train, x, nearest), "isolation forest": -forest.score_samples(x),
        }.items():
            scores.setdefault(name, []).append(rescore.aggregate(values, record["aggregate"]))
    return {name: np.array(values) for name, values in scores.items()}


def one_class(data, name, seed, held_out, with_floors, options):
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.safetensors"
        start = time.time()
        subprocess.run(
            [LATENT, "train", "-0", "-", "-o", model, "--quiet", "--seed", str(seed),
             *(["--for", "detection"] if held_out else []), *options], check=True,
            input="\0".join(map(str, normals(data, name, held_out))), text=True,
            stderr=subprocess.DEVNULL)
        seconds = time.time() - start
        lines = subprocess.run(
            [LATENT, "score", "-m", model, data / "test", "--quiet"], check=True,
            capture_output=True, text=True).stdout
        record = json.loads(subprocess.run(
            [LATENT, "inspect", model, "--format", "json"], check=True, capture_output=True,
            text=True).stdout)
        rows = [json.loads(line) for line in io.StringIO(lines)]
        on_view = floors_on_view(model, [row["path"] for row in rows]) if with_floors else {}
    is_normal = np.array([(row["label"] == name) != held_out for row in rows])
    score = np.array([row["score"] for row in rows])

    def figure(name):
        return np.array([row["components"].get(name, np.nan) for row in rows], float)

    def auroc_of(values):
        return (
            auroc(values[is_normal], values[~is_normal]) if np.isfinite(values).all() else np.nan)

    floors = floor(data, name, [pathlib.Path(row["path"]) for row in rows], held_out)
    flagged = np.array([bool(row["anomaly"]) for row in rows])[is_normal].sum()
    calibration = len(record["calibration"]["scoresByKind"][rows[0]["kind"]])
    rate = record["calibration"]["falseAlarmRate"]
    rank = int((calibration + 1) * rate)
    interval = (0, 0)
    if rank:
        spread = betabinom(int(is_normal.sum()), rank, calibration + 1 - rank)
        interval = (spread.ppf(0.025), spread.ppf(0.975))
    return dict(
        name=name, seed=seed, auroc=auroc_of(score),
        probability=auroc_of(-figure("reconstruction_nats")),
        neighbours=auroc_of(figure("neighbours")), mixture=auroc_of(figure("mixture")),
        on_view={name: auroc_of(values) for name, values in on_view.items()},
        floor=auroc_of(floors), flagged=int(flagged),
        normals=int(is_normal.sum()), low=int(interval[0]), high=int(interval[1]),
        calibration=calibration, rate=rate, seconds=seconds,
        epochs=len(record["training"]["epochs"]))


def main():
    arguments = sys.argv[1:]
    options = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, options = arguments[:cut], arguments[cut + 1:]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--classes", help="comma-separated; all in train/ by default")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--samples", type=int, help="of each recording that are kept")
    parser.add_argument(
        "--held-out", action="store_true", help="all classes but one are normal")
    parser.add_argument(
        "--floors", action="store_true", help="also simple methods on the view of the model")
    parser.add_argument("--workers", type=int, default=1, help="classes at once")
    args = parser.parse_args(arguments)
    names = args.classes.split(",") if args.classes else sorted(
        p.name for p in (args.data / "train").iterdir())
    print(f"{args.data.name}: latent train {' '.join(options) or '(defaults)'}")
    print(
        f"{'held out' if args.held_out else 'normal  '}    score         RP  neighbours  mixture"
        "  PCA floor  flagged normals (95 % interval)   s"
        "  epochs")
    results = []
    folder = tempfile.TemporaryDirectory()
    if args.samples:
        args.data = shortened(args.data, pathlib.Path(folder.name), args.samples)
    runs = [(name, seed) for seed in range(args.seeds) for name in names]
    with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
        for r in pool.map(lambda run: one_class(args.data, *run, args.held_out, args.floors, options), runs):
            results.append(r)
            print(
                f"{r['name']:8} {r['auroc']:8.4f} {r['probability']:10.4f} {r['neighbours']:11.4f} "
                f"{r['mixture']:8.4f} {r['floor']:10.4f}  "
                f"{r['flagged']:3}/{r['normals']} ({r['low']}–{r['high']}) at {r['rate']} from "
                f"{r['calibration']:3} {r['seconds']:8.1f} {r['epochs']:4}", flush=True)
    inside = sum(r["low"] <= r["flagged"] <= r["high"] for r in results)
    share = sum(r["flagged"] for r in results) / sum(r["normals"] for r in results)
    keys = ("auroc", "probability", "neighbours", "mixture", "floor", "seconds")
    mean = {k: np.mean([r[k] for r in results]) for k in keys}
    print(
        f"mean     {mean['auroc']:8.4f} {mean['probability']:10.4f} {mean['neighbours']:11.4f} "
        f"{mean['mixture']:8.4f} {mean['floor']:10.4f}  {100 * share:.1f} % flagged, {inside} of {len(results)} inside "
        f"{mean['seconds']:10.1f}")
    for key in results[0]["on_view"]:
        print(f"on the view, {key:16} {np.mean([r['on_view'][key] for r in results]):8.4f}")
    print(f"worst    {min(r['auroc'] for r in results):8.4f}")
    if args.seeds > 1:
        spread = {
            k: np.std(
                [np.mean([r[k] for r in results if r["seed"] == s]) for s in range(args.seeds)],
                ddof=1) for k in ("auroc", "probability", "neighbours")}
        print(
            f"seeds ± {spread['auroc']:9.4f} {spread['probability']:10.4f} "
            f"{spread['neighbours']:11.4f}")


if __name__ == "__main__":
    main()
