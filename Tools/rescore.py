"""Recomputes scores in NumPy from the model file alone and sets them beside `latent score`.

    ./.libtorch-python Tools/rescore.py MODEL FILE... [--draws 4096] [--seed 1] [--latent PATH]

Nothing is shared with the program but the file: reading, resizing or log-mel, windows, networks,
likelihood, draws, aggregation, distances, ensemble and p-value are written again here, in float64 and
without torch. `latent score` is told to multiply in float32, as products of bfloat16, in which some models
score, differ by up to 2 % where a file is far from all that was trained on. The draws are other ones, so the
two agree as two estimates do: the difference shrinks with 1/√draws. Printed for each file and figure: ours,
NumPy's, their relative difference, and for the drawn figures the difference in standard errors of a
difference.

Exit code 1 when a figure differs by more than 0.5 % (of at least 0.1 nats, as KL may be nearly 0)
and, where it is drawn, by more than 5 standard errors (a log-density may lie near 0, and a per cent
of that is less than the noise).
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

import numpy as np

from rescore_network import Network, silu
from rescore_reading import read_model, windows_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"


def aggregate(values, kind):
    if kind == "mean":
        return values.mean()
    count = 1 if kind == "max" else max(1, len(values) // (10 if kind == "top-tenth" else 100))
    return np.sort(values)[::-1][:count].mean()


def rescore(path, network, draw_count, generator):
    """Each figure of a file, larger is more anomalous, and its standard error."""
    windows = windows_of(path, network.record)
    means, log_variances = network.encode(windows)
    divergence = 0.5 * (means**2 + np.exp(log_variances) - log_variances - 1).sum(1)
    reconstruction, errors, deviations, spreads, rebuilt = [], [], [], [], []
    for window, mean, log_variance in zip(windows, means, log_variances):
        logs, squares, total = [], [], 0
        for start in range(0, draw_count, 128):
            noise = generator.standard_normal((min(128, draw_count - start), len(mean)))
            log, square, output = network.log_probability(
                window[None], mean + np.exp(log_variance / 2) * noise)
            total = total + output.sum(0)
            logs.append(log)
            squares.append(square)
        logs, squares = np.concatenate(logs), np.concatenate(squares)
        rebuilt.append(total / draw_count)
        reconstruction.append(logs.mean())
        errors.append(squares.mean())
        deviations.append(logs.std() / math.sqrt(draw_count))
        spreads.append(squares.std() / math.sqrt(draw_count))
    kind = network.record["aggregate"]
    reconstruction, deviations = np.array(reconstruction), np.array(deviations)

    def joint(deviations):
        """Of a mean of independent windows; of the largest ones, no more than this."""
        each = np.array(deviations)
        return math.sqrt((each**2).sum()) / len(each) if kind == "mean" else each.max()

    return distances(network, windows, means, np.stack(rebuilt), kind) | {
        "reconstruction_nats": (-aggregate(-reconstruction, kind), joint(deviations)),
        "kl_nats": (aggregate(divergence, kind), None),
        "negative_elbo_nats": (aggregate(divergence - reconstruction, kind), joint(deviations)),
        "mse": (aggregate(np.array(errors), kind), joint(spreads)),
    }, len(windows)


def distances(network, windows, means, rebuilt, kind):
    """The fitted scores that the model has; they are next to free of noise."""
    weights, flat = network.weights, windows.reshape(len(windows), -1)
    if "score.residual.precision" not in weights:
        return {}
    residual = (flat - rebuilt.reshape(flat.shape)) ** 2 * weights["score.residual.precision"]
    offset = (means - weights["score.latent.mean"]) @ weights["score.latent.whitening"]
    more = {}
    if "score.neighbours.kept" in weights:
        kept = weights["score.neighbours.kept"]
        squares = np.stack([np.sort(((kept - window) ** 2).mean(1))[:3].mean() for window in flat])
        if weights.get("score.neighbours.displacement", [0])[0]:
            squares = np.stack([nearest_displaced(window, kept) for window in windows])
        more["neighbours"] = (aggregate(squares, kind), None)
    if "score.mixture.noise" in weights:
        more["mixture"] = (aggregate(mixture(weights, flat), kind), None)
    if "score.masked.scale" in weights:
        more["masked"] = (aggregate(masked(weights, windows), kind), None)
    return more | {
        "residual": (aggregate(residual.mean(1), kind), None),
        "latent": (aggregate((offset**2).mean(1), kind), None)}


def mixture(weights, flat):
    """The smallest of the networks' errors, by the draws that the model file has."""
    part = {
        path.removeprefix("score.mixture."): value.astype(np.float64)
        for path, value in weights.items() if path.startswith("score.mixture.")}
    x = (flat - part["mean"]) @ part["directions"]

    def layer(x, name):
        return x @ part[f"{name}.weight"] + part[f"{name}.bias"]

    posterior = layer(silu(layer(x[None], "encoder.0")), "encoder.1")
    count = part["noise"].shape[1]
    mean, deviation = posterior[..., :count], np.exp(
        0.5 * np.clip(posterior[..., count:], -8, 4))
    errors = np.mean([
        ((layer(silu(layer(mean + deviation * draw, "decoder.0")), "decoder.1") - x) ** 2).mean(2)
        for draw in part["noise"]], 0)
    return errors.min(0)


