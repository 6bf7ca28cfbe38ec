"""One class normal, the others anomalous: AUROC of `latent score` beside a PCA floor.

    ./.libtorch-python Tools/detection.py DATA [--classes 0,1,…] [--seeds 1] [--samples N]
        [--workers N] [--held-out] [--floors] [--peers] [-- TRAIN OPTIONS]

DATA has train/CLASS/FILE and test/CLASS/FILE, PNG or WAV. For each class one model is trained on
train/CLASS with the same settings and scores all of test/; other classes are anomalous. Printed for
each class: AUROC of the score that the model chose, of the pure reconstruction probability, of the
distance to the nearest training windows in the view that the model reads, of the mixture of small
networks where the model has one, and of a floor; and the share of fresh normal files that is flagged at
the stated false-alarm rate, with the 95 % interval that the calibration and test sizes allow
(beta-binomial). Then a table of all methods: mean over classes and seeds, the worst, and the processor
seconds of training, which do not depend on what else the machine does. With --samples recordings are
cut to so many first, where their length gives the class away; with --seeds each class is trained so
often, and standard deviations over the seeds are printed. With --held-out it is the other way round:
one model is trained on all classes but one (--for detection), which is anomalous.

With --floors simple methods are fitted to the very windows that the model's first view makes of its
training files, as kept in the model: the error after 24 principal components, the distance to the three
nearest, the residual of a local linear embedding by 30 neighbours, and an isolation forest; windows
become a file as in the model.

With --peers other detectors are fitted to the same files and stand in the table: an isolation forest,
PyOD's VAE, and a plain convolutional VAE; see Tools/peers.py.

The floor: reconstruction error after 24 principal components of the training class; images as they
are, resized to 32x32; recordings as 32 log-mel bands stretched to 32 frames.
"""

import argparse
import concurrent.futures
import io
import json
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np
from PIL import Image
from scipy.io import wavfile
from scipy.stats import betabinom

from arguments import divided
import rescore
import rescore_reading

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


def image_features(path, side=32):
    picture = Image.open(path).convert("L").resize((side, side), Image.BILINEAR)
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


def features(path, side=32):
    """A file as a square map, flat; recordings have 32 bands and frames whatever the side."""
    return audio_features(path) if path.suffix == ".wav" else image_features(path, side)


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


def floor(train, tests):
    """Error of the test files after 24 principal components, and seconds of reading and fitting."""
    start = time.process_time()
    x = np.stack([features(path) for path in train])
    mean = x.mean(0)
    components = np.linalg.svd(x - mean, full_matrices=False)[2][:24]
    seconds = time.process_time() - start
    test = np.stack([features(path) for path in tests]) - mean
    return ((test - test @ components.T @ components) ** 2).sum(1), seconds


def embedded(train, x, nearest, regularisation=1e-2):
    """Squared residual of each row of x as an affine combination of its nearest training rows."""
    offsets = train[nearest] - x[:, None]  # [n, k, D]
    grams = offsets @ offsets.transpose(0, 2, 1)
    count = grams.shape[1]
    ridge = regularisation * np.trace(grams, axis1=1, axis2=2) / count + 1e-12
    weights = np.linalg.solve(
        grams + ridge[:, None, None] * np.eye(count), np.ones((len(x), count, 1)))[:, :, 0]
    weights /= weights.sum(1, keepdims=True)
    return ((weights[:, None] @ offsets)[:, 0] ** 2).sum(1)


