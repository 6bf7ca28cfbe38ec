"""Short strange stretches in long recordings: are they found, and is anything else?

    ./.libtorch-python Tools/hours.py DATA NORMAL [--seeds 3] [--minutes 10,30] [--lengths 0.3,1,3,10]
        [--piece 30] [--map-alarms 0.01] [--latent PATH] [-- TRAIN OPTIONS]

DATA has train/CLASS/FILE and test/CLASS/FILE, WAV of one rate. Long recordings are made of clips, drawn at
random, each at its own level (within 10 %) and faded into the next over 20 ms. For each seed a model is
trained on 100 pieces of --piece seconds of train/NORMAL and calibrated with 40 pieces of every other clip of
test/NORMAL; of the others there are three recordings of each number of --minutes. In the second, a stretch
of each of --lengths seconds is of another class in its place, and in the third of another class beside it.

Printed for each recording: the true stretches, those that have a segment with both ends within 0.1 s, and
the segments that overlap none of them. Then totals, and segments for each hour of normal sound.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from scipy.io import wavfile

from arguments import divided

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
TOLERANCE, FADE, PIECES, CALIBRATION = 0.1, 0.02, 100, 40


def clips(folder):
    """The signals of a folder in -1…1, and their rate."""
    found = [wavfile.read(path) for path in sorted(folder.rglob("*.wav"))]
    return [signal.astype(np.float64) / 32768 for _, signal in found], found[0][0]


def joined(pool, seconds, rate, generator):
    """Clips of a pool, one after the other."""
    count, fade = int(seconds * rate), int(FADE * rate)
    ramp = np.linspace(0, 1, fade)
    made, place = np.zeros(count + max(map(len, pool))), 0
    while place < count:
        clip = pool[generator.integers(len(pool))] * (1 + 0.1 * generator.uniform(-1, 1))
        clip[:fade] *= ramp
        clip[-fade:] *= ramp[::-1]
        made[place:place + len(clip)] += clip
        place += len(clip) - fade
    return made[:count]


def write(path, signal, rate):
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, (np.clip(signal, -1, 1) * 32767).astype(np.int16))


def recordings(folder, pool, others, rate, args, generator):
    """Writes the long recordings; returns true stretches, (start, end, class), by path."""
    truth = {}
    for minutes in args.minutes:
        for kind in ("normal", "replaced", "beside"):
            signal, stretches = joined(pool, 60 * minutes, rate, generator), []
            for index, length in enumerate(args.lengths if kind != "normal" else []):
                name = sorted(others)[generator.integers(len(others))]
                strange = np.concatenate(others[name])
                strange = np.resize(strange, int(length * rate))
                first = int((index + generator.uniform(0.2, 0.8)) / len(args.lengths)
                            * (len(signal) - len(strange)))
                if kind == "replaced":
                    signal[first:first + len(strange)] = strange
                else:
                    signal[first:first + len(strange)] += strange
                stretches.append((first / rate, (first + len(strange)) / rate, name))
            path = folder / f"{kind}-{minutes}.wav"
            write(path, signal, rate)
            truth[str(path)] = stretches
    return truth


def run(args, options, seed):
    """For each recording: its path, true stretches, and segments."""
    generator = np.random.default_rng(seed)
    train, rate = clips(args.data / "train" / args.normal)
    fresh, _ = clips(args.data / "test" / args.normal)
    others = {folder.name: clips(folder)[0] for folder in (args.data / "test").iterdir()
              if folder.name != args.normal}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for count, part, pool in ((PIECES, "train", train), (CALIBRATION, "fresh", fresh[::2])):
            for index in range(count):
                write(folder / part / f"{index:03}.wav", joined(pool, args.piece, rate, generator), rate)
        truth = recordings(folder / "long", fresh[1::2], others, rate, args, generator)
        model, calibrated = folder / "m.safetensors", folder / "c.safetensors"
        for command in (
            ["train", folder / "train", "-o", model, "--seed", str(seed), *options],
            ["calibrate", "-m", model, folder / "fresh", "-o", calibrated],
        ):
            subprocess.run([args.latent, *command, "--quiet"], check=True, capture_output=True)
        lines = subprocess.run(
            [args.latent, "score", "-m", calibrated, folder / "long", "--maps", folder / "maps",
             "--map-alarms", str(args.map_alarms), "--quiet"],
            check=True, capture_output=True, text=True).stdout.splitlines()
    for line in map(json.loads, lines):
        found = [(s["start_s"], s["end_s"]) for s in line["segments"]]
        yield pathlib.Path(line["path"]).stem, truth[line["path"]], found


def numbers(text):
    return [float(word) for word in text.split(",")]


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("normal")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=lambda text: list(map(int, text.split(","))), default=[10, 30])
    parser.add_argument("--lengths", type=numbers, default=[0.3, 1, 3, 10])
    parser.add_argument("--piece", type=float, default=30)
    parser.add_argument("--map-alarms", type=float, default=0.01)
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    hits, all_, elsewhere = {}, {}, 0
    for seed in range(args.seeds):
        for name, stretches, found in run(args, options, seed):
            right = [any(abs(a - start) <= TOLERANCE and abs(b - end) <= TOLERANCE for a, b in found)
                     for start, end, _ in stretches]
            wrong = [(a, b) for a, b in found
                     if not any(a < end and b > start for start, end, _ in stretches)]
            elsewhere += len(wrong)
            for (start, end, _), is_found in zip(stretches, right):
                key = (name.split("-")[0], round(end - start, 3))
                hits[key] = hits.get(key, 0) + is_found
                all_[key] = all_.get(key, 0) + 1
            said = " ".join(
                f"{start:.2f}-{end:.2f} {kind}{'' if is_found else ' (missed)'}"
                for (start, end, kind), is_found in zip(stretches, right))
            others = " ".join(f"{a:.2f}-{b:.2f}" for a, b in wrong[:9]) or "none"
            print(f"seed {seed} {name:12} {said or 'nothing strange'}; elsewhere {others}", flush=True)
    for key in sorted(all_):
        print(f"{key[0]:9} {key[1]:6.1f} s: {hits[key]:2} of {all_[key]:2}")
    hours = 3 * args.seeds * sum(args.minutes) / 60
    print(f"segments elsewhere: {elsewhere} in {hours:.1f} hours")


if __name__ == "__main__":
    main()