def masked(weights, windows):
    """The error, in units of training, of what a network says of nine blocks that are hidden in turn."""
    part = {
        path.removeprefix("score.masked."): value for path, value in weights.items()
        if path.startswith("score.masked.")}
    _, _, rows, columns = windows.shape
    x = (windows - part["mean"].reshape(windows.shape[1:])) / part["scale"]

    def parts(length):
        count = min(3, length)
        return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]

    errors = np.zeros_like(x)
    for down in parts(rows):
        for right in parts(columns):
            hidden = np.zeros((rows, columns))
            hidden[down, right] = 1
            seen = (x * (1 - hidden)).reshape(len(x), -1)
            h = np.concatenate([seen, np.repeat(hidden.reshape(1, -1), len(x), 0)], 1)
            for index in range(3):
                path = f"network.{index}."
                h = h @ part[path + "weight"].T + part[path + "bias"]
                h = silu(h) if index < 2 else h
            errors[:, :, down, right] = (h.reshape(x.shape) - x)[:, :, down, right] ** 2
    return (errors.reshape(len(x), -1) * part["scale"] ** 2 * part["precision"]).mean(1)


def nearest_displaced(window, kept):
    """The mean of the three smallest distances to the 30 nearest, cells up to one away."""
    rows, columns = window.shape[1:]
    candidates = np.argsort(((kept - window.ravel()) ** 2).sum(1))[:30]
    around = np.pad(
        kept[candidates].reshape(-1, *window.shape), ((0, 0), (0, 0), (1, 1), (1, 1)))
    best = np.inf
    for down in range(3):
        for right in range(3):
            moved = around[:, :, down:down + rows, right:right + columns]
            squares = np.pad(((window - moved) ** 2).sum(1), ((0, 0), (1, 1), (1, 1)))
            best = np.minimum(best, np.lib.stride_tricks.sliding_window_view(
                squares, (3, 3), (1, 2)).sum((3, 4)))
    return np.sort(best.sum((1, 2)))[:3].mean() / 9 / window.size


def views(record, weights):
    """The networks of each view."""
    def network(view, prefix):
        return Network(view, {
            path[len(prefix):]: value for path, value in weights.items()
            if path.startswith(prefix)})

    return [
        [network(view, prefix + (f"member.{member}." if member else ""))
         for member in range(record.get("memberCount", 1))]
        for view, prefix in [(record, "")] + [
            (view, f"view.{index}.") for index, view in enumerate(record["furtherViews"], 1)]]


