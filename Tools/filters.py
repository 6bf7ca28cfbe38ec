"""Do the filters of `augment` and `judge` catch what is planted, and leave what is good alone?

    ./.libtorch-python Tools/filters.py DATA… [--per-class 200] [--near 12] [--seeds 1] [--threads 1]
        [--latent FILE] [-- TRAIN OPTIONS]

DATA has train/CLASS/FILE and test/CLASS/FILE, PNG (grey or RGB, 8 bits) or WAV. By seed so many files of
each class of train/ are the real ones (all, where there are fewer): a model is trained on them, and
they are what files are compared with. The files of test/, which neither has seen, are divided: 50 are
planted as mislabelled, in the folder of another class drawn at random; the others are the good ones.
Planted too are 50 copies of real files, half of them byte for byte, half with noise of deviation 2
steps of 8 bits (recordings: 40 dB below their own level); 50 near copies, with noise of --near steps
(12; recordings: 24 dB below); and 50 files of noise, as large or long and, of
recordings, as loud as real ones, in class folders at random. `latent judge` then judges all of them, mixed,
with its defaults.

Printed for each kind: the share that is refused, and the share refused for the reason it was planted
for, with Clopper and Pearson's 95 % interval; for the good ones by reason. Aim: recall >= 0.95 of each at
<= 5 % loss of good ones. Nothing is chosen by these figures but what is said in the README.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import wave

import numpy as np
from PIL import Image
from scipy.stats import beta

from arguments import divided

ROOT = pathlib.Path(__file__).resolve().parent.parent
COUNT = 50
REASONS = {"copied": "copies", "near": "copies", "mislabelled": "mislabelled", "noise": "off-manifold"}


def classes(folder):
    return {path.name: sorted(path.iterdir()) for path in sorted(folder.iterdir()) if path.is_dir()}


def read_wav(path):
    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2:
            sys.exit(f"{path}: {8 * file.getsampwidth()} bits; expected 16")
        return file.getparams(), np.frombuffer(file.readframes(file.getnframes()), "<i2")


def write_wav(path, parameters, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams(parameters)
        file.writeframes(np.clip(np.round(samples), -32768, 32767).astype("<i2").tobytes())


def noisy(source, target, generator, steps):
    """A copy with noise; that of two steps nobody sees or hears."""
    if source.suffix == ".png":
        pixels = np.asarray(Image.open(source)).astype(float)
        pixels = np.clip(np.round(pixels + generator.normal(0, steps, pixels.shape)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(target)
    else:
        parameters, samples = read_wav(source)
        level = samples.astype(float).std() / 200 * steps
        write_wav(target, parameters, samples + generator.normal(0, level, len(samples)))


def noise(source, target, generator):
    """Noise of the size and level of a real file."""
    if source.suffix == ".png":
        shape = np.asarray(Image.open(source)).shape
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(target)
    else:
        parameters, samples = read_wav(source)
        write_wav(
            target, parameters, generator.normal(0, samples.astype(float).std(), len(samples)))


def interval(hits, total):
    low = beta.ppf(0.025, hits, total - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, total - hits) if hits < total else 1.0
    return f"{hits / total:.3f} [{low:.3f}, {high:.3f}] of {total}"


def planted(data, per_class, near, seed, folder):
    """Writes real/ and judged/; gives the kind of each judged file by its path."""
    order, generator = random.Random(seed), np.random.default_rng(seed)
    real = []
    for name, paths in classes(data / "train").items():
        (folder / "real" / name).mkdir(parents=True)
        (folder / "judged" / name).mkdir(parents=True)
        for path in order.sample(paths, min(per_class, len(paths))):
            shutil.copy(path, folder / "real" / name)
            real.append((name, path))
    names = sorted({name for name, _ in real})
    fresh = [(name, path) for name, paths in classes(data / "test").items() for path in paths]
    order.shuffle(fresh)
    jobs = [("mislabelled", order.choice([other for other in names if other != name]), path)
            for name, path in fresh[:COUNT]]
    jobs += [("good", name, path) for name, path in fresh[COUNT:]]
    jobs += [("copied", name, path) for name, path in order.sample(real, COUNT)]
    jobs += [("near", name, path) for name, path in order.sample(real, COUNT)]
    jobs += [("noise", order.choice(names), path) for _, path in order.sample(real, COUNT)]
    kinds, counts = {}, {}
    numbers = list(range(len(jobs)))
    order.shuffle(numbers)
    for number, (kind, name, path) in zip(numbers, jobs):
        target = folder / "judged" / name / f"{number:06}{path.suffix}"
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "noise":
            noise(path, target, generator)
        elif kind == "near" or kind == "copied" and counts[kind] % 2:
            noisy(path, target, generator, near if kind == "near" else 2)
        else:
            shutil.copy(path, target)
        kinds[str(target)] = kind
    return kinds


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}: {done.stderr}")
    return done


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Options of `latent train` follow --.")
    parser.add_argument("data", type=pathlib.Path, nargs="+")
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--near", type=float, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--latent", type=pathlib.Path, default=ROOT / ".build/release/latent")
    arguments, extra = divided()
    options = parser.parse_args(arguments)
    threads = ["--threads", options.threads]
    for data in options.data:
        lines = []
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                kinds = planted(data, options.per_class, options.near, seed, folder)
                model = folder / "model.safetensors"
                run([options.latent, "train", folder / "real", "--for", "augmentation", "-o", model,
                     "-q", "--seed", seed, *threads, *extra])
                judged = run([options.latent, "judge", "-m", model, "--real", folder / "real",
                              folder / "judged", "--format", "ndjson", *threads])
                print(f"{data.name}, seed {seed}: {judged.stderr.strip()}", flush=True)
                for text in judged.stdout.splitlines():
                    line = json.loads(text)
                    lines.append((kinds[line["path"]], line["rejected"]))
        for kind, reason in REASONS.items():
            found = [reasons for other, reasons in lines if other == kind]
            print(f"  {kind:12} refused {interval(sum(map(bool, found)), len(found))}, "
                  f"as {reason} {sum(reason in reasons for reasons in found) / len(found):.3f}")
        good = [reasons for kind, reasons in lines if kind == "good"]
        print(f"  {'good':12} refused {interval(sum(map(bool, good)), len(good))}: " + ", ".join(
            f"{reason} {sum(reason in reasons for reasons in good) / len(good):.4f}"
            for reason in ["broken", "off-manifold", "mislabelled", "copies", "duplicates"]))


if __name__ == "__main__":
    main()
