"""Whether a conditional model makes what it is asked for, judged by classifiers of real files.

    ./.libtorch-python Tools/conditional.py mnist DATA [--per 100] [--ask turns|each] [--seed 0]
        [--method density|prior] [--spread 1]
        [--model FILE] [--sheet FILE] [--target 95] [--latent PATH] [-- TRAIN OPTIONS]
    ./.libtorch-python Tools/conditional.py fsdd DATA [--per 5] … [--target 90]

mnist: DATA has train/CLASS/ and test/CLASS/ with grey PNGs; `latent train --condition class`.
fsdd: DATA has train/ and test/ with {digit}_{speaker}_{index}.wav; a manifest with the columns
digit and speaker is made of the names, and `latent train --condition digit,speaker` reads it.

For each combination of labels --per files are drawn by `latent augment --method density`: in one run,
which goes through all combinations in turn, or with `--ask each` in one run for each combination,
named by --condition. Classifiers trained here on the real training files alone
(Tools/classifier.py), for each attribute one, say what they hear or see.

Printed: how many real test files the classifiers get right, and how many of `rebuilt` ones, which
are real test files encoded and decoded without noise (what the model loses, labels aside); then the
share of generated files that are classified as asked, for each attribute and for all together,
overall, for each value and for the worst combination. --sheet writes a picture of generated files,
a row for each combination. --model keeps the model in FILE, or takes the one that is there. Exit
code 1 when the share of all labels together is below --target per cent.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

from arguments import divided
import classifier  # before torch: it says how threads wait
import contact_sheet
import torch
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"

# Attributes; how many files of each combination; expected per cent; epochs of the classifiers.
KINDS = {
    "mnist": dict(names=["class"], per=100, target=95, epochs=6, suffix=".png"),
    "fsdd": dict(names=["digit", "speaker"], per=5, target=90, epochs=12, suffix=".wav"),
}


def run(command):
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False)
    if result.returncode:
        said = result.stderr.strip().splitlines() or ["nothing was said"]
        sys.exit(f"{' '.join(map(str, command))}\nended with {result.returncode}: {said[-1]}")
    return result.stdout


def real_files(folder, kind):
    """Paths, and the labels of each by attribute."""
    paths = sorted(folder.rglob("*" + KINDS[kind]["suffix"]))
    if not paths:
        sys.exit(f"{folder}: no {KINDS[kind]['suffix']} files")
    if kind == "mnist":
        return paths, [{"class": path.parent.name} for path in paths]
    labels = []
    for path in paths:
        parts = path.stem.split("_")
        if len(parts) != 3:
            sys.exit(f"{path}: expected a name like digit_speaker_index.wav")
        labels.append({"digit": parts[0], "speaker": parts[1]})
    return paths, labels


def write_manifest(path, paths, labels):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", *labels[0]])
        for item, label in zip(paths, labels):
            writer.writerow([item.resolve(), next(iter(label.values())), *label.values()])


class Judge:
    """A classifier for each attribute."""

    def __init__(self, paths, labels, epochs):
        x = classifier.read(paths)
        self.values, self.networks = {}, {}
        for name in labels[0]:
            values = self.values[name] = sorted({label[name] for label in labels})
            y = torch.tensor([values.index(label[name]) for label in labels])
            self.networks[name] = classifier.trained(x, y, len(values), epochs)

    def right(self, paths, labels):
        """For each attribute, and for `all`, whether each file is classified as its labels say."""
        x = classifier.read(paths)
        marks = {
            name: classifier.predict(network, x) == torch.tensor(
                [self.values[name].index(label[name]) for label in labels])
            for name, network in self.networks.items()}
        if len(marks) > 1:
            marks["all"] = torch.stack(list(marks.values())).all(0)
        return marks


def generated(folder):
    """Paths and labels of what `latent augment` wrote, in the order of its manifest."""
    rows = [json.loads(line) for line in (folder / "manifest.ndjson").read_text().splitlines()]
    return [folder / row["file"] for row in rows], [row["attributes"] for row in rows]


def generate(args, model, combinations, folder):
    """--per files of each combination; checks that the manifest says what was asked for."""
    command = [args.latent, "augment", "-m", model, "--method", args.method, "--quiet",
               "--spread", args.spread]
    if args.ask == "turns":
        run([*command, "-o", folder, "-n", args.per * len(combinations), "--seed", args.seed])
        paths, labels = generated(folder)
    else:
        paths, labels = [], []
        for index, combination in enumerate(combinations):
            part = folder / str(index)
            asked = ",".join(f"{name}={value}" for name, value in combination.items())
            run([
                *command, "-o", part, "-n", args.per, "--condition", asked, "--seed",
                args.seed + index])
            found = generated(part)
            if any(label != combination for label in found[1]):
                sys.exit(f"--condition {asked} gave files that the manifest labels otherwise")
            paths += found[0]
            labels += found[1]
    for combination in combinations:
        if labels.count(combination) != args.per:
            sys.exit(f"{labels.count(combination)} files of {combination}, expected {args.per}")
    return paths, labels


def share(marks):
    return f"{100 * marks.double().mean().item():5.1f} %"


def report(marks, labels, combinations):
    print("\ngenerated as asked  " + ", ".join(
        f"{name} {share(values)}" for name, values in marks.items())
        + f" of {len(labels)} files")
    for name in labels[0]:
        for value in sorted({label[name] for label in labels}):
            chosen = torch.tensor([label[name] == value for label in labels])
            print(f"{f'{name} {value}':18}  " + ", ".join(
                f"{key} {share(values[chosen])}" for key, values in marks.items()))
    last = list(marks.values())[-1]
    shares = [
        (last[torch.tensor([label == combination for label in labels])].double().mean().item(),
         ",".join(f"{name}={value}" for name, value in combination.items()))
        for combination in combinations]
    worst = min(shares)
    print(f"worst: {worst[1]} with {100 * worst[0]:.1f} %")
    return last.double().mean().item()


def write_sheet(path, paths, labels, combinations, cell=48, columns=10):
    rows = [
        [item for item, label in zip(paths, labels) if label == combination][:columns]
        for combination in combinations]
    step = cell + contact_sheet.GAP
    width = max(len(row) for row in rows)
    sheet = Image.new(
        "RGB", (width * step + contact_sheet.GAP, len(rows) * step + contact_sheet.GAP),
        (40, 60, 90))
    for y, row in enumerate(rows):
        for x, item in enumerate(row):
            tile = contact_sheet.fit(
                contact_sheet.picture(item), cell, item.suffix == ".wav")
            sheet.paste(tile, (
                contact_sheet.GAP + x * step + (cell - tile.width) // 2,
                contact_sheet.GAP + y * step + (cell - tile.height) // 2))
    sheet.save(path)
    names = [",".join(combination.values()) for combination in combinations]
    print(f"{path}: rows {'; '.join(names)}")


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--per", type=int, help="files of each combination of labels")
    parser.add_argument("--ask", choices=["turns", "each"], default="turns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", choices=["density", "prior"], default="density")
    parser.add_argument("--spread", type=float, default=1.0, help="of the draws, as in augment")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--sheet", type=pathlib.Path)
    parser.add_argument("--target", type=float, help="per cent as asked, below which it fails")
    parser.add_argument("--classifier-epochs", type=int)
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    kind = KINDS[args.kind]
    args.per = args.per or kind["per"]
    target = kind["target"] if args.target is None else args.target

    paths, labels = real_files(args.data / "train", args.kind)
    tests, test_labels = real_files(args.data / "test", args.kind)
    combinations = sorted(
        (dict(items) for items in {tuple(label.items()) for label in labels}),
        key=lambda combination: tuple(combination.values()))
    judge = Judge(paths, labels, args.classifier_epochs or kind["epochs"])

    def say(title, marks, count):
        print(f"{title:18}  " + ", ".join(
            f"{name} {share(values)}" for name, values in marks.items()) + f" of {count} files")

    say("real test files", judge.right(tests, test_labels), len(tests))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = args.model or folder / "model.safetensors"
        manifests = folder / "train.csv", folder / "test.csv"
        write_manifest(manifests[0], paths, labels)
        write_manifest(manifests[1], tests, test_labels)
        if not model.exists():
            data = args.data / "train" if args.kind == "mnist" else manifests[0]
            run([
                args.latent, "train", data, "-o", model, "--condition", ",".join(kind["names"]),
                "--seed", args.seed, "--quiet", "--force", *options])
        record = json.loads(run([args.latent, "inspect", model, "--format", "json"]))
        print(f"{args.data.name}: latent train --condition {','.join(kind['names'])} "
              f"{' '.join(options)}: {len(record['training']['epochs'])} epochs")
        # The manifest's label names the class of images, its other columns those of recordings.
        run([
            args.latent, "augment", "-m", model, manifests[1], "-o", folder / "rebuilt", "-n",
            len(tests), "--method", "posterior", "--spread", 0, "--quiet"])
        rebuilt = generated(folder / "rebuilt")
        say("rebuilt test files", judge.right(*rebuilt), len(tests))
        made, asked = generate(args, model, combinations, folder / "made")
        total = report(judge.right(made, asked), asked, combinations)
        if args.sheet:
            write_sheet(args.sheet, made, asked, combinations)
    reached = 100 * total >= target
    print(f"{100 * total:.1f} % as asked, expected {target:g} %: "
          f"{'reached' if reached else 'NOT REACHED'}")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
