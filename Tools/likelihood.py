"""Likelihood of binarised digits: a bound in nats on test files, for models of growing power.

    ./.libtorch-python Tools/likelihood.py DATA [--seeds 3] [--models vae,iwae,vamp,hierarchical,twin]
        [--draws 5000] [--results FILE] [--latent PATH] [-- TRAIN OPTIONS]

DATA has train/ and test/ with grey PNGs of 28x28 (MNIST). Each model is trained with `latent train`
on DATA/train in black and white, a tenth of it held out for stopping, and `latent evaluate
likelihood` bounds log p(x) of DATA/test by importance weighting. `twin` is Tools/twin.py: the flat
VAE once more in PyTorch, which gets the options of `vae`. TRAIN OPTIONS come after those of each
model and win over them.

With --results, what is done is kept in FILE and the models in FILE.models/, so that a killed run
goes on: finished parts are taken from there as long as options, draws and number of test files are
the same. A new build of latent needs a new FILE.

Printed: a line for each part as it ends; then for each model the bound of each seed, their mean and
standard deviation, and the seconds of training; for each two neighbours in the expected order
hierarchical > vamp >= iwae > vae the difference with its standard error over the test files; and
whether the order holds in each seed.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from arguments import divided

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
TWIN = ROOT / "Tools" / "twin.py"

COMMON = "--size 28 --validation 0.1 --epochs 40 --batch 64"
BLACK_AND_WHITE = "--binarise --likelihood bernoulli --calibration 0"
FLAT = "--architecture resnet --channels 16,32 --latent 32"
MODELS = {
    "vae": FLAT,
    "iwae": FLAT + " --objective iwae --importance-draws 5",
    "vamp": FLAT + " --objective vamp --components 200",
    "hierarchical": "--architecture resnet --layers 3 --channels 16,32 --latent 16",
    "twin": FLAT,
}
ORDER = [("hierarchical", ">", "vamp"), ("vamp", ">=", "iwae"), ("iwae", ">", "vae")]


def run(command):
    """Standard output of a command and its seconds; a failure ends the script with its last line."""
    start = time.perf_counter()
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False)
    if result.returncode:
        said = result.stderr.strip().splitlines() or ["nothing was said"]
        sys.exit(f"{' '.join(map(str, command))}\nended with {result.returncode}: {said[-1]}")
    return result.stdout, time.perf_counter() - start


def check_verb(latent):
    command = [str(latent), "evaluate", "likelihood", "--help"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        sys.exit(f"{latent}: {error.strerror}; build it with `swift build -c release`")
    if result.returncode or "--draws" not in result.stdout:
        sys.exit(
            f"{latent} has no `evaluate likelihood`, which every model but the twin needs; build a "
            "newer one, name it with --latent, or use --models twin")


def parse(lines):
    """The summary and the bounds of the files in the order of their paths."""
    rows = [json.loads(line) for line in lines.splitlines()]
    summary = [row for row in rows if row.get("summary")]
    files = sorted((row["path"], row["log_likelihood_nats"]) for row in rows if "path" in row)
    if len(summary) != 1 or summary[0]["items"] != len(files):
        sys.exit(f"expected one line for each file and a summary, found {len(rows)} lines")
    mean = statistics.mean(value for _, value in files)
    if abs(mean - summary[0]["mean_nats"]) > 1e-3:
        sys.exit(f"the mean of the lines is {mean}, the summary says {summary[0]['mean_nats']}")
    return summary[0], [round(value, 4) for _, value in files]


def measure(args, name, seed, options, part, model, keep):
    """Trains, unless that is done, and evaluates; fills the part in."""
    if name == "twin":
        output, _ = run([
            sys.executable, TWIN, args.data, "--seed", seed, "--draws", args.draws, *options])
        summary, bounds = parse(output)
        part["seconds"], part["epochs"] = summary["seconds"], summary["epochs"]
    else:
        if "seconds" not in part or not model.exists():
            _, part["seconds"] = run([
                args.latent, "train", args.data / "train", "-o", model, "--seed", seed, "--quiet",
                "--force", *options])
            record = json.loads(run([args.latent, "inspect", model, "--format", "json"])[0])
            part["epochs"] = len(record["training"]["epochs"])
            keep()
        output, _ = run([
            args.latent, "evaluate", "likelihood", "-m", model, args.data / "test", "--draws",
            args.draws, "--seed", 0])
        summary, bounds = parse(output)
    part["nats"] = summary["mean_nats"]
    part["standard_error"] = summary["standard_error_nats"]
    part["bounds"] = bounds
    keep()


def table(names, seeds, parts):
    print("\nmodel        " + "".join(f"   seed {seed}" for seed in seeds)
          + "      mean     sd  train s  epochs")
    for name in names:
        rows = [parts[f"{name} {seed}"] for seed in seeds]
        nats = [row["nats"] for row in rows]
        spread = f"{statistics.stdev(nats):6.2f}" if len(nats) > 1 else "     -"
        print(
            f"{name:13}" + "".join(f"{value:9.2f}" for value in nats)
            + f" {statistics.mean(nats):9.2f} {spread} "
            f"{statistics.mean(row['seconds'] for row in rows):8.0f} "
            f"{statistics.mean(row['epochs'] for row in rows):7.0f}")
    error = max(part["standard_error"] for part in parts.values())
    print(f"nats for a file, larger is better; standard error over the test files up to {error:.2f}")


def difference(parts, first, second, seed):
    """The mean over files of first minus second, and its standard error."""
    gaps = [
        a - b for a, b in zip(parts[f"{first} {seed}"]["bounds"],
                              parts[f"{second} {seed}"]["bounds"])]
    return statistics.mean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5


def order(names, seeds, parts):
    """Prints the neighbours' differences; says whether the order holds in every seed."""
    pairs = [pair for pair in ORDER if pair[0] in names and pair[2] in names]
    if "twin" in names and "vae" in names:
        pairs.append(("vae", "-", "twin"))
    print("\ndifference            " + "".join(f"        seed {seed}" for seed in seeds))
    holds = dict.fromkeys(seeds, True)
    for first, sign, second in pairs:
        texts = []
        for seed in seeds:
            gap, error = difference(parts, first, second, seed)
            texts.append(f"{gap:+7.2f} ±{error:5.2f}")
            if sign != "-" and not (gap > 0 or sign == ">=" and gap == 0):
                holds[seed] = False
        print(f"{f'{first} - {second}':22}" + " ".join(texts))
    expected = [pair for pair in pairs if pair[1] != "-"]
    if not expected:
        return
    text = ", ".join(" ".join(pair) for pair in expected)
    for seed in seeds:
        print(f"seed {seed}: {text}: {'holds' if holds[seed] else 'DOES NOT HOLD'}")