def floors_on_view(model, paths):
    """Scores of files by methods on the view of a model, by name."""
    from sklearn.ensemble import IsolationForest
    record, weights = rescore_reading.read_model(model)
    train = weights["score.neighbours.kept"]
    mean = train.mean(0)
    components = np.linalg.svd(train - mean, full_matrices=False)[2][:24]
    forest = IsolationForest(n_estimators=200, random_state=0).fit(train)
    squares = (train**2).sum(1)
    scores = {}
    for path in paths:
        windows = rescore_reading.windows_of(path, record)
        values = {}
        for x in np.array_split(windows.reshape(len(windows), -1), -(-len(windows) // 512)):
            distances = np.maximum(0, (x**2).sum(1)[:, None] + squares - 2 * x @ train.T)
            nearest = np.argpartition(distances, 29, 1)[:, :30]
            least = np.sort(np.take_along_axis(distances, nearest, 1), 1)[:, :3]
            offsets = x - mean
            for name, part in {
                "PCA": ((offsets - offsets @ components.T @ components) ** 2).sum(1),
                "neighbours": least.mean(1), "LLE": embedded(train, x, nearest),
                "isolation forest": -forest.score_samples(x),
            }.items():
                values.setdefault(name, []).append(part)
        for name, parts in values.items():
            scores.setdefault(name, []).append(
                rescore.aggregate(np.concatenate(parts), record["aggregate"]))
    return {name: np.array(values) for name, values in scores.items()}


def trained(data, name, seed, held_out, options, on_model=lambda model, rows: None):
    """Trains on a class, or on all others, and scores the test files.

    Returned are the score lines, the record of the model, the processor seconds of training, and what
    `on_model` makes of the model file and the lines while the file is there.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.safetensors"
        process = subprocess.Popen(
            [LATENT, "train", "-0", "-", "-o", model, "--quiet", "--seed", str(seed),
             *(["--for", "detection"] if held_out else []), *options],
            stdin=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        with process.stdin as paths:
            paths.write("\0".join(map(str, normals(data, name, held_out))))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        seconds = usage.ru_utime + usage.ru_stime
        lines = subprocess.run(
            [LATENT, "score", "-m", model, data / "test", "--quiet"], check=True,
            capture_output=True, text=True).stdout
        record = json.loads(subprocess.run(
            [LATENT, "inspect", model, "--format", "json"], check=True, capture_output=True,
            text=True).stdout)
        rows = [json.loads(line) for line in io.StringIO(lines)]
        return rows, record, seconds, on_model(model, rows)


def normal_rows(rows, name, held_out):
    """Which lines are of normal files."""
    return np.array([(row["label"] == name) != held_out for row in rows])


def auroc_of(values, is_normal):
    return auroc(values[is_normal], values[~is_normal]) if np.isfinite(values).all() else np.nan


def components(rows, name):
    return np.array([row["components"].get(name, np.nan) for row in rows], float)


def one_class(data, name, seed, args, options):
    rows, record, seconds, on_view = trained(
        data, name, seed, args.held_out, options,
        lambda model, rows: floors_on_view(model, [row["path"] for row in rows])
        if args.floors else {})
    is_normal = normal_rows(rows, name, args.held_out)
    train = normals(data, name, args.held_out)
    tests = [pathlib.Path(row["path"]) for row in rows]
    others = {"PCA of the files": floor(train, tests)}
    if args.peers:
        import peers
        others |= peers.scores(features, train, tests, seed)
    flagged = np.array([bool(row["anomaly"]) for row in rows])[is_normal].sum()
    calibration = len(record["calibration"]["scoresByKind"][rows[0]["kind"]])
    rate = record["calibration"]["falseAlarmRate"]
    rank = int((calibration + 1) * rate)
    interval = (0, 0)
    if rank:
        spread = betabinom(int(is_normal.sum()), rank, calibration + 1 - rank)
        interval = (spread.ppf(0.025), spread.ppf(0.975))
    methods = {
        "default score": (np.array([row["score"] for row in rows]), seconds),
        "reconstruction probability": (-components(rows, "reconstruction_nats"), seconds),
        "neighbours": (components(rows, "neighbours"), seconds),
        "mixture": (components(rows, "mixture"), seconds),
        **{f"{name} on the view": (values, np.nan) for name, values in on_view.items()},
        **others,
    }
    return dict(
        name=name, seed=seed,
        auroc={key: auroc_of(values, is_normal) for key, (values, _) in methods.items()},
        seconds={key: seconds for key, (_, seconds) in methods.items()},
        flagged=int(flagged), normals=int(is_normal.sum()), low=int(interval[0]),
        high=int(interval[1]), calibration=calibration, rate=rate,
        epochs=len(record["training"]["epochs"]))


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--classes", help="comma-separated; all in train/ by default")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--samples", type=int, help="of each recording that are kept")
    parser.add_argument(
        "--held-out", action="store_true", help="all classes but one are normal")
    parser.add_argument(
        "--floors", action="store_true", help="also simple methods on the view of the model")
    parser.add_argument(
        "--peers", action="store_true", help="also other detectors, as Tools/peers.py has them")
    parser.add_argument("--workers", type=int, default=1, help="classes at once")
    args = parser.parse_args(arguments)
    if args.peers:
        import peers  # says at once what is missing
    names = args.classes.split(",") if args.classes else sorted(
        p.name for p in (args.data / "train").iterdir())
    print(f"{args.data.name}: latent train {' '.join(options) or '(defaults)'}")
    shown = ("default score", "reconstruction probability", "neighbours", "mixture", "PCA of the files")
    print(
        f"{'held out' if args.held_out else 'normal  '}    score         RP  neighbours  mixture"
        "        PCA  flagged normals (95 % interval)   s  epochs")
    results = []
    folder = tempfile.TemporaryDirectory()
    if args.samples:
        args.data = shortened(args.data, pathlib.Path(folder.name), args.samples)
    runs = [(name, seed) for seed in range(args.seeds) for name in names]
    with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
        for r in pool.map(lambda run: one_class(args.data, *run, args, options), runs):
            results.append(r)
            print(
                f"{r['name']:8} " + "  ".join(f"{r['auroc'][key]:9.4f}" for key in shown)
                + f"  {r['flagged']:3}/{r['normals']} ({r['low']}–{r['high']}) at {r['rate']} from "
                f"{r['calibration']:3} {r['seconds']['default score']:8.1f} {r['epochs']:4}",
                flush=True)
    inside = sum(r["low"] <= r["flagged"] <= r["high"] for r in results)
    share = sum(r["flagged"] for r in results) / sum(r["normals"] for r in results)
    print(f"{100 * share:.1f} % of normal files flagged, {inside} of {len(results)} inside")
    print(f"\n{'method':30}    mean   worst{'  seeds ±' if args.seeds > 1 else ''}    CPU s")
    for key in results[0]["auroc"]:
        values = [r["auroc"][key] for r in results]
        by_seed = [
            np.mean([r["auroc"][key] for r in results if r["seed"] == s]) for s in range(args.seeds)]
        spread = f"{np.std(by_seed, ddof=1):9.4f}" if args.seeds > 1 else ""
        seconds = np.mean([r["seconds"][key] for r in results])
        print(
            f"{key:30} {np.mean(values):7.4f} {min(values):7.4f}{spread} "
            + (f"{seconds:8.1f}" if np.isfinite(seconds) else ""))


if __name__ == "__main__":
    main()
