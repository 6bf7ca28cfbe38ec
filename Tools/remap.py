"""Recomputes heat maps of images, and segments of recordings, in NumPy from the model file alone,
beside `latent score --maps`.

    ./.libtorch-python Tools/remap.py MODEL FILE... [--map-alarms 0.01] [--latent PATH]

As Tools/rescore.py, whose reading, views and networks it uses. The model has to be an mlp or conv with
one layer of latents and calibrated for maps. Printed for each image: the largest difference of a code
of the 16-bit map. Printed for each recording: how many segments there are, the largest difference of
their times in seconds, of their scores as a share and of their p-values. Exit code 1 where a code
differs by more than 2 of 65,535, a score by 0.5 %, or anything else of a segment at all.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

import rescore
import rescore_reading


def middle(exceedance, share=0.01):
    """The level that a share of elements reaches, linear between levels of 32 to a decade."""
    shares = exceedance["shares"]
    next_ = next(index for index, value in enumerate(shares) if value <= share)
    before = shares[next_ - 1]
    return 10 ** (-2 + (next_ - 1 + (before - share) / (before - shares[next_])) / 32)


def errors(network, values):
    """The squared errors of a view in units of training, at the places of the pixels, [H, W]."""
    preprocessing = network.record["preprocessing"]
    (name, numbers), = preprocessing.get("transform", {"none": {}}).items()
    windowing, side = preprocessing["windowing"], numbers.get("cellSide", 1)
    height, width = windowing["height"], windowing["width"]
    is_whole = windowing["mode"] == "whole"
    fitted = rescore_reading.resize(values, height * side, width * side) if is_whole else values
    cells = rescore_reading.TRANSFORMS[name](fitted, numbers)
    windows = np.stack([rescore_reading.FINISHES[name](w) for w in rescore_reading.cut(cells, windowing)])
    squares = (windows - network.expectation(network.encode(windows)[0])) ** 2
    precision = network.weights.get("score.residual.precision")
    if precision is not None:
        squares = squares * precision.reshape(windows.shape[1:])
    squares = squares.mean(1)
    if is_whole:
        return rescore_reading.resize(squares, *values.shape[1:])[0]
    rows, columns = cells.shape[1:]
    if rows < height or columns < width:
        sys.exit("an image smaller than a patch; choose another file")
    sums, counts, index = np.zeros((rows, columns)), np.zeros((rows, columns)), 0
    for y in rescore_reading.starts(rows, height, windowing["stride"]):
        for x in rescore_reading.starts(columns, width, windowing["stride"]):
            sums[y:y + height, x:x + width] += squares[index]
            counts[y:y + height, x:x + width] += 1
            index += 1
    blurred = rescore_reading.blur((sums / counts)[None], 0.2 * min(height, width))
    full = rescore_reading.resize(blurred, rows * side, columns * side)[0]
    return full[:values.shape[1], :values.shape[2]]


# Recordings

LEVELS = np.array([1.0, 2, 4, 8, 16])


def least(rows, windowing, width):
    """[T]: at each place the least that any window [n, W] says of it."""
    span = windowing["width"]
    found, left = np.full(max(width, span), np.inf), max(0, (span - width) // 2)
    for place, row in zip(rescore_reading.starts(width, span, windowing["stride"]), rows):
        found[place:place + span] = np.minimum(found[place:place + span], row)
    return found[left:left + width]


def frames(network, kept, path):
    """Of each frame the error and the distance to frames of training, [T] each."""
    preprocessing = network.record["preprocessing"]
    (name, numbers), = preprocessing.get("transform", {"none": {}}).items()
    windowing, side = preprocessing["windowing"], numbers.get("cellSide", 1)
    values = rescore_reading.log_mel_features(path, preprocessing["view"]["log-mel"])[0]
    cells = rescore_reading.TRANSFORMS[name](values, numbers)
    windows = np.stack([rescore_reading.FINISHES[name](w) for w in rescore_reading.cut(cells, windowing)])
    squares = (windows - network.expectation(network.encode(windows)[0])) ** 2
    precision = network.weights.get("score.residual.precision")
    if precision is not None:
        squares = squares * precision.reshape(windows.shape[1:])

    def laid(rows):
        row = least(rows, windowing, cells.shape[2])
        return rescore_reading.resize(row[None, None], 1, len(row) * side)[0, 0, :values.shape[2]]

    def columns(stack):
        return np.moveaxis(stack, 3, 1).reshape(-1, stack.shape[1] * stack.shape[2])

    # The least of each band, then the mean: bands are laid each by itself.
    bands = np.stack([laid(squares.mean(1)[:, band]) for band in range(squares.shape[2])])
    if side > 1:  # rows of cells become bands as columns become frames
        bands = rescore_reading.resize(bands[None], len(bands) * side, bands.shape[1])[0]
        bands = bands[:values.shape[1]]
    error = bands.mean(0)
    if kept is None:
        return error, None
    known = columns(kept.reshape(-1, *windows.shape[1:]))
    known = known[::-(-len(known) // 8192)]
    distance = np.stack([
        np.sort(((known - frame) ** 2).mean(1))[:3].mean() for frame in columns(windows)])
    return error, laid(distance.reshape(len(windows), -1))


def curve(networks, maps, path):
    """v of each frame, [T]."""
    errors, distances = 0, 0
    for index, members in enumerate(networks):
        kept = members[0].weights.get("score.neighbours.kept")
        kept = kept if maps.get("frameScales") else None
        found = [frames(network, kept, path) for network in members]
        errors += np.mean([f[0] for f in found], 0) / maps["scales"][index] / len(networks)
        if kept is not None:
            distances += found[0][1] / maps["frameScales"][index] / len(networks)
    return np.sqrt(errors * distances) if maps.get("frameScales") else errors


def gains(values, runs):
    """Nats that each frame says for each level, [T, K]."""
    z = np.minimum(100, (np.log(np.maximum(values, 1e-300)) - runs["middle"]) / runs["deviation"])
    return np.maximum(-8, LEVELS * (z[:, None] - LEVELS / 2))


def strongest(rows):
    """Nats of the strongest run: the largest difference of a sum to a smaller one before it."""
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, 0)])
    return (sums - np.minimum.accumulate(sums)).max()


def price(evidence, share, scaled, back):
    """The evidence that a share of normal recordings is above; beyond what so many say, of a tail that is
    exponential on a scale."""
    count, ordered = len(evidence), sorted(evidence)
    rank = int(share * (count + 1))
    if rank >= 1:
        return ordered[-rank]
    upper = max(1, count // 2)
    start = scaled(ordered[-upper - 1]) if upper < count else min(0, scaled(ordered[-1]))
    excess = sum(scaled(nats) - start for nats in ordered[-upper:])
    return max(ordered[-1], back(start + excess * ((upper / count / share) ** (1 / upper) - 1)))


SHORTEST, LONGEST = 3, 2048


def whitened(network, path):
    """Cells of frames in units of what they differ by within windows of training, [T, E], and frames of a
    cell; None where the model cannot say."""
    preprocessing = network.record["preprocessing"]
    windowing, kept = preprocessing["windowing"], network.weights.get("score.neighbours.kept")
    if kept is None or windowing["mode"] != "frames":
        return None
    (name, numbers), = preprocessing.get("transform", {"none": {}}).items()
    values = rescore_reading.log_mel_features(path, preprocessing["view"]["log-mel"])[0]
    cells = rescore_reading.TRANSFORMS[name](values, numbers)
    windows = np.stack([rescore_reading.FINISHES[name](w) for w in rescore_reading.cut(cells, windowing)])
    # Overlapping windows together, as means.
    length, span = cells.shape[2], windowing["width"]
    left = max(0, (span - length) // 2)
    sums = np.zeros((*cells.shape[:2], max(length, span)))
    counts = np.zeros(sums.shape[2])
    for place, window in zip(rescore_reading.starts(length, span, windowing["stride"]), windows):
        sums[:, :, place:place + span] += window
        counts[place:place + span] += 1
    frames = (sums / counts)[:, :, left:left + length].reshape(-1, length).T
    known = kept.reshape(len(kept), -1, span)
    known = np.moveaxis(known - known.mean(2, keepdims=True), 2, 1).reshape(-1, known.shape[1])
    scales, vectors = np.linalg.eigh((known.T @ known).astype(np.float64) / len(known))
    scales = 0.95 * np.maximum(scales, 0) + 0.05 * max(scales.mean(), 1e-12)
    return frames @ (vectors / np.sqrt(scales)), numbers.get("cellSide", 1)


def contrast(frames):
    """Nats of the part of some frames [T, E] that is the most unlike the rest, and where it is; None where they
    are too few."""
    length, best = len(frames), (0, None)
    sums = np.concatenate([np.zeros((1, frames.shape[1])), np.cumsum(frames, 0)])
    for start in range(length):
        ends = np.arange(start + SHORTEST, length + 1)
        inside = ends - start
        rest = length - inside
        left = length - ends
        allowed = (rest >= SHORTEST) & ((left == 0) | (left >= SHORTEST))
        if 0 < start < SHORTEST or not allowed.any():
            continue
        ends, inside, rest = ends[allowed], inside[allowed], rest[allowed]
        part = sums[ends] - sums[start]
        gap = part / inside[:, None] - (sums[-1] - part) / rest[:, None]
        nats = inside * rest / length * (gap ** 2).sum(1) / 2
        top = nats.argmax()
        best = max(best, (nats[top], (start, int(ends[top]))))
    return None if best[1] is None else (best[0], *best[1])


def contrasting(found, values, evidence, share):
    """(first, last frame, p-value) of what is unlike the rest: a part, or all else, whichever is the farther
    from what is usual."""
    nats, start, end = found
    inside = np.zeros(len(values), bool)
    inside[start:end] = True
    logs = np.log(np.maximum(values, 1e-30))
    if logs[inside].mean() < logs[~inside].mean():
        parts = [(0, start), (end, len(values))]
    else:
        parts = [(start, end)]
    chance = (1 + sum(other >= nats for other in evidence)) / (1 + len(evidence))
    return [(a, b, min(1, 2 * chance)) for a, b in parts if a < b]


def standing(run, values, runs, costs, found):
    """A run without the parts that a recording's own contrast tells from the rest, and that would be no run in
    a recording of their own."""
    cost, cost_of_rate = costs
    if found is None:
        return [run]
    edges = [edge for edge in found[1:] if run[0] < edge < run[1]]
    kept = []
    for a, b in zip([run[0]] + edges, edges + [run[1]]):
        nats = strongest(gains(values[a:b], runs))
        if nats > cost or nats / (b - a) > cost_of_rate:
            if kept and kept[-1][1] == a:
                a = kept.pop()[0]
            kept.append((a, b))
    strong = [(a, b) for a, b in kept if strongest(gains(values[a:b], runs)) > cost]
    return strong or [run]


def segments(values, runs, share, halves, found):
    """(first, last frame, p-value) of each stretch that stands out by its frames; `found` is a contrast that is
    none by chance."""
    rows = gains(values, runs)
    cost = max(math.log(1 / share), price(runs["evidence"], share, math.sqrt, lambda x: x * x))
    rates = runs.get("rates")
    cost_of_rate = -math.inf if rates is None else price(rates, share, math.sqrt, lambda x: x * x)
    states = len(LEVELS) + 1
    step = np.full((states, states), cost / 2)  # from, to
    step[0], step[:, 0] = cost, 0
    np.fill_diagonal(step, 0)
    rows = np.concatenate([np.zeros((len(rows), 1)), rows], 1)
    best, back = np.r_[0, np.full(states - 1, -np.inf)], []
    for row in rows:
        through = best[:, None] - step
        back.append(through.argmax(0))
        best = through.max(0) + row
    path = [int(best.argmax())]
    for origin in back[:0:-1]:
        path.append(int(origin[path[-1]]))
    path.reverse()
    made, start = [], 0
    for index in range(1, len(path) + 1):
        if index < len(path) and path[index] == path[start]:
            continue
        if path[start] and strongest(rows[start:index, 1:]) > cost:
            for a, b in standing((start, index), values, runs, (cost, cost_of_rate), found):
                nats = strongest(rows[a:b, 1:])
                above = sum(other >= nats for other in runs["evidence"])
                made.append((
                    a, b, min(1, (2 if halves else 1) * (1 + above) / (1 + len(runs["evidence"])))))
        start = index
    return made


def stretches(count, longest):
    """Where a recording is cut: evenly, into parts as long as those of calibration, unless it is short."""
    if not longest or count <= min(LONGEST, 4 * longest):
        return [(0, count)]
    parts = -(-count // longest)
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def compare_recording(networks, record, path, line, share):
    """Whether the segments of a score line are those that are found here."""
    maps, view = record["maps"], record["preprocessing"]["view"]["log-mel"]
    samples, rate = rescore_reading.read_wave(path)
    values, hop = curve(networks, maps, path), view["hopLength"] / view["sampleRate"]
    duration, evidence = len(samples) / rate, maps.get("contrasts")
    halves = evidence is not None  # each rule has half of the false alarms
    least, cells = math.inf, None
    if halves:
        share /= 2
        least = price(evidence, share, lambda x: math.log(max(x, 1e-9)), math.exp)
        cells = whitened(networks[0][0], path)
    found = []
    for first, last in stretches(len(values), maps.get("stretchFrames")):
        part, own = values[first:last], None
        if cells is not None:
            frames, side = cells
            start = first // side
            own = contrast(frames[start:-(-last // side)])
            if own is not None and own[0] > least:
                own = (own[0], *(min(max((start + cell) * side, first), last) - first for cell in own[1:]))
            else:
                own = None
        made = segments(part, maps["runs"], share, halves, own)
        if not made and own is not None:
            made = contrasting(own, part, evidence, share)
        made = [(a + first, b + first, chance) for a, b, chance in made]
        if found and made and found[-1][1] == made[0][0] == first:
            a, _, chance = found.pop()
            made[0] = (a, made[0][1], min(chance, made[0][2]))
        found += made
    own = [
        (0 if a == 0 else (a - 0.5) * hop,
         duration if b == len(values) else min((b - 0.5) * hop, duration), values[a:b].max(), chance)
        for a, b, chance in found]
    theirs = [(s["start_s"], s["end_s"], s["score"], s["p_value"]) for s in line["segments"]]
    if len(own) != len(theirs):
        print(f"{len(theirs)} segments, here {len(own)}  {path}", flush=True)
        return False
    a, b = np.array(own).reshape(-1, 4), np.array(theirs).reshape(-1, 4)
    times = np.abs(a[:, :2] - b[:, :2]).max(initial=0)
    scores = np.abs(a[:, 2] / b[:, 2] - 1).max(initial=0)
    chances = np.abs(a[:, 3] - b[:, 3]).max(initial=0)
    print(f"{len(own)} segments, {times:.1e} s, {scores:.1e}, {chances:.1e}  {path}", flush=True)
    return times < 1e-6 and scores < 5e-3 and chances < 1e-9


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--map-alarms", type=float, default=0.01)
    parser.add_argument("--latent", default=rescore.LATENT, help="the program")
    args = parser.parse_args()
    record, weights = rescore_reading.read_model(args.model)
    networks, maps = rescore.views(record, weights), record["maps"]
    level, worst, agree = middle(maps["elements"]), 0, True
    for path in args.files:
        with tempfile.TemporaryDirectory() as folder:
            line = subprocess.run(
                [args.latent, "score", "-m", args.model, "--maps", folder + "/maps", "--quiet",
                 "--map-alarms", str(args.map_alarms), "--format", "ndjson", "--", path],
                check=True, capture_output=True, text=True).stdout
            if "log-mel" in record["preprocessing"]["view"]:
                agree &= compare_recording(
                    networks, record, path, json.loads(line), args.map_alarms)
                continue
            ours = np.asarray(
                Image.open(f"{folder}/maps/{pathlib.Path(path).stem}.png"), np.float64)
        view = record["preprocessing"]["view"]["pixels"]
        values = rescore_reading.read_image(path, view["channelCount"], view["background"])
        total = sum(
            np.mean([errors(network, values) for network in members], 0) / scale
            for members, scale in zip(networks, maps["scales"])) / len(networks)
        difference = np.abs(ours - 65535 * total / (total + level)).max()
        worst = max(worst, difference)
        print(f"{difference:8.3f} of {ours.max():5.0f}  {path}", flush=True)
    sys.exit(1 if worst > 2 or not agree else 0)


if __name__ == "__main__":
    main()
