"""Recomputes heat maps of images in NumPy from the model file alone, beside `latent score --maps`.

    ./.libtorch-python Tools/remap.py MODEL FILE... [--latent PATH]

As Tools/rescore.py, whose reading, views and networks it uses. The model has to be an mlp or conv with
one layer of latents and calibrated for maps. Printed for each file: the largest difference of a code
of the 16-bit map; exit code 1 where one is above 2 of 65,535.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

import rescore


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
    fitted = rescore.resize(values, height * side, width * side) if is_whole else values
    cells = rescore.TRANSFORMS[name](fitted, numbers)
    windows = np.stack([rescore.FINISHES[name](w) for w in rescore.cut(cells, windowing)])
    squares = (windows - network.expectation(network.encode(windows)[0])) ** 2
    precision = network.weights.get("score.residual.precision")
    if precision is not None:
        squares = squares * precision.reshape(windows.shape[1:])
    squares = squares.mean(1)
    if is_whole:
        return rescore.resize(squares, *values.shape[1:])[0]
    rows, columns = cells.shape[1:]
    if rows < height or columns < width:
        sys.exit("an image smaller than a patch; choose another file")
    sums, counts, index = np.zeros((rows, columns)), np.zeros((rows, columns)), 0
    for y in rescore.starts(rows, height, windowing["stride"]):
        for x in rescore.starts(columns, width, windowing["stride"]):
            sums[y:y + height, x:x + width] += squares[index]
            counts[y:y + height, x:x + width] += 1
            index += 1
    blurred = rescore.blur((sums / counts)[None], 0.2 * min(height, width))
    full = rescore.resize(blurred, rows * side, columns * side)[0]
    return full[:values.shape[1], :values.shape[2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--latent", default=rescore.LATENT, help="the program")
    args = parser.parse_args()
    record, weights = rescore.read_model(args.model)
    networks, maps = rescore.views(record, weights), record["maps"]
    level, worst = middle(maps["elements"]), 0
    for path in args.files:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [args.latent, "score", "-m", args.model, "--maps", folder + "/maps", "--quiet",
                 "--", path], check=True, stdout=subprocess.DEVNULL)
            ours = np.asarray(
                Image.open(f"{folder}/maps/{pathlib.Path(path).stem}.png"), np.float64)
        view = record["preprocessing"]["view"]["pixels"]
        values = rescore.read_image(path, view["channelCount"], view["background"])
        total = sum(
            np.mean([errors(network, values) for network in members], 0) / scale
            for members, scale in zip(networks, maps["scales"])) / len(networks)
        difference = np.abs(ours - 65535 * total / (total + level)).max()
        worst = max(worst, difference)
        print(f"{difference:8.3f} of {ours.max():5.0f}  {path}", flush=True)
    sys.exit(1 if worst > 2 else 0)


if __name__ == "__main__":
    main()
