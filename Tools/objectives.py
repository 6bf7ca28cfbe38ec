"""What each objective of `latent train` is for, in figures: one table, and a verdict on each claim.

    ./.libtorch-python Tools/objectives.py DATA [--seeds 1] [--objectives ae,vae,…] [--draws 500]
        [--samples 1000] [--models DIR] [--latent PATH] [-- TRAIN OPTIONS]

DATA has train/CLASS/ and test/CLASS/ with grey PNGs (MNIST). Each objective is trained on DATA/train
with the same network, Gaussian likelihood and defaults; with --models, models are kept in DIR and
those that are there are not trained again. Columns, over DATA/test, a mean over the seeds:

    -ELBO, MSE, KL   `latent score`, 16 draws
    IW bound         `latent evaluate likelihood`, or where it is missing computed here from the
                     model file in PyTorch; nats, larger is better, with --draws draws
    units            active units of the best epoch (`latent inspect`)
    TC               total correlation of the posterior means, as of a Gaussian, in nats
    TC z             the same of draws of z: units that carry nothing count for nothing
    MMD              squared discrepancy of draws of z to N(0, I), times 1000, inverse multiquadratic
                     kernels; a mean over ten normal samples
    Frechet, KID, density, coverage
                     --samples files of `latent augment --method prior` against the test files: the
                     Frechet distance, the kernel distance times 1000 (Binkowski 2018), density and
                     coverage with 5 neighbours (Naeem 2020), of the features of a classifier that
                     is trained here on the real training files (Tools/classifier.py). The row
                     `real` has as many real training files.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

from arguments import divided
import classifier  # before torch: it says how threads wait
import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
OBJECTIVES = {
    "ae": "", "vae": "", "beta": "", "beta-tc": "", "dip": "", "iwae": "", "mmd": "", "vamp": "",
}  # options of each
CLASSIFIER_EPOCHS = 6

# Column, width, digits.
COLUMNS = [
    ("-ELBO", 9, 1), ("IW bound", 9, 1), ("MSE", 8, 5), ("KL", 6, 1), ("units", 6, 1),
    ("TC", 6, 2), ("TC z", 6, 2), ("MMD", 7, 2), ("Frechet", 8, 2), ("KID", 7, 2),
    ("density", 8, 3), ("coverage", 9, 3),
]

# Objective, what it is for, and comparisons (column, better, rival) that all have to hold.
CLAIMS = [
    ("vae", "samples from the prior", [
        ("Frechet", "<", "ae"), ("KID", "<", "ae"), ("coverage", ">", "ae")]),
    ("iwae", "a tighter bound", [("IW bound", ">", "vae")]),
    ("vamp", "samples from the prior", [
        ("Frechet", "<", "vae"), ("KID", "<", "vae"), ("coverage", ">", "vae")]),
    ("vamp", "a tighter bound", [("IW bound", ">", "vae")]),
    ("mmd", "latents as a whole like the prior", [("MMD", "<", "vae")]),
    ("mmd", "sharper reconstruction", [("MSE", "<", "vae")]),
    ("beta", "less information, independent latents", [("KL", "<", "vae"), ("TC", "<", "vae")]),
    ("beta-tc", "independent latents at less loss of reconstruction", [
        ("TC", "<", "vae"), ("MSE", "<", "beta")]),
    ("dip", "z like the prior as a whole, at little loss of reconstruction", [
        ("TC z", "<", "vae"), ("MMD", "<", "vae"), ("MSE", "<", "beta")]),
]


def run(command, may_fail=False):
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False)
    if result.returncode and not may_fail:
        said = result.stderr.strip().splitlines() or ["nothing was said"]
        sys.exit(f"{' '.join(map(str, command))}\nended with {result.returncode}: {said[-1]}")
    return None if result.returncode else result.stdout


# The model in PyTorch, from its file

def read_model(path):
    with safetensors.safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["record"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    shape = record["configuration"]
    if shape["architecture"] != "conv" or shape.get("conditioning"):
        sys.exit(f"{path}: only conv models without --condition can be read here")
    return shape, weights


def windows(paths, shape):
    """[N, 1, H, W], resized as latent does."""
    size = (shape["width"], shape["height"])
    pictures = []
    for path in paths:
        picture = Image.open(path).convert("L").convert("F")
        if picture.size != size:
            picture = picture.resize(size, Image.BILINEAR)
        pictures.append(np.asarray(picture, np.float32) / 255)
    return torch.from_numpy(np.stack(pictures)[:, None])


def encode(shape, weights, x):
    """Mean and log-variance, [N, D]; those of an autoencoder are points."""
    h = x * 2 - 1
    for layer in range(len(shape["widths"])):
        h = F.conv2d(
            h, weights[f"encoder.{layer}.weight"], weights[f"encoder.{layer}.bias"], 2, 1).relu()
    h = F.linear(
        h.flatten(1), weights["encoder.posterior.weight"], weights["encoder.posterior.bias"])
    if h.shape[1] == shape["latentCount"]:
        return h, torch.full_like(h, -math.inf)
    mean, log_variance = h.chunk(2, 1)
    return mean, log_variance.clamp(-8, 4)


def decode(shape, weights, z):
    widths = shape["widths"][::-1]
    inner = shape["height"] >> len(widths), shape["width"] >> len(widths)
    h = F.linear(z, weights["decoder.0.weight"], weights["decoder.0.bias"]).relu()
    h = h.reshape(-1, widths[0], *inner)
    for layer in range(1, len(widths) + 1):
        h = F.conv_transpose2d(
            h, weights[f"decoder.{layer}.weight"], weights[f"decoder.{layer}.bias"], 2, 1)
        h = h.relu() if layer < len(widths) else h
    return h


def normal_log_density(z, mean, log_variance):
    squares = (z - mean) ** 2 * (-log_variance).exp()
    return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1)


@torch.inference_mode()
def importance_bound(shape, weights, x, draws, chunk=250):
    """Mean over x of log (1/L) sum of p(x, z) / q(z|x)."""
    if shape["likelihood"] != "gaussian":
        sys.exit("without `latent evaluate` the bound is written for --likelihood gaussian alone")
    scale = weights["likelihood.log_scale"]
    components = None
    if "prior.pseudo_inputs" in weights:
        components = encode(shape, weights, weights["prior.pseudo_inputs"].clamp(0, 1))
    bounds = []
    for item, mean, log_variance in zip(x, *encode(shape, weights, x)):
        logs = []
        for start in range(0, draws, chunk):
            noise = torch.randn(min(chunk, draws - start), len(mean))
            z = mean + (0.5 * log_variance).exp() * noise
            squares = (decode(shape, weights, z) - item).square().flatten(1).double().sum(1)
            log_p = -0.5 * (
                squares * (-scale).exp() + item.numel() * (scale + math.log(2 * math.pi)))
            if components is None:
                prior = normal_log_density(z, torch.zeros(()), torch.zeros(()))
            else:
                each = normal_log_density(z[:, None], *components)
                prior = each.logsumexp(1) - math.log(each.shape[1])
            logs.append(log_p + prior - normal_log_density(z, mean, log_variance))
        bounds.append(torch.cat(logs).logsumexp(0).item() - math.log(draws))
    return statistics.mean(bounds)


# Measures

def total_correlation(covariance):
    """Of a Gaussian; dimensions without any variance are left out."""
    kept = np.diag(covariance) > 1e-12
    covariance = covariance[np.ix_(kept, kept)]
    return 0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])


def normal_discrepancy(z, rounds=10):
    """Unbiased MMD^2 to N(0, I); kernels c / (c + d^2), c = 2 D s (Tolstikhin 2018)."""
    count, dimensions = z.shape
    scales = 2 * dimensions * torch.tensor([0.1, 0.2, 0.5, 1, 2, 5, 10], dtype=z.dtype)

    def kernel(a, b):
        squares = torch.cdist(a, b).square()
        return sum((c / (c + squares)) for c in scales)

    def within(a):
        return (kernel(a, a).sum() - len(scales) * len(a)) / (len(a) * (len(a) - 1))

    own = within(z)
    values = []
    for _ in range(rounds):
        normal = torch.randn(count, dimensions, dtype=z.dtype)
        values.append((own + within(normal) - 2 * kernel(z, normal).mean()).item())
    return statistics.mean(values)


def frechet(a, b):
    covariances = np.cov(a.T), np.cov(b.T)
    product = np.linalg.eigvals(covariances[0] @ covariances[1])
    root = np.sqrt(np.maximum(product.real, 0)).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * root


def kernel_distance(a, b):
    """Unbiased MMD^2 with the kernel (a.b / D + 1)^3."""
    def kernel(p, q):
        return (p @ q.T / p.shape[1] + 1) ** 3

    def within(p):
        values = kernel(p, p)
        return (values.sum() - np.trace(values)) / (len(p) * (len(p) - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()


def density_and_coverage(real, fake, neighbours=5):
    between = torch.cdist(torch.from_numpy(real), torch.from_numpy(fake))
    own = torch.cdist(torch.from_numpy(real), torch.from_numpy(real))
    radius = own.kthvalue(neighbours + 1, 1).values[:, None]  # the first is the item itself
    inside = between < radius
    return inside.sum(0).double().mean().item() / neighbours, inside.any(1).double().mean().item()


def sample_figures(real, fake):
    density, coverage = density_and_coverage(real, fake)
    return {
        "Frechet": frechet(real, fake), "KID": 1000 * kernel_distance(real, fake),
        "density": density, "coverage": coverage}


# One model

def measure(args, judge, name, seed, options, folder):
    model = folder / f"{name}-{seed}.safetensors"
    if not model.exists():
        run([
            args.latent, "train", args.data / "train", "-o", model, "--objective", name, "--seed",
            seed, "--quiet", "--force", *OBJECTIVES[name].split(), *options])
    record = json.loads(run([args.latent, "inspect", model, "--format", "json"]))
    lines = run([args.latent, "score", "-m", model, args.data / "test", "--quiet"])
    parts = [json.loads(line)["components"] for line in lines.splitlines()]
    shape, weights = read_model(model)
    x = windows(judge["paths"], shape)
    torch.manual_seed(seed)
    with torch.inference_mode():
        mean, log_variance = (part.double() for part in encode(shape, weights, x))
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    covariance = np.atleast_2d(np.cov(mean.numpy().T))
    best = record["training"]["epochs"][record["training"]["bestEpoch"] - 1]
    row = {
        "MSE": statistics.mean(part["mse"] for part in parts),
        "units": best.get("activeUnitCount"),
        "TC": total_correlation(covariance),
        "TC z": total_correlation(covariance + np.diag(log_variance.exp().mean(0).numpy())),
        "MMD": 1000 * normal_discrepancy(z)}
    if name != "ae":  # which has neither prior nor posterior
        row["-ELBO"] = statistics.mean(part["negative_elbo_nats"] for part in parts)
        row["KL"] = statistics.mean(part["kl_nats"] for part in parts)
        lines = run([
            args.latent, "evaluate", "likelihood", "-m", model, args.data / "test", "--draws",
            args.draws, "--seed", 0], may_fail=True) if args.has_evaluate else None
        row["IW bound"] = (
            json.loads(lines.splitlines()[-1])["mean_nats"] if lines
            else importance_bound(shape, weights, x, args.draws))
    with tempfile.TemporaryDirectory() as output:
        run([
            args.latent, "augment", "-m", model, "-o", output, "-n", args.samples, "--method",
            "prior", "--seed", seed, "--quiet"])
        fakes = classifier.read(sorted(pathlib.Path(output).rglob("*.png")))
    fake = classifier.features(judge["network"], fakes).numpy()
    return row | sample_figures(judge["features"], fake)


def make_judge(args):
    """The classifier, the features of the test files, and the row of real files."""
    paths = sorted((args.data / "train").rglob("*.png"))
    tests = sorted((args.data / "test").rglob("*.png"))
    names = sorted({path.parent.name for path in paths})
    x, y = classifier.read(paths), torch.tensor([names.index(p.parent.name) for p in paths])
    tests_x = classifier.read(tests)
    network = classifier.trained(x, y, len(names), args.classifier_epochs)
    right = classifier.predict(network, tests_x) == torch.tensor(
        [names.index(p.parent.name) for p in tests])
    features = classifier.features(network, tests_x).numpy()
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:args.samples]
    real = classifier.features(network, x[chosen]).numpy()
    print(
        f"classifier for the features: {100 * right.double().mean():.1f} % of {len(tests)} test "
        "files right")
    return {
        "network": network, "paths": tests, "features": features,
        "row": sample_figures(features, real)}


def line(name, row):
    cells = []
    for column, width, digits in COLUMNS:
        value = row.get(column)
        cells.append("-".rjust(width) if value is None else f"{value:{width}.{digits}f}")
    return f"{name:9}" + " ".join(cells)


def verdicts(rows):
    print("\nobjective  is for, against, and verdict")
    for name, purpose, comparisons in CLAIMS:
        if name not in rows or any(rival not in rows for *_, rival in comparisons):
            continue
        texts, wins = [], True
        for column, sign, rival in comparisons:
            ours, theirs = rows[name].get(column), rows[rival].get(column)
            digits = next(digits for key, _, digits in COLUMNS if key == column)
            is_better = None not in (ours, theirs) and (
                ours < theirs if sign == "<" else ours > theirs)
            wins = wins and is_better
            figures = " against ".join(
                "-" if value is None else f"{value:.{digits}f}" for value in (ours, theirs))
            texts.append(f"{column} {figures} of {rival}{'' if is_better else ' (no)'}")
        print(f"{name:10} {purpose}: {', '.join(texts)}: {'wins' if wins else 'does not win'}")


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--objectives", default=",".join(OBJECTIVES))
    parser.add_argument("--draws", type=int, default=500, help="of the IW bound")
    parser.add_argument("--samples", type=int, default=1000, help="from the prior")
    parser.add_argument("--classifier-epochs", type=int, default=CLASSIFIER_EPOCHS)
    parser.add_argument("--models", type=pathlib.Path, help="a folder that keeps the models")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    names = args.objectives.split(",")
    for name in names:
        if name not in OBJECTIVES:
            parser.error(f"--objectives has {name}; known are {', '.join(OBJECTIVES)}")
    args.has_evaluate = "--draws" in (
        run([args.latent, "evaluate", "likelihood", "--help"], may_fail=True) or "")
    judge = make_judge(args)
    print(f"{args.data.name}: latent train {' '.join(options) or '(defaults)'}; IW bound by "
          + ("`latent evaluate`" if args.has_evaluate else "PyTorch, as latent has no `evaluate`"))
    print("objective" + " ".join(name.rjust(width) for name, width, _ in COLUMNS))
    print(line("real", judge["row"]), flush=True)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = args.models or pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            found = [
                measure(args, judge, name, seed, options, folder) for seed in range(args.seeds)]
            rows[name] = {
                key: None if value is None else statistics.mean(row[key] for row in found)
                for key, value in found[0].items()}
            print(line(name, rows[name]), flush=True)
            if args.seeds > 1:
                spreads = {
                    key: statistics.stdev(row[key] for row in found)
                    for key, value in found[0].items() if value is not None}
                print(line("  ±", spreads), flush=True)
    verdicts(rows)


if __name__ == "__main__":
    main()
