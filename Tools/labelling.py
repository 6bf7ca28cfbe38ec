"""Few labels and many files: do those that `latent label` labels make a classifier better?

    ./.libtorch-python Tools/labelling.py DATA [--n 10] [--seeds 3] [--rows classic,self,…] [--latent PATH]

DATA has train/CLASS/ and test/CLASS/ with PNGs or WAVs. For each seed, --n files of each class of train/ are
labelled, as Tools/usefulness.py draws them, and the other files of train/ are in one folder without classes.
The network and its training are those of Tools/usefulness.py, 600 steps, asked about all of test/; half of each
batch are the labelled files, each row changed as in `classic` there:

    classic       nothing else
    self          and files without labels that a network of the row above gives a probability above 0.9
                  (plain self-training)
    label         and those that `latent label` lists
    label+ours    and what `latent augment --method deform` makes of the labelled ones and these, with a model of
                  both
    ours          and what it makes of the labelled ones, with a model of them
    all labels    and all files of train/ with their true classes: the most that there can be

Printed for each seed: the share of files that were labelled, and how many of those rightly, by the network
and by `latent label`, with what `latent label` says of labelled files left out; then the accuracies and paired
differences with 95 % intervals of Student's t over the seeds.
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile

import torch

from usefulness import chosen
from usefulness_arms import FILES_OF_CLASS, files_of, pick
from usefulness_classifier import BATCH, probabilities, read, trained, vary
from usefulness_statistics import table

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
ROWS = ["classic", "self", "label", "label+ours", "ours", "all labels"]
PAIRS = [("self", "classic"), ("label", "classic"), ("label+ours", "classic"), ("label", "self"),
         ("label+ours", "self"), ("label+ours", "label"), ("label+ours", "ours")]
PROBABILITY = 0.9


class Seed:
    """The files of a seed, and what is made of them."""

    def __init__(self, args, files, seed, folder):
        self.args, self.seed, self.folder = args, seed, folder
        self.names = sorted(files)
        labelled = chosen(files, args.n, seed)
        self.truth, self.real = {}, folder / "labelled"
        (folder / "unlabelled").mkdir()
        for k, name in enumerate(self.names):
            (self.real / name).mkdir(parents=True)
            for path in files[name]:
                if path in labelled[name]:
                    (self.real / name / path.name).symlink_to(path)
                    continue
                link = folder / "unlabelled" / f"{len(self.truth):06}{path.suffix}"
                link.symlink_to(path)
                self.truth[link] = k
        known = [(p, k) for k, name in enumerate(self.names) for p in labelled[name]]
        self.x = read([p for p, _ in known])
        self.y = torch.tensor([k for _, k in known])
        self.others = read(list(self.truth))
        self.other_y = torch.tensor(list(self.truth.values()))
        self.is_sound = known[0][0].suffix == ".wav"
        self.lists = None

    def run(self, *words):
        run = subprocess.run([str(self.args.latent), *map(str, words)], capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(run.stderr)
        return run

    def report(self, who, places, codes, more=""):
        right = (self.other_y[places] == codes).float().mean().item() if len(places) else float("nan")
        print(f"seed {self.seed}  {who:6} labels {len(places)} of {len(self.other_y)} files, "
              f"{100 * right:.1f} % rightly{more}", flush=True)

    def labelled(self):
        """The manifest of `latent label`, and its files as tensors."""
        if self.lists is None:
            run = self.run("label", "--real", self.real, self.folder / "unlabelled", "--seed", self.seed,
                           "--threads", 1, "--at-least", PROBABILITY)
            manifest = self.folder / "more.ndjson"
            manifest.write_text(run.stdout)
            rows = [json.loads(line) for line in run.stdout.splitlines()]
            place = {str(path): i for i, path in enumerate(self.truth)}
            places = torch.tensor([place[row["path"]] for row in rows], dtype=torch.long)
            codes = torch.tensor([self.names.index(row["label"]) for row in rows], dtype=torch.long)
            said = re.search(r"of (\d+) labelled files.*?(\d+) would be labelled, (\d+)", run.stderr)
            self.report("latent", places, codes,
                        f"; of {said[1]} left out {said[2]} would be, {said[3]} rightly")
            self.lists = manifest, self.others[places], codes
        return self.lists

    def deformed(self, *data):
        new = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        self.run("train", *data, "-o", new / "model.safetensors", "--for", "augmentation", "--seed",
                 self.seed, "--threads", 1, "--quiet")
        count = FILES_OF_CLASS * len(self.names)
        self.run("augment", "-m", new / "model.safetensors", *data, "-o", new / "set", "-n", count,
                 "--method", "deform", "--seed", self.seed, "--threads", 1, "--quiet")
        made = files_of(new / "set")
        pairs = [(p, k) for k, name in enumerate(self.names) for p in made.get(name, [])]
        return read([p for p, _ in pairs]), torch.tensor([k for _, k in pairs])

    def source(self, row):
        more = None
        if row == "self":
            places, codes = self.sure
            more = self.others[places], codes
        elif row == "label":
            more = self.labelled()[1:]
        elif row == "label+ours":
            more = self.deformed(self.real, self.labelled()[0])
        elif row == "ours":
            more = self.deformed(self.real)
        elif row == "all labels":
            more = self.others, self.other_y
        more = more if more is not None and len(more[0]) else None
        half = BATCH // (2 if more else 1)

        def draw():
            x, y = pick(self.x, self.y, half)
            if more:
                a, b = pick(*more, BATCH - half)
                x, y = torch.cat([x, a]), torch.cat([y, b])
            return vary(x, self.is_sound), y
        return draw

    def accuracy(self, row, test, truth):
        torch.manual_seed(self.seed + 1000)
        network = trained(self.source(row), self.x.shape[1:], len(self.names), self.seed)
        if row == "classic":
            outputs = probabilities(network, self.others)
            places = torch.nonzero(outputs.amax(1) > PROBABILITY).flatten()
            self.sure = places, outputs[places].argmax(1)
            self.report("self", *self.sure)
        return 100 * (probabilities(network, test).argmax(1) == truth).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--n", type=int, default=10, help="labelled files of each class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=lambda text: text.split(","), default=ROWS)
    parser.add_argument("--latent", default=LATENT, help="the program")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files = files_of((args.data / "train").resolve())
    tested = files_of((args.data / "test").resolve())
    pairs = [(p, k) for k, name in enumerate(sorted(files)) for p in tested.get(name, [])]
    test, truth = read([p for p, _ in pairs]), torch.tensor([k for _, k in pairs])
    rows = ["classic"] + [row for row in args.rows if row != "classic"]
    figures = {row: [] for row in rows}
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            own = Seed(args, files, seed, pathlib.Path(folder))
            for row in rows:
                figures[row].append(own.accuracy(row, test, truth))
                print(f"seed {seed}  {row:18}{figures[row][-1]:6.1f}", flush=True)
    table(
        f"{args.data.name}: accuracy in %, {args.n} labelled files a class, the others without, "
        f"{len(pairs)} test files", rows, PAIRS, figures)


if __name__ == "__main__":
    main()
