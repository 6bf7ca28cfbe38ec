"""Lays the PNGs of a folder, or the spectrograms of its WAVs, out in one picture to look at.

    ./.libtorch-python Tools/contact_sheet.py DIR -o sheet.png [--columns 16] [--limit 128] [--cell 64]

Files are taken below DIR in sorted order, evenly spread when there are more than the limit. A row of
the sheet is a row of files; a new class folder does not begin a new row. Spectrograms are log-power,
60 dB below each clip's peak, low frequencies at the bottom, time as long as the clip.
"""

import argparse
import pathlib
import sys

import numpy as np
from PIL import Image

import rescore_reading

GAP = 2


def spectrogram(path):
    samples, rate = rescore_reading.read_wave(path)
    size = 1 << round(np.log2(rate * 0.032))
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::size // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2
    level = 10 * np.log10(np.maximum(power / max(power.max(), 1e-12), 1e-6))
    return Image.fromarray(np.uint8((level.T[::-1] / 60 + 1) * 255))


def picture(path):
    if path.suffix.lower() == ".wav":
        return spectrogram(path).convert("RGB")
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            image = Image.fromarray(np.uint8(np.asarray(image) >> 8))
        return image.convert("RGB")


def fit(image, side, stretches):
    """As large as the cell allows; whole multiples for small images, so that pixels stay square."""
    if stretches:
        return image.resize((side, side), Image.BILINEAR)
    scale = side / max(image.size)
    if scale >= 1:
        scale = int(scale)
    size = [max(1, round(length * scale)) for length in image.size]
    return image.resize(size, Image.NEAREST if scale >= 1 else Image.BOX)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--limit", type=int, default=128)
    parser.add_argument("--cell", type=int, default=64, help="side of a cell in pixels")
    args = parser.parse_args()
    paths = sorted(
        path for path in args.folder.rglob("*") if path.suffix.lower() in (".png", ".wav"))
    if not paths:
        sys.exit(f"{args.folder}: no PNG and no WAV")
    found = len(paths)
    if found > args.limit:
        paths = [paths[index * found // args.limit] for index in range(args.limit)]
    columns = min(args.columns, len(paths))
    rows = -(-len(paths) // columns)
    step = args.cell + GAP
    sheet = Image.new("RGB", (columns * step + GAP, rows * step + GAP), (40, 60, 90))
    for index, path in enumerate(paths):
        cell = fit(picture(path), args.cell, path.suffix.lower() == ".wav")
        row, column = divmod(index, columns)
        sheet.paste(cell, (
            GAP + column * step + (args.cell - cell.width) // 2,
            GAP + row * step + (args.cell - cell.height) // 2))
    sheet.save(args.output)
    print(f"{args.output}: {len(paths)} of {found} files, {rows} rows of {columns}, from left to right")


if __name__ == "__main__":
    main()
