"""Whether one attribute of a file is changed and the others are kept, judged by classifiers of real files.

    ./.libtorch-python Tools/attributes.py DATA [--change speaker] [--seeds 0,1,2] [--multiply 1]
        [--parents test|train] [--model FILE] [--sheet FILE] [--target 80] [--kept 90] [--latent PATH]
        [-- AUGMENT OPTIONS]

DATA has train/ and test/ with {digit}_{speaker}_{index}.wav, as Tools/conditional.py reads them.
For each seed `latent train --condition digit,speaker` trains on train/ with its defaults; then for
each speaker `latent augment --method posterior --toward speaker=NAME --reject none` makes new files of
all files of test/, of which those of other speakers count: none is refused and drawn again. Classifiers
trained here on the real training files alone (Tools/classifier.py), one for each attribute, say what
they hear.

Printed: how many real test files the classifiers get right; for each seed, of new files, how many are
of the speaker that was asked for, how many have the digit of their parent, and both, and how many are
still heard as the parent's speaker. `told only` is the same with --strength 0: the decoder is told the
new speaker, and latents stay where they are. At the end figures for each speaker, and means over seeds
with their range. Exit code 1 when a mean is below --target per cent of the changed attribute, or below
--kept of the others. --parents train is for choosing settings without the files of test/; --change
digit keeps the speaker instead. --model keeps models in a file for each seed, {} in its name.
"""

import argparse
import json
import pathlib
import sys
import tempfile

from arguments import divided
import conditional
import torch


def parents_of(folder):
    """For each new file its parent's path, in the order of the manifest."""
    rows = (folder / "manifest.ndjson").read_text().splitlines()
    return [json.loads(row)["parents"][0]["path"] for row in rows]


def changed(args, model, seed, strength, options, known, values, folder):
    """New files of other values' parents: their paths, labels as asked, and their parents' labels."""
    paths, labels, origins = [], [], []
    for value in values:
        part = folder / value
        conditional.run([
            args.latent, "augment", "-m", model, folder.parent / f"{args.parents}.csv", "-o", part,
            "--multiply", args.multiply, "--method", "posterior", "--toward",
            f"{args.change}={value}", *(["--strength", strength] if strength is not None else []),
            "--seed", seed, "--quiet", *(options or ["--reject", "none"])])
        for path, label, parent in zip(*conditional.generated(part), parents_of(part)):
            own = known[parent]
            if label != {**own, args.change: value}:
                sys.exit(f"{path}: the manifest says {label}, its parent is {own}")
            if own[args.change] != value:
                paths.append(path)
                labels.append(label)
                origins.append(own)
    return paths, labels, origins


def figures(args, judge, paths, labels, origins):
    """Marks of each new file, by what is asked."""
    marks = judge.right(paths, labels)
    kept = torch.stack([marks[name] for name in labels[0] if name != args.change]).all(0)
    network, values = judge.networks[args.change], judge.values[args.change]
    heard = conditional.classifier.predict(network, conditional.classifier.read(paths))
    stayed = heard == torch.tensor([values.index(own[args.change]) for own in origins])
    return {"changed": marks[args.change], "kept": kept, "both": marks["all"], "unchanged": stayed}


def text(marks):
    return ", ".join(f"{name} {conditional.share(values)}" for name, values in marks.items())


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--change", choices=conditional.KINDS["fsdd"]["names"], default="speaker")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--multiply", type=int, default=1, help="new files for each real one")
    parser.add_argument("--parents", choices=["test", "train"], default="test")
    parser.add_argument("--model", help="kept in, or taken from, this file; {} stands for the seed")
    parser.add_argument("--sheet", type=pathlib.Path, help="a picture of the first seed's files")
    parser.add_argument("--target", type=float, default=80, help="per cent changed")
    parser.add_argument("--kept", type=float, default=90, help="per cent kept")
    parser.add_argument("--latent", default=conditional.LATENT, help="the program")
    args = parser.parse_args(arguments)
    kind = conditional.KINDS["fsdd"]
    seeds = [int(word) for word in args.seeds.split(",")]
    data = {
        part: conditional.real_files(args.data / part, "fsdd") for part in ("train", "test")}
    known = {
        str(path.resolve()): label for part in data.values() for path, label in zip(*part)}
    judge = conditional.Judge(*data["train"], kind["epochs"])
    values = judge.values[args.change]
    real = judge.right(*data["test"])
    print(f"real test files  {text(real)} of {len(data['test'][0])}")
    totals, parts = {}, {value: [] for value in values}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for part, files in data.items():
                conditional.write_manifest(folder / f"{part}.csv", *files)
            model = pathlib.Path(
                args.model.format(seed) if args.model else folder / "model.safetensors")
            if not model.exists():
                conditional.run([
                    args.latent, "train", folder / "train.csv", "-o", model, "--condition",
                    ",".join(kind["names"]), "--seed", seed, "--quiet"])
            for title, strength in (("told only", 0), ("moved", None)):
                place = folder / title.replace(" ", "-")
                place.mkdir()
                made = changed(args, model, seed, strength, options, known, values, place)
                marks = figures(args, judge, *made)
                print(f"seed {seed}  {title:10}  {text(marks)} of {len(made[0])} files", flush=True)
                for name, mark in marks.items():
                    totals.setdefault(title, {}).setdefault(name, []).append(
                        mark.double().mean().item())
            for value in values:
                chosen = torch.tensor([label[args.change] == value for label in made[1]])
                parts[value].append({name: mark[chosen] for name, mark in marks.items()})
            if args.sheet and seed == seeds[0]:
                combinations = [
                    dict(items) for items in sorted({tuple(label.items()) for label in made[1]})]
                conditional.write_sheet(args.sheet, made[0], made[1], combinations)
    for value, found in parts.items():
        joined = {name: torch.cat([marks[name] for marks in found]) for name in found[0]}
        print(f"{args.change} {value:10}  {text(joined)}")
    for title, shares in totals.items():
        print(f"{title:10}  " + ", ".join(
            f"{name} {100 * sum(found) / len(found):.1f} % "
            f"({100 * min(found):.1f} to {100 * max(found):.1f})"
            for name, found in shares.items()))
    means = {name: 100 * sum(found) / len(found) for name, found in totals["moved"].items()}
    reached = means["changed"] >= args.target and means["kept"] >= args.kept
    print(f"{means['changed']:.1f} % changed, expected {args.target:g}; {means['kept']:.1f} % kept, "
          f"expected {args.kept:g}: {'reached' if reached else 'NOT REACHED'}")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
