"""What the rows of usefulness.py are trained on: drawn here, or made by `latent`."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import tempfile

import torch

import deformation
from usefulness_classifier import BATCH, read, vary

FILES_OF_CLASS = 1000

# Rows that are trained on a folder as `latent augment` writes it.
WRITTEN = {"auto": ["--method", "auto"], "classic written": ["--transform", "classic"],
           "classic+elastic written": ["--transform", "classic,elastic"],
           "half shift written": ["--transform", "rotate,scale,shift=0.075"],
           "half shift+elastic written": ["--transform", "rotate,scale,shift=0.075,elastic"]}


def files_of(folder):
    return {d.name: sorted(p for p in d.iterdir() if p.suffix in (".png", ".wav"))
            for d in sorted(folder.iterdir()) if d.is_dir()}


def pick(x, y, count):
    rows = torch.randint(0, len(x), (count,))
    return x[rows], y[rows]


def smote(x, y, count, neighbours=5):
    """Between a file and one of its nearest of the same class."""
    flat = x.flatten(1)
    made, labels = [], []
    for row in torch.randint(0, len(x), (count,)).tolist():
        mates = torch.nonzero(y == y[row]).flatten()
        mates = mates[mates != row]
        distances = (flat[mates] - flat[row]).square().sum(1)
        nearest = mates[distances.argsort()[:neighbours]]
        other = nearest[torch.randint(0, len(nearest), (1,))]
        made.append(x[row] + torch.rand(1) * (x[other[0]] - x[row]))
        labels.append(y[row])
    return torch.stack(made), torch.stack(labels)


def randomly(model, x, is_sound):
    """Files, deformed by independent numbers of the size of ours."""
    numbers = torch.randn(len(x), deformation.COUNT) * deformation.sizes(model)
    return torch.cat([
        deformation.apply(n, part, repeats_edges=not is_sound)
        for n, part in zip(numbers.split(500), x.split(500))])


class Real:
    """The real files of a seed, the model of them, and what it draws."""

    def __init__(self, args, files, seed, key):
        self.args, self.seed, self.key = args, seed, key
        self.names = sorted(files)
        self.folder = args.cache / key
        self.paths = [(path, k) for k, name in enumerate(self.names) for path in files[name]]
        self.x = read([path for path, _ in self.paths])
        self.y = torch.tensor([k for _, k in self.paths])
        self.is_sound = self.paths[0][0].suffix == ".wav"

    def run(self, *arguments):
        run = subprocess.run([str(self.args.latent), *map(str, arguments)], capture_output=True,
                             text=True)
        if run.returncode:
            raise SystemExit(run.stderr)

    def data(self):
        folder = self.folder / "real"
        if not folder.exists():
            for path, k in self.paths:
                (folder / self.names[k]).mkdir(parents=True, exist_ok=True)
                # Names of both folders may be the same.
                name = hashlib.sha256(str(path).encode()).hexdigest()[:8]
                shutil.copy(path, folder / self.names[k] / f"{path.stem}-{name}{path.suffix}")
        return folder

    def listed(self):
        """The folder, or with --group a manifest of it that has the group of each file."""
        if not self.args.group:
            return self.data()
        manifest, folder = self.folder / "real.csv", self.data()
        if not manifest.exists():
            lines = [f"{path.resolve()},{name},{group_of(path)}\n"
                     for name, paths in files_of(folder).items() for path in paths]
            manifest.write_text(f"path,label,{self.args.group}\n" + "".join(lines))
        return manifest

    def model(self):
        model = self.folder / "model.safetensors"
        if not model.exists():
            self.run("train", self.data(), "-o", model, "--for", "augmentation", "--seed",
                     self.seed, "--threads", self.args.threads, "--quiet", "--force")
        return model

    def files(self, name, *arguments, with_model=True):
        """Tensors of the files that `latent augment` writes, and what `--method auto` said of them."""
        kept = self.folder / f"{name}.pt"
        if not kept.exists():
            model = ["-m", self.model()] if with_model else []
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                made = pathlib.Path(folder) / "new"
                self.run("augment", *model, *arguments, "-o", made, "--seed", self.seed,
                         "--threads", self.args.threads, "--quiet")
                record = json.loads((made / ".latent-augment.json").read_text())
                files = files_of(made)
                pairs = [(p, k) for k, n in enumerate(self.names) for p in files.get(n, [])]
                if not pairs:
                    raise SystemExit(f"{' '.join(map(str, arguments))} gives no labels; leave its "
                                     "rows out")
                x = (255 * read([p for p, _ in pairs])).round().byte()
                torch.save((x, torch.tensor([k for _, k in pairs]), record.get("choice")), kept)
        x, y, choice, *_ = *torch.load(kept), None
        return x.float() / 255, y, choice


def group_of(path):
    return path.stem.split("_")[1]


def said(choice):
    """What auto chose, and by what, on one line."""
    rows = [f"{name_of(row['way'])} {100 * row['balancedAccuracy']:.1f}" for row in choice["rows"]]
    return f"auto took {name_of(choice['chosen'])} ({', '.join(rows)})"


def name_of(way):
    words = [way.get("method", "real"), way.get("transforms"), way.get("ratio") and f"x{way['ratio']}"]
    return " ".join(word for word in words if word)


def source(real, row):
    """What `accuracy_of` draws from."""
    name, isolated = row.removesuffix(" alone"), row.endswith(" alone")
    kind, _, further = name.partition("+")
    elastic = "elastic" in row
    classic = kind == "classic" or further == "classic"
    count = FILES_OF_CLASS * len(real.names)
    amount = ["-n", count]
    torch.manual_seed(real.seed + 1000)
    whole = None
    if row in WRITTEN:
        # The folder as it is: what is real in it counts as much as it is of it.
        x, y, choice = real.files(
            row, real.listed(), "-n", count, "--include-originals", *WRITTEN[row],
            *(["--group", real.args.group] if row == "auto" and real.args.group else []),
            with_model=row == "auto")
        whole = (x, y)
        if choice:
            print(f"seed {real.seed}  {said(choice)}", flush=True)
        classic = False
    elif kind in ("real", "classic"):
        made = None
    elif kind == "smote":
        made = smote(real.x, real.y, count)
    elif kind == "random":
        a, b = pick(real.x, real.y, count)
        made = randomly(real.model(), a, real.is_sound), b
    elif kind == "ours":
        made = real.files("deform", real.data(), *amount, "--method", "deform")[:2]
    elif kind in ("posterior", "interpolate"):
        made = real.files(kind, real.data(), *amount, "--method", kind)[:2]
    else:
        made = real.files(kind, *amount, "--method", kind)[:2]

    def draw():
        if whole:
            x, y = pick(*whole, BATCH)
        elif made is None:
            x, y = pick(real.x, real.y, BATCH)
        elif isolated:
            x, y = pick(*made, BATCH)
        else:
            (a, b), (c, d) = pick(real.x, real.y, BATCH // 2), pick(*made, BATCH // 2)
            x, y = torch.cat([a, c]), torch.cat([b, d])
        return (vary(x, real.is_sound, elastic) if classic else x), y
    return draw


def imbalanced_source(real, row, rare, fill):
    """The real files, the rare class filled up; batches are drawn from all of them."""
    kind, _, further = row.partition("+")
    classic = kind == "classic" or further == "classic"
    x, y = real.x, real.y
    own = (y == rare)
    torch.manual_seed(real.seed + 1000)
    deformed = None
    if kind in ("resample", "all"):
        a, b = pick(x[own], y[own], fill)
        if kind == "all":
            deformed = real.files("all", real.data(), "--per-class", int(own.sum()) + fill,
                                  "--method", "deform")[:2]
    elif kind == "smote":
        a, b = smote(x[own], y[own], fill)
    elif kind == "random":
        a, b = pick(x[own], y[own], fill)
        a = randomly(real.model(), a, real.is_sound)
    elif kind == "ours":
        a, b = real.files("fill", real.data(), "--counts", f"{real.names[rare]}={fill}",
                          "--method", "deform")[:2]
    if kind not in ("real", "classic"):
        x, y = torch.cat([x, a]), torch.cat([y, b])

    def draw():
        a, b = pick(x, y, BATCH // (2 if deformed else 1))
        if deformed:
            c, d = pick(*deformed, BATCH // 2)
            a, b = torch.cat([a, c]), torch.cat([b, d])
        return (vary(a, real.is_sound) if classic else a), b
    return draw
