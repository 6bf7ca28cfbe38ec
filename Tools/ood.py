"""Files of another data set, and files of nothing: AUROC of the likelihood scores of one model.

    ./.libtorch-python Tools/ood.py IN OUT [--seeds 1] [--latent PATH] [-- TRAIN OPTIONS]

IN has train/ and test/, OUT has test/, with PNG files in class folders. A model is trained on
IN/train and scores IN/test, which is normal, and as anomalous: OUT/test; blank images (black and
white); constant ones of 30 levels of grey; and 30 of uniform noise, all as large as the first file of
IN/test. Printed for each score that the model has: AUROC of each against the normal files (0.5 says
nothing, below it the anomalies are taken for more normal than the normal files), a mean over the
seeds with its standard deviation, and seconds of scoring all of them.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from arguments import divided
from detection import auroc

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
PLAIN = {
    "reconstruction-probability": ("reconstruction_nats", -1), "elbo": ("negative_elbo_nats", 1),
    "iw-bound": ("negative_iw_bound_nats", 1), "kl": ("kl_nats", 1), "mse": ("mse", 1),
    "neighbours": ("neighbours", 1), "ensemble": ("ensemble", 1)}
REQUESTED = [
    "likelihood-ratio", "regret", "elbo+complexity", "iw-bound+complexity",
    "reconstruction-probability+complexity", "elbo+bias", "iw-bound+bias",
    "reconstruction-probability+bias"]


def simple_images(folder, size):
    """Files of nothing, by kind."""
    generator = np.random.default_rng(0)
    kinds = {
        "blank": [np.full(size, level) for level in (0, 255)],
        "constant": [np.full(size, level) for level in np.linspace(4, 251, 30)],
        "noise": [generator.integers(0, 256, size) for _ in range(30)]}
    for kind, pictures in kinds.items():
        (folder / kind).mkdir()
        for index, picture in enumerate(pictures):
            Image.fromarray(np.uint8(picture)).save(folder / kind / f"{index:02}.png")
    return list(kinds)


def lines_of(latent, model, data, *options):
    """The lines of a scoring, None where the model does not have the score."""
    run = subprocess.run(
        [latent, "score", "-m", model, *data, "--quiet", *options], capture_output=True, text=True)
    if run.returncode == 64:
        return None
    if run.returncode:
        sys.exit(run.stderr)
    return [json.loads(line) for line in run.stdout.splitlines()]


def measure(latent, args, options, seed, results):
    """Trains a model and adds its figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        model = folder / "model.safetensors"
        start = time.time()
        run = subprocess.run(
            [latent, "train", args.normal / "train", "-o", model, "--quiet", "--seed", str(seed),
             *options], capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        print(f"seed {seed}: trained in {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        (folder / "simple").mkdir()
        first = min((args.normal / "test").rglob("*.png"))
        kinds = simple_images(folder / "simple", Image.open(first).size[::-1])
        data = [args.normal / "test", args.other / "test", folder / "simple"]

        def add(score, values, paths, seconds):
            values = np.array(values, float)
            def of(place):
                return values[[place in path.parents for path in paths]]

            normal = of(data[0])
            groups = {args.other.name: of(data[1])} | {
                kind: of(data[2] / kind) for kind in kinds}
            for group, found in groups.items():
                results.setdefault(score, {}).setdefault(group, []).append(auroc(normal, found))
            results[score].setdefault("s", []).append(seconds)

        start = time.time()
        lines = lines_of(latent, model, data)
        paths = [pathlib.Path(line["path"]) for line in lines]
        seconds = time.time() - start
        for score, (component, sign) in PLAIN.items():
            if component in lines[0]["components"]:
                add(score, [sign * line["components"][component] for line in lines], paths, seconds)
        for score in REQUESTED:
            start = time.time()
            lines = lines_of(latent, model, data, "--score", score)
            if lines:
                add(score, [line["score"] for line in lines], paths, time.time() - start)


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("normal", metavar="IN", type=pathlib.Path)
    parser.add_argument("other", metavar="OUT", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    results = {}
    for seed in range(args.seeds):
        measure(args.latent, args, options, seed, results)
    print(f"{args.normal.name} against {args.other.name}: latent train {' '.join(options)}")
    groups = [group for group in next(iter(results.values())) if group != "s"]
    print(f"{'score':38}" + "".join(f"{group:>16}" for group in groups) + f"{'s':>9}")
    for score, figures in results.items():
        cells = []
        for group in groups:
            text = f"{np.mean(figures[group]):.3f}"
            if args.seeds > 1:
                text += f" ± {np.std(figures[group], ddof=1):.3f}"
            cells.append(f"{text:>16}")
        print(f"{score:38}" + "".join(cells) + f"{np.mean(figures['s']):9.1f}")


if __name__ == "__main__":
    main()