def mean_of_members(path, members, draw_count, generator):
    """Each figure of a file, the mean over those networks that give it, and its standard error."""
    results = [rescore(path, network, draw_count, generator) for network in members]
    figures = {}
    for name in results[0][0]:
        given = [figures[name] for figures, _ in results if name in figures]
        errors = [error for _, error in given]
        figures[name] = (
            sum(value for value, _ in given) / len(given),
            None if None in errors else math.hypot(*errors) / len(given))
    return figures, results[0][1]


def ensemble(record, figures):
    """From the figures of each view."""
    values, weights = [], []
    for member in record["ensemble"]["members"]:
        value = figures[member["view"]][member["kind"]][0]
        values.append((math.log(max(value, 1e-30)) - member["meanLog"]) / member["deviation"])
        weights.append(member.get("weight", 1))
    return np.average(values, weights=weights)


def p_value(record, line):
    known = np.array(record["calibration"]["scoresByKind"][line["kind"]])
    return (1 + (known >= line["score"]).sum()) / (len(known) + 1) if len(known) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--draws", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1, help="of NumPy's draws")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args()
    result = subprocess.run(
        [args.latent, "score", "-m", args.model, "--draws", str(args.draws), "--format", "ndjson",
         "--precision", "float32", "--quiet", "--", *args.files], capture_output=True, text=True)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    if len(lines) != len(args.files) or any("error" in line for line in lines):
        sys.exit(f"latent score ended with {result.returncode}: {result.stderr}{result.stdout}")

    record, weights = read_model(args.model)
    networks = views(record, weights)
    generator = np.random.default_rng(args.seed)
    shape = record["configuration"]
    print(f"{shape['architecture']} {shape['widths']}, {shape['likelihood']}, L = {args.draws}")
    print("figure                        latent           NumPy  rel. diff.   std. errors  file")
    worst, farthest, failures = 0, 0, 0
    for path, line in zip(args.files, lines):
        results = [
            mean_of_members(path, members, args.draws, generator) for members in networks]
        figures, window_count = results[0]
        ours_by_name = dict(line["components"])
        if record.get("ensemble"):
            # A unit is a deviation over normal files: a hundredth of one is nothing.
            value = ensemble(record, [result[0] for result in results])
            figures["ensemble + 10"] = (value + 10, None)
            ours_by_name["ensemble + 10"] = line["components"]["ensemble"] + 10
        for view, (further, _) in zip(record["furtherViews"], results[1:]):
            (name, _), = view["preprocessing"]["transform"].items()
            figures |= {f"{name}: {key}": value for key, value in further.items()}
            ours_by_name |= {
                f"{name}: {key}": value for key, value in line["views"][name].items()}
        if line["p_value"] != p_value(record, line):
            print(f"{path}: p-value {line['p_value']}, NumPy has {p_value(record, line)}")
            failures += 1
        if window_count != line["windows"]:
            print(f"{path}: {line['windows']} windows, NumPy makes {window_count}")
            failures += 1
        for name, (value, deviation) in figures.items():
            ours = ours_by_name[name]
            floor = 0.1 if name.endswith("nats") else 1e-9
            relative = abs(ours - value) / max(abs(value), floor)
            errors = abs(ours - value) / (math.sqrt(2) * deviation + 1e-12) if deviation else None
            is_off = relative > 0.005 and (errors is None or errors > 5)
            worst, farthest = max(worst, relative), max(farthest, errors or 0)
            failures += is_off
            print(
                f"{name:20} {ours:15.6f} {value:15.6f} {relative:11.2e} "
                f"{'' if errors is None else format(errors, '.2f'):>13}  "
                f"{path}{'   DIFFERS' if is_off else ''}", flush=True)
    print(
        f"largest relative difference {worst:.2e}, largest in standard errors {farthest:.2f}; "
        f"{failures} figures differ")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
