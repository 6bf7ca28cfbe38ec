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
of segments and of strange time inside; and the boundaries that were found and missed, by anomalous
class.

Beside them, of the test recordings alone, cut alike and not spliced: the share of normal ones that
have a segment, which --map-alarms promises; and for each anomalous class the share that have one, and
the AUROC of whole recordings against the normal ones by each score, the mean over seeds. A class whose
recordings no score tells from normal ones cannot be found in a splice.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from scipy.io import wavfile

from arguments import divided

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


def auroc(normal, strange):
    """The chance that a strange score is above a normal one."""
    gaps = np.array(strange)[:, None] - np.array(normal)[None]
    return (gaps > 0).mean() + (gaps == 0).mean() / 2


def lines(model, data, maps, args):
    """The score lines of a folder."""
    output = subprocess.run(
        [LATENT, "score", "-m", model, data, "--maps", maps, "--map-alarms", str(args.map_alarms),
         "--format", "ndjson", "--quiet"], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def whole(args, model, known, folder):
    """Of each class of whole recordings the share with a segment, and scores by name."""
    for path, (rate, signal) in known.items():
        place = folder / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        wavfile.write(place / path.name, rate, signal)
    found = collections.defaultdict(lambda: {"segments": [], "scores": collections.defaultdict(list)})
    for line in lines(model, folder, folder.with_name(folder.name + "-maps"), args):
        own = found[pathlib.Path(line["path"]).parent.name]
        own["segments"].append(bool(line["segments"]))
        for name, value in line["components"].items():
            # A density is the larger, the more usual a recording is.
            own["scores"][name].append(-value if name == "reconstruction_nats" else value)
    return found


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
    rows = []
    for line in lines(model, spliced, folder / f"maps-{seed}", args):
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
    return rows, whole(args, model, normal | anomalous, folder / f"whole-{seed}")


def main():
    arguments, options = divided()
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
    rows, shares, wholes = [], [], []
    for seed in range(args.seeds):
        own, alone = one_seed(args, seed, normal, anomalous, options, folder)
        rows += own
        wholes.append(alone)
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
    flagged = np.concatenate([w[args.normal]["segments"] for w in wholes])
    print(
        f"normal test recordings with a segment: {flagged.sum()} of {len(flagged)} "
        f"({100 * flagged.mean():.1f} %), promised {100 * args.map_alarms:g} %")
    present = collections.Counter(row[2] for row in rows for _ in row[0])
    names = sorted({n for w in wholes for n in w[args.normal]["scores"]})
    print(f"{'class':24} boundaries  alone  AUROC of " + " ".join(names))
    for name in sorted(present, key=lambda n: (-missed[n], n)):
        rates = [
            np.mean([auroc(w[args.normal]["scores"][s], w[name]["scores"][s]) for w in wholes])
            for s in names]
        alone = np.mean([np.mean(w[name]["segments"]) for w in wholes])
        print(
            f"{name:24} {present[name] - missed[name]:4} of {present[name]:3}  {alone:.2f}  "
            + " ".join(f"{rate:.3f}" for rate in rates))


if __name__ == "__main__":
    main()
