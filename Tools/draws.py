"""Which way to draw without parents gives files most like real ones: a table of KID and coverage.

    ./.libtorch-python Tools/draws.py DATA [--seeds 3] [--samples 1000] [--methods density,prior,…]
        [--steps 600] [--models DIR] [--latent PATH] [-- TRAIN OPTIONS]

DATA has train/CLASS/ and test/CLASS/ with PNGs or WAVs. For each seed one model is trained on DATA/train
(`latent train --for augmentation --flow-steps 2000`), draws --samples files by each method, every one
as it comes (--reject none), and `latent evaluate augmentation` compares them with DATA/test:

    density    a mixture of Gaussians for each class, of the latents of the training files
    flow       a masked autoregressive flow of the same latents
    prior      N(0, 1)
    posterior  around training files: what the autoencoder alone loses; its files are near copies

KID, Frechet distance, density and coverage are those of `latent evaluate augmentation`: of the features
of a small classifier of DATA/train, and of 64 principal components of its maps, the same for all
methods and seeds. The row `real` has training files in place of drawn ones. KID is times 1000.
Printed are means over the seeds with standard deviations; and log p(z) in nats of held-out windows
under mixture and flow, as training found them. --models keeps the models, for further runs.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from arguments import divided


ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
METHODS = ["density", "flow", "prior", "posterior"]
FLOW_STEPS = 2000

# Features, figure, heading, digits, factor.
COLUMNS = [
    (features, figure, f"{heading} {mark}", digits, factor)
    for features, mark in (("classifier", "cl"), ("components", "pc"))
    for figure, heading, digits, factor in (
        ("kid", "KID", 2, 1000), ("coverage", "coverage", 3, 1), ("density", "density", 3, 1),
        ("frechet_distance", "Frechet", 2, 1))]


def run(command):
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False)
    if result.returncode:
        said = result.stderr.strip().splitlines() or ["nothing was said"]
        sys.exit(f"{' '.join(map(str, command))}\nended with {result.returncode}: {said[-1]}")
    return result.stdout


def trained(args, seed, options, folder):
    """The model of a seed, and log p(z) of held-out windows under mixture and flow."""
    model = folder / f"{args.data.resolve().name}-{seed}.safetensors"
    if not model.exists():
        run([args.latent, "train", args.data / "train", "-o", model, "--for", "augmentation",
             "--deform-steps", 0, "--flow-steps", FLOW_STEPS, "--seed", seed, "--quiet", *options])
    flow = json.loads(run([args.latent, "inspect", model, "--format", "json"])).get("flow", {})
    return model, {"density": flow.get("mixtureHeldOutNats"), "flow": flow.get("heldOutNats")}


def drawn(args, model, method, seed, folder):
    output = folder / method
    run([args.latent, "augment", "-m", model, *([args.data / "train"] if method == "posterior" else []),
         "-o", output, "-n", args.samples, "--method", method, "--reject", "none", "--seed", seed,
         "--quiet"])
    return output


def figures(args, folder):
    """Figures of the files in a folder, and of real ones in their place, by features and name."""
    lines = run([args.latent, "evaluate", "augmentation", "--real", args.data / "train",
                 "--synthetic", folder, "--holdout", args.data / "test", "--seeds", 0, "--steps",
                 args.steps, "--format", "ndjson", "--quiet"])
    found = {"synthetic": {}, "real": {}}
    for line in map(json.loads, lines.splitlines()):
        if line.get("subject") in found and line.get("features"):
            found[line["subject"]][line["features"], line["metric"]] = line["value"]
    return found["synthetic"], found["real"]


def spread(values, digits):
    text = f"{statistics.mean(values):.{digits}f}"
    return text + (f" ±{statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def row(name, found, nats):
    cells = [
        spread([factor * figures[features, figure] for figures in found], digits)
        for features, figure, _, digits, factor in COLUMNS]
    return [name, *cells, spread(nats, 2) if nats else "-"]


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--steps", type=int, default=600, help="of the classifier of the features")
    parser.add_argument("--models", type=pathlib.Path, help="a folder that keeps the models")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    methods = args.methods.split(",")
    for method in methods:
        if method not in METHODS:
            parser.error(f"--methods has {method}; known are {', '.join(METHODS)}")
    found = {method: [] for method in [*methods, "real"]}
    nats = {method: [] for method in found}
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        models = args.models or temporary
        models.mkdir(parents=True, exist_ok=True)
        for seed in range(args.seeds):
            model, levels = trained(args, seed, options, models)
            for method in methods:
                folder = drawn(args, model, method, seed, temporary / str(seed))
                own, real = figures(args, folder)
                found[method].append(own)
                nats[method] += [levels[method]] if levels.get(method) is not None else []
                print(f"seed {seed}  " + "  ".join(row(method, [own], nats[method][-1:])),
                      file=sys.stderr, flush=True)
            found["real"].append(real)
    print(f"{args.data.resolve().name}: {args.samples} files by each method against "
          f"test/, {args.seeds} seed{'s' if args.seeds > 1 else ''}; latent train "
          + (" ".join(options) or "(defaults)"))
    print("cl: features of a classifier, pc: principal components; KID is times 1000")
    table = [["method", *(heading for _, _, heading, _, _ in COLUMNS), "log p(z)"]]
    table += [row(method, found[method], nats[method]) for method in found]
    widths = [max(map(len, column)) for column in zip(*table)]
    for cells in table:
        print("  ".join(cell.rjust(width) if place else cell.ljust(width)
                        for place, (cell, width) in enumerate(zip(cells, widths))).rstrip())


if __name__ == "__main__":
    main()
