"""Do files of `latent augment` make a classifier better? A table of accuracies, and paired differences.

    ./.libtorch-python Tools/usefulness.py DATA [--n 10] [--seeds 5] [--rows real,classic,…]
        [--group speaker] [--on train] [--networks 1] [--imbalance [--classes 8,…]] [--cache DIR]
        [--latent PATH]

DATA has train/CLASS/ and test/CLASS/ with PNGs or WAVs. For each seed, --n real files of each class
are drawn from DATA/train; `latent train --for augmentation` reads these alone, `latent augment` writes
1000 files of each class from them, and one small network (two 3x3 convolutions; 600 steps of AdamW
with batches of 64) is trained on each row and asked about all of DATA/test; with --networks several, from
other first weights and by other draws, whose mean accuracy is the seed's:

    real             the real files alone
    classic          each real file changed anew at each step: images turned by up to 14 degrees,
                     scaled by up to 15 % and shifted by up to 7.5 % of a side; recordings shifted by
                     an eighth of the frames, louder or softer, with noise, bands and frames hidden
    classic+elastic  and warped smoothly by a grid of 4x4 random shifts (sd 5 % of a side)
    smote            half of a batch real, half between a real file and one of its 5 nearest of the
                     same class, pixel by pixel or mel by mel (Chawla 2002)
    random           half real, half real files deformed by random numbers: those of a deformation of
                     `latent`, each independent and normal, of the same root mean square as `ours`
    ours             half real, half `latent augment --method deform`
    random+classic, smote+classic, ours+classic
                     the same, and all of it changed as in `classic`
    random alone, smote alone, ours alone
                     no real files at all (TSTR)
    density, density+classic, prior…
                     as ours, of the autoencoder's own samples (--rows asks for them)
    auto             the folder that `latent augment --method auto --include-originals` writes, which is
                     asked for as many new files and may write fewer; files of it in random order
                     (--rows asks for it, and for the next)
    classic written, classic+elastic written, half shift written, half shift+elastic written
                     the same of `--transform classic`, `classic,elastic`, and both with shift=0.075

Every setting stands here and is the same for all data; none was chosen on DATA/test. With --on train
the network is asked about those files of DATA/train that the seed did not draw: that is what settings
of `latent` may be chosen by.

Printed are means over the seeds with standard deviations, and paired differences with 95 % intervals
of Student's t over the seeds. With --group, rows are of test files whose group (the second part of
the file's name between underscores, as FSDD has it) is in none of the real ones: a seed keeps one
group for the test, in turn, and draws from the others, of both folders.

--imbalance: one class has --n files and the others --others (200); balanced accuracy and the rare
class's recall, over every class in turn, each row filling up the rare class to the others' count:

    real, classic                nothing filled up
    resample, resample+classic   the rare files more often
    smote, smote+classic         with SMOTE
    random, random+classic       with random deformations of the size of ours
    ours, ours+classic           with files of `latent augment --method deform`
    all, all+classic             half of a batch real, the rare ones more often, half deformed files of
                                 every class alike (--per-class), so that what deformed files look
                                 like does not tell the rare class

Files and figures are kept in --cache (usefulness-cache below the folder for temporary files), so that a run
can go on, or have further seeds or rows.
"""

import argparse
import hashlib
import json
import pathlib
import statistics
import tempfile

import numpy as np
import torch

from usefulness_arms import Real, files_of, group_of, imbalanced_source, source
from usefulness_classifier import accuracy_of, read
from usefulness_statistics import Figures, table

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
VERSION = 3  # of what is kept: another one forgets all of it

ROWS = ["real", "classic", "classic+elastic", "smote", "random", "ours", "smote+classic",
        "random+classic", "ours+classic", "smote alone", "random alone", "ours alone"]
IMBALANCE_ROWS = ["real", "classic", "resample", "resample+classic", "smote", "smote+classic",
                  "random", "random+classic", "ours", "ours+classic", "all", "all+classic"]
PAIRS = [
    ("ours", "real"), ("ours", "random"), ("ours", "smote"), ("ours alone", "real"),
    ("ours alone", "classic"), ("classic+elastic", "classic"), ("ours+classic", "classic"),
    ("ours+classic", "classic+elastic"), ("ours+classic", "random+classic"),
    ("ours+classic", "smote+classic"), ("auto", "real"), ("auto", "classic"),
    ("auto", "classic+elastic")]
IMBALANCE_PAIRS = [
    ("ours", "resample"), ("ours", "smote"), ("ours", "random"),
    ("ours+classic", "resample+classic"), ("ours+classic", "smote+classic"),
    ("ours+classic", "random+classic"), ("ours+classic", "smote"), ("all", "resample"),
    ("all+classic", "resample+classic"), ("all+classic", "smote+classic")]


def chosen(files, count, seed):
    """`count` files of each class, or as many as there are, by the seed."""
    order = np.random.default_rng(seed)
    result = {}
    for k, name in enumerate(sorted(files)):
        most = count[k] if isinstance(count, list) else count
        places = order.permutation(len(files[name]))[:most]
        result[name] = [files[name][i] for i in sorted(places)]
    return result


def key_of(*parts):
    return hashlib.sha256(json.dumps([VERSION, *map(str, parts)]).encode()).hexdigest()[:16]


