"""Odd data sets through `latent train`, `score` and `augment` without any option: which end badly?

    ./.libtorch-python Tools/oddsets.py [--only NAME,…] [--limit 1800] [--keep DIR] [--latent PATH]

The sets are made here and differ from what one would wish for in number, depth, transparency,
balance, length, content, size or rate: see SETS. On each `latent train DIR -o MODEL` runs, and when
that gave a model `latent score` of the same files; then `latent train --for augmentation` (`draw`), as
files of one class make a model that detects, and `latent augment -n 5`.

Printed for each run: exit code, seconds, peak memory of the largest process, verdict and the last
line of standard error. The verdict is `ends well` (exit code 0 and what was promised is there: a
model, a line for each file, five files), `refused` (an exit code of 64 and above and one line
`latent: error: …`), or BAD: a signal, a trace, no message, more than --limit seconds, or figures
that are no numbers. Exit code 1 when anything is BAD.
"""

import argparse
import json
import multiprocessing
import pathlib
import shutil
import sys
import tempfile

import measured
import numpy as np
from PIL import Image
from scipy.io import wavfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"


# Content: a disc or a square somewhere, a tone with overtones

def shape(generator, height, width, is_disc=True):
    """[H, W] in 0…1."""
    y, x = np.mgrid[:height, :width]
    side = min(height, width)
    middle = generator.uniform(0.35, 0.65, 2) * (height, width)
    radius = side * generator.uniform(0.15, 0.3)
    dy, dx = np.abs(y - middle[0]), np.abs(x - middle[1])
    inside = np.hypot(dy, dx) < radius if is_disc else np.maximum(dy, dx) < radius
    return 0.1 + 0.8 * inside + generator.uniform(0, 0.05, (height, width))


