"""Does a false-alarm rate of 1 % mean 1 %: rates realised on fresh normal files, against theory.

    ./.libtorch-python Tools/promise.py DATA… [--splits 10] [--fresh mixed|test] [--fit 0.25]
        [--workers 2] [--latent FILE] [-- TRAIN OPTIONS]

DATA has train/CLASS/FILE and test/CLASS/FILE, PNG or WAV; each class in turn is what is normal. One
model is trained for each class on a share (--fit) of its files, drawn from train/. The files of the
class that are left are divided at random, once for each split, into calibration files (half, or 99
where half is fewer: 1 % needs so many; 10 at least stay fresh) and fresh ones. With --fresh test the
fresh files are those of test/, always the same, and calibration files are drawn from train/.

For each split `latent calibrate` sets the thresholds, and `latent score` judges the fresh files by
them. With n calibration and m fresh files, the number of fresh ones that is flagged at a rate is
beta-binomial(m, l, n + 1 - l), l = ⌊(n + 1) · rate⌋; a pair of class and split is inside where it is
between the 2.5 % and 97.5 % quantiles of that. These are whole numbers, so that the band covers more
than 95 %: `covers` is the exact share. `p(inside)` is the two-sided binomial test of the number of
pairs inside against it, `p(mean)` a normal test of the total of flagged files against its mean and
variance. The verdicts of `latent score --false-alarms` are compared with the threshold that calibrate
printed, in each split at one of the rates, in turn; a difference ends the script.

What is not independent: all splits of a class share one model and one set of files, and the three
rates share splits. For splits at random the tests hold all the same: which ranks the fresh files have
among all is decided by the split alone, whatever the scores are. So they show that program and
arithmetic keep the promise where files are exchangeable. Whether they are is another question: that
is what --fresh test looks at, where the split is that of the data's makers; there all splits of a
class judge the same files, the tests say too much, and mean and share inside are to be read as they
are.

False discoveries: of each split the fresh files and a quarter as many files of other classes are one
batch of `latent score --fdr 0.1`; the share of normal files among the flagged (0 where none is) is
averaged over batches. Its standard error is that of the means of the classes, which share nothing but
the data set.
"""

import argparse
import concurrent.futures
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
from scipy.stats import betabinom, norm

from arguments import divided

ROOT = pathlib.Path(__file__).resolve().parent.parent
RATES = [0.01, 0.05, 0.1]
DISCOVERY_RATE = 0.1


def run(command, paths=(), status=0):
    """Runs latent with paths on standard input; gives its lines and what it said."""
    done = subprocess.run(
        [str(word) for word in command], input="".join(f"{path}\n" for path in paths),
        capture_output=True, text=True)
    if done.returncode != status:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def files(folder):
    return sorted(path for path in folder.iterdir() if path.suffix in (".png", ".wav"))


