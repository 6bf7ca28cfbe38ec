"""What `latent evaluate augmentation` says of sets that are known: fresh files, copies, and drawn ones.

    ./.libtorch-python Tools/leakage.py DATA [--per N] [--seeds 3] [--steps 600] [--copies 50]
        [--methods density,prior,posterior] [--latent PATH] [-- TRAIN OPTIONS]

DATA has class folders, or train/ with class folders. Of each class every third file, --per of them or
all, is what a model is trained on (`latent train --for augmentation`) and what is real; every other
third is held out, from the same source, so that nothing but being seen tells the two apart; the rest is
fresh, as good as a synthetic set can be. Judged are:

    fresh      the last third: leakage about 50 %, and of a hundred files about one a copy
    copies     the real files themselves: leakage and copies 100 %
    planted    fresh files of which --copies are real ones instead: all are to be found
    METHOD     as many files as are real, drawn by the model

A line for each: density, coverage and KID in principal components, C2ST, leakage and copies in
per cent, and the accuracy of a small classifier trained on real files, on both, and on these alone,
over --seeds. Exit code 1 when fresh files leak by other than 45 to 55 %, copies by less than 99 %, or
of the planted copies fewer than 95 % are found.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from arguments import divided

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command):
    result = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        said = result.stderr.strip().splitlines() or ["nothing was said"]
        sys.exit(f"{' '.join(map(str, command))}\nended with {result.returncode}: {said[-1]}")
    return result.stdout


def fill(folder, files):
    """Links files into class folders; names that are there already get another."""
    for number, file in enumerate(files):
        target = folder / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target = target.with_stem(f"{target.stem}-{number}")
        shutil.copyfile(file, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--per", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--methods", default="density,prior,posterior")
    parser.add_argument("--latent", type=pathlib.Path, default=ROOT / ".build/release/latent")
    words, options = divided()
    arguments = parser.parse_args(words)

    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        real, held, fresh = [], [], []
        root = arguments.data / "train" if (arguments.data / "train").is_dir() else arguments.data
        for folder in sorted(root.iterdir()):
            files = sorted(file for file in folder.iterdir() if file.suffix in (".png", ".wav"))
            real += files[::3][:arguments.per]
            held += files[1::3]
            fresh += files[2::3][:arguments.per]
        fill(work / "real", real)
        fill(work / "held", held)
        sets = {"fresh": fresh, "copies": real}
        step = max(1, len(real) // arguments.copies)
        planted = real[::step][:arguments.copies]
        sets["planted"] = fresh[:max(0, len(fresh) - len(planted))] + planted
        for title, files in sets.items():
            fill(work / title, files)
        folders = list(sets)
        methods = [method for method in arguments.methods.split(",") if method]
        if methods:
            model = work / "model.safetensors"
            run([arguments.latent, "train", work / "real", "--for", "augmentation", "-o", model,
                 *options])
            for method in methods:
                needs = [] if method in ("density", "prior") else [work / "real"]
                run([arguments.latent, "augment", "-m", model, *needs, "-o", work / method, "-n",
                     len(real), "--method", method])
                folders.append(method)

        print(f"{len(real)} real and {len(held)} held-out files\n")
        print(f"{'':10} {'dens.':>6} {'cover.':>6} {'KID':>7} {'C2ST':>5} {'leak %':>13} "
              f"{'copies %':>15} {'equal':>5} {'real':>6} {'both':>6} {'alone':>6}")
        failed = []
        for title in folders:
            lines = run([
                arguments.latent, "evaluate", "augmentation", "--real", work / "real",
                "--synthetic", work / title, "--holdout", work / "held", "--steps",
                arguments.steps, "--seeds", arguments.seeds]).splitlines()
            found = {}
            for line in map(json.loads, lines):
                key = line["metric"], line["subject"]
                if line["class"] is None and line["features"] != "classifier":
                    found[key] = line

            def value(metric, subject="synthetic"):
                return found.get((metric, subject), {}).get("value", float("nan"))

            def interval(metric):
                line = found[metric, "synthetic"]
                return (f"{100 * line['value']:.1f} "
                        f"({100 * line['low']:.0f}-{100 * line['high']:.0f})")

            accuracies = [
                100 * value("accuracy", name) for name in ("real", "real+synthetic", "synthetic")]
            print(f"{title:10} {value('density'):6.2f} {value('coverage'):6.2f} "
                  f"{value('kid'):7.3f} {value('c2st_accuracy'):5.2f} "
                  f"{interval('leakage_share'):>13} {interval('copy_share'):>15} "
                  f"{value('identical_count'):5d} "
                  + " ".join(f"{accuracy:6.1f}" for accuracy in accuracies), flush=True)
            leakage = 100 * value("leakage_share")
            if title == "fresh" and not 45 <= leakage <= 55:
                failed.append("fresh files leak")
            if title == "copies" and min(leakage, 100 * value("copy_share")) < 99:
                failed.append("copies are missed")
            if title == "planted" and value("identical_count") < 0.95 * len(planted):
                failed.append("planted copies are missed")
        if failed:
            sys.exit("\nNOT as it should be: " + ", ".join(failed))


if __name__ == "__main__":
    main()