def main():
    arguments, extra = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--results", type=pathlib.Path, help="what is done, for going on")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    names, seeds = args.models.split(","), range(args.seeds)
    for name in names:
        if name not in MODELS:
            parser.error(f"--models has {name}; known are {', '.join(MODELS)}")
    if names != ["twin"]:
        check_verb(args.latent)
    test_count = sum(1 for _ in (args.data / "test").rglob("*.png"))

    kept = {}
    if args.results and args.results.exists():
        kept = json.loads(args.results.read_text())

    def keep():
        if args.results:
            draft = args.results.with_name(args.results.name + ".new")
            draft.write_text(json.dumps(kept))
            draft.replace(args.results)

    parts = {}
    with tempfile.TemporaryDirectory() as folder:
        if args.results:
            folder = f"{args.results}.models"
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        # Seed by seed, so that the order of the models is seen early.
        for seed in seeds:
            for name in names:
                own = "" if name == "twin" else BLACK_AND_WHITE
                options = f"{COMMON} {own} {MODELS[name]}".split() + extra
                key = f"{name} {seed}"
                settings = [" ".join(options), args.draws, test_count]
                if kept.get(key, {}).get("settings") != settings:
                    kept[key] = {"settings": settings}
                part = parts[key] = kept[key]
                if "nats" not in part:
                    model = pathlib.Path(folder) / f"{name}-{seed}.safetensors"
                    measure(args, name, seed, options, part, model, keep)
                print(
                    f"{name}, seed {seed}: {part['nats']:.2f} nats, {part['seconds']:.0f} s, "
                    f"{part['epochs']} epochs", flush=True)
    table(names, seeds, parts)
    order(names, seeds, parts)


if __name__ == "__main__":
    main()
