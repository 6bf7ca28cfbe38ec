"""What each fixed view tells, beside the one that `--view auto` chooses: AUROC of the default score.

    ./.libtorch-python Tools/views.py DATA [--classes 0,1,…] [--every N] [--seeds 1] [--samples N]
        [--held-out] [--views gradients,smooth;pixels …] [--workers N] [-- TRAIN OPTIONS]

DATA, --samples and --held-out are as for Tools/detection.py. For each class (or every Nth of them) a
model is trained with `auto`, then one with each of the views, alone and in pairs (of recordings without
contrast, which is made for images); for recordings each with the level kept and removed. The view that
auto chose is not trained again. A line for each view has the mean over classes and seeds, its gap to the
best, the processor seconds of training, and the classes; the last says how far auto is from the best
single view and from the best of all, pairs too.

The best fixed view is found on the test files, with their anomalies: no choice by normal files alone
can be expected to beat it.
"""

import argparse
import concurrent.futures
import itertools
import pathlib
import tempfile

import numpy as np

from arguments import divided
import detection


def chosen(record):
    """The options that would have given a model its views."""
    views = [record["preprocessing"], *(v["preprocessing"] for v in record.get("furtherViews", []))]
    names = [next(iter(v["transform"])) if "transform" in v else next(iter(v["view"])) for v in views]
    (kind, numbers), = views[0]["view"].items()
    level = ["--level", "kept" if "referenceNats" in numbers else "removed"]
    return ("--view", ",".join(names), *(level if kind == "log-mel" else []))


def candidates(is_audio, names):
    """The options of every fixed view."""
    plain = "log-mel" if is_audio else "pixels"
    single = [plain, "gradients", "contrast", "smooth"]
    paired = [name for name in single if not is_audio or name != "contrast"]
    names = names or single + [",".join(pair) for pair in itertools.combinations(paired, 2)]
    levels = [("--level", "kept"), ("--level", "removed")] if is_audio else [()]
    return [("--view", name, *level) for name in names for level in levels]


def title(options):
    return ", level ".join(options[1::2])


def same(options, others):
    """Whether two lists of options are of the same views, in whatever order."""
    return set(options[1].split(",")) == set(others[1].split(",")) and options[2:] == others[2:]


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--classes", help="comma-separated; all in train/ by default")
    parser.add_argument("--every", type=int, default=1, help="every Nth of the classes alone")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--samples", type=int, help="of each recording that are kept")
    parser.add_argument(
        "--held-out", action="store_true", help="all classes but one are normal")
    parser.add_argument("--views", help="semicolons between views; all and all pairs by default")
    parser.add_argument("--workers", type=int, default=1, help="models at once")
    args = parser.parse_args(arguments)
    names = args.classes.split(",") if args.classes else sorted(
        p.name for p in (args.data / "train").iterdir())
    names = names[::args.every]
    is_audio = any((args.data / "train" / names[0]).glob("*.wav"))
    print(
        f"{args.data.name}{', held out' if args.held_out else ''}: classes {','.join(names)}, "
        f"{args.seeds} seeds; latent train {' '.join(options)}", flush=True)
    folder = tempfile.TemporaryDirectory()
    if args.samples:
        args.data = detection.shortened(args.data, pathlib.Path(folder.name), args.samples)
    runs = [(name, seed) for seed in range(args.seeds) for name in names]
    pool = concurrent.futures.ThreadPoolExecutor(args.workers)

    def result(run, view):
        rows, record, seconds, _ = detection.trained(
            args.data, *run, args.held_out, [*view, *options])
        score = np.array([row["score"] for row in rows])
        return (
            detection.auroc_of(score, detection.normal_rows(rows, run[0], args.held_out)),
            seconds, record)

    def line(name, results, best=None):
        values = [r[0] for r in results]
        gap = "" if best is None else f"{np.mean(values) - best:+8.4f}"
        print(
            f"{name:34} {np.mean(values):7.4f} {gap:8} "
            f"{np.mean([r[1] for r in results]):6.1f} s  "
            + " ".join(f"{value:.4f}" for value in values), flush=True)

    automatic = list(pool.map(lambda run: result(run, ()), runs))
    choices = [chosen(r[2]) for r in automatic]
    line("auto: " + "; ".join(sorted({title(c) for c in choices})), automatic)
    tables = {}
    for view in candidates(is_audio, args.views and args.views.split(";")):
        jobs = [
            pool.submit(lambda r=r: r) if same(c, view) else pool.submit(result, run, view)
            for run, c, r in zip(runs, choices, automatic)]
        tables[title(view)] = [job.result() for job in jobs]
        line(title(view), tables[title(view)])
    print("\nfrom best to worst, with the gap to the best")
    means = {name: np.mean([r[0] for r in results]) for name, results in tables.items()}
    best = max(means.values())
    for name in sorted(means, key=means.get, reverse=True):
        line(name, tables[name], best)
    single = max(
        (value for name, value in means.items() if "," not in name.split(", ")[0]), default=best)
    mean = np.mean([r[0] for r in automatic])
    line("auto", automatic, best)
    print(
        f"auto is {mean - single:+.4f} from the best single view, {mean - best:+.4f} from the best "
        "of all")


if __name__ == "__main__":
    main()
