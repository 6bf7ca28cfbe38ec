"""Where a recording turns strange: segments of `latent score --maps` on recordings spliced from two.

    ./.libtorch-python Tools/splice.py DATA NORMAL [--samples 10000] [--splices 60] [--seeds 3]
        [--tolerance 0.1] [--map-alarms 0.01] [--keep DIR] [-- TRAIN OPTIONS]

DATA has train/CLASS/FILE and test/CLASS/FILE, WAV of one rate. Recordings are cut to their first
samples, as length may give the class away. A model is trained on train/NORMAL for each seed. Each
splice is of test recordings that training has not seen: normal and anomalous, anomalous and normal, or
normal, anomalous and normal, in turn. Its true boundaries are where they meet.

Printed for each splice: the true boundaries in seconds, the segments that were found, and the error
of each boundary: the distance to the nearest inner boundary of a segment (the beginning and the end
of the recording are none). Then the share of boundaries within the tolerance; of splices whose
segments have these boundaries within the tolerance and no others; the shares of normal time outside
of segments and of strange time inside; and the boundaries that were missed, by anomalous class.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from scipy.io import wavfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
ORDERS = ("NA", "AN", "NAN")


def clips(folder, samples):
    """The first samples of each recording, by path; shorter ones are left out."""
    found = {}
    for path in sorted(folder.rglob("*.wav")):
        rate, signal = wavfile.read(path)
        if len(signal) >= samples:
            found[path] = (rate, signal[:samples])
    return found


def splice(normal, anomalous, order, generator):
    """A signal, its rate, its true boundaries in seconds, and the class of its strange part."""
    parts, ends, name = [], [], ""
    for kind in order:
        chosen = normal if kind == "N" else anomalous
        path = list(chosen)[generator.integers(len(chosen))]
        rate, signal = chosen[path]
        name = path.parent.name if kind == "A" else name
        parts.append(signal)
        ends.append(sum(map(len, parts)) / rate)
    return np.concatenate(parts), rate, ends[:-1], name


def inner(segments, duration):
    """Boundaries of segments inside of the recording."""
    times = [segment[key] for segment in segments for key in ("start_s", "end_s")]
    return [time for time in times if 1e-6 < time < duration - 1e-6]


def agreement(segments, order, boundaries, duration):
    """The share of the time that is inside of a segment where it is strange, and outside elsewhere."""
    times = (np.arange(int(duration * 1000)) + 0.5) / 1000
    strange = np.array([kind == "A" for kind in order])[np.searchsorted(boundaries, times)]
    found = np.zeros(len(times), bool)
    for segment in segments:
        found |= (times >= segment["start_s"]) & (times < segment["end_s"])
    return np.array([(~found[~strange]).mean(), found[strange].mean()])


def one_seed(args, seed, normal, anomalous, options, folder):
    train = folder / f"train-{seed}"
    train.mkdir()
    for path, (rate, signal) in clips(args.data / "train" / args.normal, args.samples).items():
        wavfile.write(train / path.name, rate, signal)
    model = folder / f"{seed}.safetensors"
    subprocess.run(
        [LATENT, "train", train, "--for", "detection", "-o", model, "--seed", str(seed), "--quiet",
         *options], check=True)
    generator = np.random.default_rng(seed)
    spliced = folder / f"spliced-{seed}"
    spliced.mkdir()
    truth = {}
    for index in range(args.splices):
        order = ORDERS[index % len(ORDERS)]
        signal, rate, boundaries, name = splice(normal, anomalous, order, generator)
        path = spliced / f"{index:03}-{order}-{name}.wav"
        wavfile.write(path, rate, signal)
        truth[str(path)] = (order, boundaries, len(signal) / rate, name)
    output = subprocess.run(
        [LATENT, "score", "-m", model, spliced, "--maps", folder / f"maps-{seed}", "--map-alarms",
         str(args.map_alarms), "--format", "ndjson", "--quiet"], check=True, capture_output=True,
        text=True).stdout
    rows = []
    for line in map(json.loads, output.splitlines()):
        order, boundaries, duration, name = truth[line["path"]]
        found = inner(line["segments"], duration)
        errors = [min((abs(time - true) for time in found), default=np.inf) for true in boundaries]
        exact = len(found) == len(boundaries) and max(errors) <= args.tolerance
        rows.append((errors, exact, name, agreement(line["segments"], order, boundaries, duration)))
        shown = " ".join(
            f"{s['start_s']:.3f}-{s['end_s']:.3f}" for s in line["segments"]) or "none"
        print(
            f"seed {seed} {order:3} {name:24} true {' '.join(f'{b:.3f}' for b in boundaries):13} "
            f"error {' '.join(f'{e:.3f}' for e in errors):13} segments {shown}", flush=True)
    return rows


def main():
    arguments, options = sys.argv[1:], []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, options = arguments[:cut], arguments[cut + 1:]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("normal", help="the normal class")
    parser.add_argument("--samples", type=int, default=10_000, help="of each recording")
    parser.add_argument("--splices", type=int, default=60, help="for each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tolerance", type=float, default=0.1, help="seconds")
    parser.add_argument("--map-alarms", type=float, default=0.01)
    parser.add_argument("--keep", type=pathlib.Path, help="a new folder for models and pictures")
    args = parser.parse_args(arguments)
    known = clips(args.data / "test", args.samples)
    normal = {p: clip for p, clip in known.items() if p.parent.name == args.normal}
    anomalous = {p: clip for p, clip in known.items() if p.parent.name != args.normal}
    scratch = tempfile.TemporaryDirectory()
    folder = args.keep or pathlib.Path(scratch.name)
    folder.mkdir(exist_ok=True)
    rows, shares = [], []
    for seed in range(args.seeds):
        own = one_seed(args, seed, normal, anomalous, options, folder)
        rows += own
        errors = np.concatenate([row[0] for row in own])
        shares.append((errors <= args.tolerance).mean())
        print(f"seed {seed}: {100 * shares[-1]:.1f} % of {len(errors)} boundaries")
    errors = np.concatenate([row[0] for row in rows])
    kept, found = np.mean([row[3] for row in rows], 0)
    print(
        f"boundaries within {args.tolerance} s: {(errors <= args.tolerance).sum()} of {len(errors)}"
        f" ({100 * (errors <= args.tolerance).mean():.1f} %, seeds from {100 * min(shares):.1f} to "
        f"{100 * max(shares):.1f} %); median error {np.median(errors):.3f} s")
    print(
        f"splices with these boundaries alone: {sum(row[1] for row in rows)} of {len(rows)}; of "
        f"normal time {100 * kept:.1f} % is outside of segments, of strange time {100 * found:.1f} "
        "% inside")
    missed = collections.Counter(
        row[2] for row in rows for error in row[0] if error > args.tolerance)
    print("missed, by class: " + ", ".join(f"{n} {c}" for n, c in missed.most_common()))


if __name__ == "__main__":
    main()