def few(args, files, test_files):
    rows = args.rows or ROWS
    groups = []
    if args.group:
        merged = {name: files[name] + test_files.get(name, []) for name in files}
        groups = sorted({group_of(p) for paths in merged.values() for p in paths})
    figures = {row: [] for row in rows}
    for seed in range(args.seeds):
        if args.group:
            held = groups[seed % len(groups)]
            pool = {k: [p for p in v if group_of(p) != held] for k, v in merged.items()}
            tested = {k: [p for p in v if group_of(p) == held] for k, v in merged.items()}
        else:
            pool, tested = files, test_files
        names = sorted(files)
        drawn = chosen(pool, args.n, seed)
        real = Real(args, drawn, seed, key_of(args.data.resolve(), args.n, seed, args.group))
        # Other files of train/, for --on train, are asked about in the same go.
        rest = {} if args.group else {
            name: [p for p in files[name] if p not in set(drawn[name])] for name in names}
        pairs = [(p, k, "test") for k, name in enumerate(names) for p in tested[name]]
        pairs += [(p, k, "train") for k, name in enumerate(names) for p in rest.get(name, [])]
        asked, truth = read([p for p, _, _ in pairs]), torch.tensor([k for _, k, _ in pairs])
        parts = {part: torch.tensor([i for i, pair in enumerate(pairs) if pair[2] == part])
                 for part in ("test", "train")}
        kept = Figures(real.folder / "figures.json")

        def figure(row, network):
            found = accuracy_of(
                source(real, row), real.x.shape[1:], len(names), asked, seed + 100 * network)
            return {part: 100 * (found == truth)[places].float().mean().item()
                    for part, places in parts.items() if len(places)}

        for row in rows:
            accuracies = [
                kept.get(row if k == 0 else f"{row}, network {k}", lambda: figure(row, k))[args.on]
                for k in range(args.networks)]
            figures[row].append(statistics.mean(accuracies))
            print(f"seed {seed}  {row:18}{figures[row][-1]:6.1f}", flush=True)
    group = f", whole {args.group}s held out" if args.group else ""
    where = "test files" if args.on == "test" else "other files of train/"
    networks = f", mean of {args.networks} networks" if args.networks > 1 else ""
    table(f"{args.data.name}: accuracy in %, {args.n} files a class{group}, {len(parts[args.on])} {where}"
          f"{networks}",
          rows, PAIRS, figures)


def imbalance(args, files, test_files):
    rows = args.rows or IMBALANCE_ROWS
    names = sorted(files)
    pairs = [(p, k) for k, name in enumerate(names) for p in test_files[name]]
    test, truth = read([p for p, _ in pairs]), torch.tensor([k for _, k in pairs])
    balanced, rare_recall = {row: [] for row in rows}, {row: [] for row in rows}
    for seed in range(args.seeds):
        for rare, name in enumerate(names):
            if args.classes and name not in args.classes:
                continue
            counts = [args.n if k == rare else args.others for k in range(len(names))]
            real = Real(args, chosen(files, counts, seed), seed,
                        key_of(args.data.resolve(), counts, seed))
            kept = Figures(real.folder / "figures.json")

            def figure(row):
                draw = imbalanced_source(real, row, rare, args.others - args.n)
                found = accuracy_of(draw, real.x.shape[1:], len(names), test, seed)
                recalls = [(found[truth == k] == k).float().mean().item() for k in range(len(names))]
                return [100 * statistics.mean(recalls), 100 * recalls[rare]]

            for row in rows:
                value = kept.get(row, lambda: figure(row))
                balanced[row].append(value[0])
                rare_recall[row].append(value[1])
                print(f"seed {seed}  rare {name}  {row:18}{value[0]:6.1f}{value[1]:7.1f}", flush=True)
    what = f"{args.data.name}: {args.n} files of one class, {args.others} of each other"
    table(f"{what}; balanced accuracy in %", rows, IMBALANCE_PAIRS, balanced)
    table(f"{what}; recall of the rare class in %", rows, IMBALANCE_PAIRS, rare_recall)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=lambda text: text.split(","))
    parser.add_argument("--group", help="hold whole groups out, such as speaker")
    parser.add_argument("--on", choices=["test", "train"], default="test",
                        help="where the network is asked")
    parser.add_argument("--networks", type=int, default=1, help="trained for each row and seed")
    parser.add_argument("--imbalance", action="store_true")
    parser.add_argument("--others", type=int, default=200)
    parser.add_argument("--classes", type=lambda text: text.split(","))
    parser.add_argument("--cache", type=pathlib.Path,
                        default=pathlib.Path(tempfile.gettempdir()) / "usefulness-cache")
    parser.add_argument("--latent", type=pathlib.Path, default=LATENT)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.group and args.on == "train":
        parser.error("--group holds files of both folders out; leave --on out")
    if args.networks < 1 or args.networks > 1 and args.imbalance:
        parser.error("--networks is 1 or more, and 1 with --imbalance")
    torch.set_num_threads(args.threads)
    files, test_files = files_of(args.data / "train"), files_of(args.data / "test")
    args.cache.mkdir(parents=True, exist_ok=True)
    (imbalance if args.imbalance else few)(args, files, test_files)


if __name__ == "__main__":
    main()