def calibration_count(count):
    """How many of the files that are left are calibrated on."""
    return max(count // 2, min(99, count - 10))


def one_class(latent, data, name, args, options):
    """All splits of a class: rows of (rate, flagged, fresh, calibration files), batches of (normal
    files among the flagged, flagged, anomalous files found, anomalous files), and what 50 files got."""
    chance = random.Random(f"{data.name} {name} {args.seed}")
    own, tests = files(data / "train" / name), files(data / "test" / name)
    others = [
        path for part in ("train", "test") for folder in sorted((data / part).iterdir())
        if folder.name != name for path in files(folder)]
    fitted = chance.sample(own, round(args.fit * (len(own) + len(tests))))
    left = [path for path in own if path not in set(fitted)]
    rows, batches = [], []
    with tempfile.TemporaryDirectory() as folder:
        model, calibrated = f"{folder}/model", f"{folder}/calibrated"
        run([latent, "train", "-", "-o", model, "--quiet", "--threads", 1, "--for", "detection",
             *options], fitted)
        refused = run(
            [latent, "calibrate", "-m", model, "-", "-o", f"{folder}/none", "--false-alarms",
             "0.01", "--threads", 1], chance.sample(left, min(50, len(left))), status=64)[1]
        for split in range(args.splits):
            if args.fresh == "test":
                calibration = chance.sample(left, calibration_count(len(left)))
                fresh = tests
            else:
                pool = chance.sample(left + tests, len(left) + len(tests))
                count = calibration_count(len(pool))
                calibration, fresh = pool[:count], pool[count:]
            lines, _ = run(
                [latent, "calibrate", "-m", model, "-", "-o", calibrated, "--force", "--quiet",
                 "--threads", 1], calibration)
            thresholds = {line["rate"]: line["threshold"] for line in lines}
            n = lines[0]["files"]
            score = [latent, "score", "-m", calibrated, "-", "--quiet", "--threads", 1]
            odd = chance.sample(others, max(1, len(fresh) // 4))
            batch, _ = run(score + ["--fdr", DISCOVERY_RATE], fresh + odd)
            false = sum(line["anomaly"] for line in batch[:len(fresh)])
            found = sum(line["anomaly"] for line in batch[len(fresh):])
            batches.append((false, false + found, found, len(odd)))
            scores = np.array([line["score"] for line in batch[:len(fresh)]])
            for index, rate in enumerate(RATES):
                if thresholds[rate] is None:
                    rows.append((rate, None, len(fresh), n))
                    continue
                flagged = scores > thresholds[rate]
                rows.append((rate, int(flagged.sum()), len(fresh), n))
                if split % len(RATES) == index:
                    lines, _ = run(score + ["--false-alarms", rate], fresh)
                    if [line["anomaly"] for line in lines] != flagged.tolist():
                        sys.exit(f"{name}, split {split}: score and calibrate differ at {rate}")
    return rows, batches, refused.strip()


def report(title, rows):
    """One table line of a data set at a rate."""
    rate = rows[0][0]
    kept = [(flagged, m, n) for _, flagged, m, n in rows if flagged is not None]
    start = f"{title:14} {100 * rate:4.3g} %"
    if not kept:
        sizes = sorted({n for _, _, _, n in rows})
        print(f"{start}  refused: {sizes[0]} to {sizes[-1]} calibration files")
        return
    # The distribution of the number of pairs inside, of which each has its own band.
    inside, total, expected, variance, covers = 0, 0, 0.0, 0.0, np.ones(1)
    for flagged, m, n in kept:
        rank = int((n + 1) * rate * (1 + 1e-12))
        theory = betabinom(m, rank, n + 1 - rank)
        low, high = theory.ppf(0.025), theory.ppf(0.975)
        inside += low <= flagged <= high
        share = theory.cdf(high) - theory.cdf(low - 1)
        covers = np.convolve(covers, [1 - share, share])
        total, expected, variance = total + flagged, expected + theory.mean(), variance + theory.var()
    fresh = sum(m for _, m, _ in kept)
    mean_inside = float(np.arange(len(covers)) @ covers)
    print(
        f"{start} {len(kept):6} {len(rows) - len(kept):8} {inside:7} {inside / len(kept):6.3f} "
        f"{mean_inside / len(kept):7.3f} {two_sided(covers, inside):9.3f} {total / fresh:9.4f} "
        f"{expected / fresh:9.4f} {2 * norm.sf(abs(total - expected) / variance ** 0.5):8.3f}"
        f"   {min(n for _, _, n in kept)}/{min(m for _, m, _ in kept)}")


def two_sided(chances, count):
    """The chance of a count that is no likelier than the one found."""
    return float(chances[chances <= chances[count] * (1 + 1e-9)].sum())


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path, nargs="+")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--fresh", choices=["mixed", "test"], default="mixed")
    parser.add_argument("--fit", type=float, default=0.25, help="share of a class that is fitted to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="classes at once")
    parser.add_argument("--latent", type=pathlib.Path, default=ROOT / ".build/release/latent")
    args = parser.parse_args(arguments)

    rows, batches = {}, {}
    jobs = [(data, folder.name) for data in args.data for folder in sorted(
        (data / "train").iterdir())]
    refusals = set()
    with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
        done = pool.map(lambda job: one_class(args.latent, *job, args, options), jobs)
        for (data, name), (own, found, refused) in zip(jobs, done):
            rows.setdefault(data.name, []).extend(own)
            batches[data.name, name] = found
            refusals.add(refused.split(": ", 2)[-1])
            print(f"{data.name} {name}: {len(found)} splits", file=sys.stderr, flush=True)
    print(
        f"{args.splits} splits of each class, fresh files {args.fresh}; calibration/fresh: the "
        "least of them\n"
        "data           rate    pairs  refused  inside  share  covers p(inside)  realised  expected"
        "  p(mean)   calibration/fresh")
    for rate in RATES:
        every = []
        for data in args.data:
            own = [row for row in rows[data.name] if row[0] == rate]
            report(data.name, own)
            every += own
        if len(args.data) > 1:
            report("all", every)
    print(
        f"\nBenjamini-Hochberg at {DISCOVERY_RATE}\n"
        "data           batches  none flagged  false discoveries  + or -  anomalous found")
    for title in [data.name for data in args.data] + (["all"] if len(args.data) > 1 else []):
        own = [found for (data, _), found in batches.items() if title in (data, "all")]
        shares = [np.mean([false / max(1, flagged) for false, flagged, _, _ in b]) for b in own]
        flat = [batch for b in own for batch in b]
        error = np.std(shares, ddof=1) / len(shares) ** 0.5 if len(shares) > 1 else float("nan")
        mean = np.mean(shares)
        print(
            f"{title:14} {len(flat):7} {sum(b[1] == 0 for b in flat):13} {mean:18.4f} "
            f"{error:7.4f} {sum(b[2] for b in flat) / sum(b[3] for b in flat):16.3f}"
            f"  {'kept' if mean <= DISCOVERY_RATE + 2 * error else 'NOT KEPT'}")
    print("\n1 % of 50 calibration files: " + "; ".join(sorted(refusals)))


if __name__ == "__main__":
    main()