def tone(generator, rate, seconds, channels=1):
    """16-bit samples."""
    time = np.arange(int(rate * seconds)) / rate
    pitch = generator.uniform(200, 800)
    signal = sum(
        np.sin(2 * np.pi * pitch * k * time + generator.uniform(0, 6)) / k for k in (1, 2, 3))
    rhythm = 0.5 + 0.5 * np.sin(2 * np.pi * generator.uniform(1, 3) * time)
    signal = 0.25 * signal * rhythm + 0.005 * generator.standard_normal(len(time))
    samples = np.int16(np.clip(signal, -1, 1) * 32767)
    return samples if channels == 1 else np.stack([samples, samples // 2], 1)


def save_grey(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(np.clip(values, 0, 1) * 255)).save(path)


def save_wave(path, rate, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, samples)


# The sets: each writes its files below a folder

def eight_files(folder, g):
    for index in range(8):
        save_grey(folder / f"{index}.png", shape(g, 32, 32))


def ten_thousand_tiny_files(folder, g):
    for index in range(10_000):
        save_grey(folder / f"{index % 100:02}" / f"{index:05}.png", shape(g, 8, 8))


def sixteen_bits(folder, g):
    folder.mkdir()
    for index in range(60):
        values = np.uint16(np.clip(shape(g, 48, 48), 0, 1) * 65535)
        Image.fromarray(values).save(folder / f"{index}.png")


def transparency(folder, g):
    folder.mkdir()
    for index in range(60):
        colours = [shape(g, 40, 40) * level for level in (1, 0.5, 0.2)]
        alpha = np.clip(shape(g, 40, 40) * 1.3 - 0.2, 0, 1) * (index % 3 > 0)
        values = np.uint8(np.clip(np.stack([*colours, alpha], -1), 0, 1) * 255)
        Image.fromarray(values, "RGBA").save(folder / f"{index}.png")


def five_against_five_hundred(folder, g):
    for index in range(500):
        save_grey(folder / "disc" / f"{index}.png", shape(g, 32, 32))
    for index in range(5):
        save_grey(folder / "square" / f"{index}.png", shape(g, 32, 32, False))


def three_second_clips(folder, g):
    for index in range(40):
        save_wave(folder / f"{index}.wav", 16_000, tone(g, 16_000, 3))


def one_long_among_short(folder, g):
    for index in range(40):
        save_wave(folder / f"{index}.wav", 16_000, tone(g, 16_000, g.uniform(0.4, 0.8)))
    save_wave(folder / "long.wav", 16_000, tone(g, 16_000, 180))


def twelve_long_clips(folder, g):
    for index in range(12):
        save_wave(folder / f"{index}.wav", 16_000, tone(g, 16_000, 180))


def constant_images(folder, g):
    for index in range(40):
        save_grey(folder / f"{index}.png", np.full((32, 32), (index % 4) / 4))


def mixed_sizes(folder, g):
    for index in range(60):
        height, width = g.integers(5, 200, 2)
        save_grey(folder / f"{index}.png", shape(g, height, width))


def mixed_rates(folder, g):
    for index in range(20):
        seconds = g.uniform(0.5, 1.0)
        save_wave(folder / f"stereo-{index}.wav", 44_100, tone(g, 44_100, seconds, 2))
        save_wave(folder / f"mono-{index}.wav", 8_000, tone(g, 8_000, seconds))


SETS = {
    "8 files": eight_files,
    "10,000 tiny files": ten_thousand_tiny_files,
    "16-bit": sixteen_bits,
    "transparency": transparency,
    "5 against 500": five_against_five_hundred,
    "3-second clips": three_second_clips,
    "1 long among short": one_long_among_short,
    "12 long clips": twelve_long_clips,
    "constant images": constant_images,
    "mixed sizes": mixed_sizes,
    "mixed rates": mixed_rates,
}


# Verdicts

TRACES = ("Fatal error", "Stack dump", "Traceback", "terminate called", "Backtrace",
          "Exception raised from")


def score_fault(run, data):
    """What is wrong with the lines of `latent score`, or nothing."""
    rows = [json.loads(line) for line in run.output.splitlines()]
    count = sum(1 for path in data.rglob("*") if path.is_file())
    if len(rows) != count:
        return f"{len(rows)} lines for {count} files"
    for row in rows:
        if row.get("error") or row["score"] is None:
            return f"{pathlib.Path(row['path']).name} has no score"
    return None


def augment_fault(output):
    found = [path for path in output.rglob("*") if path.suffix in (".png", ".wav")]
    if len(found) != 5:
        return f"{len(found)} files"
    for path in found:
        if path.suffix == ".png":
            Image.open(path).load()
        elif not len(wavfile.read(path)[1]):
            return f"{path.name} is empty"
    return None


def verdict(run, fault):
    """`fault` looks at what was made; called only after exit code 0."""
    lines = run.errors.strip().splitlines()
    refusals = [line for line in lines if line.startswith("latent: error: ")]
    if run.exit_code is None:
        return "BAD: no end"
    if run.exit_code < 0 or run.exit_code >= 128:
        return f"BAD: signal {-run.exit_code if run.exit_code < 0 else run.exit_code - 128}"
    if any(trace in line for line in lines for trace in TRACES):
        return "BAD: a trace"
    if run.exit_code:
        is_clear = run.exit_code >= 64 and len(refusals) == 1 and lines[-1] == refusals[0]
        return "refused" if is_clear else f"BAD: {len(refusals)} lines of error"
    try:
        found = fault()
    except (OSError, ValueError, KeyError) as error:
        found = str(error)
    return f"BAD: {found}" if found else "ends well"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="comma-separated parts of names of sets")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that a run may take")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder that keeps data and models")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args()
    parts = args.only.split(",") if args.only else [""]
    names = [name for name in SETS if any(part in name for part in parts)]
    print("set                 verb      exit       s      MB  verdict; last line of standard error")
    bad = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or pathlib.Path(temporary)
        for name in names:
            place = folder / name.replace(" ", "-").replace(",", "")
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            data, model, output = place / "data", place / "m", place / "more"
            drawing = place / "draw"
            # In a process of its own: what is measured starts from this one's peak.
            maker = multiprocessing.Process(
                target=SETS[name], args=(data, np.random.default_rng(list(SETS).index(name))))
            maker.start()
            maker.join()
            if maker.exitcode:
                sys.exit(f"{name}: the set could not be made")
            runs = {
                "train": ([args.latent, "train", data, "-o", model],
                          lambda: None if model.exists() else "no model"),
                "score": ([args.latent, "score", "-m", model, data],
                          lambda: score_fault(run, data)),
                "draw": ([
                    args.latent, "train", data, "-o", drawing, "--for", "augmentation"],
                         lambda: None if drawing.exists() else "no model"),
                "augment": ([args.latent, "augment", "-m", drawing, data, "-o", output, "-n", 5],
                            lambda: augment_fault(output)),
            }
            for verb, (command, fault) in runs.items():
                run = measured.run(command, may_fail=True, limit_seconds=args.limit)
                text = verdict(run, fault)
                bad += text.startswith("BAD")
                last = (run.errors.strip().splitlines() or ["-"])[-1].replace(str(place), "…")
                code = "-" if run.exit_code is None else run.exit_code
                print(
                    f"{name:20}{verb:8} {code:>5} {run.seconds:7.1f} {run.peak_bytes / 1e6:7.0f}  "
                    f"{text}; {last}", flush=True)
                if (verb == "train" and not model.exists()
                        or verb == "draw" and not drawing.exists()):
                    break
            if not args.keep:
                shutil.rmtree(place)
    print(f"{len(names)} sets, {bad} runs BAD")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
