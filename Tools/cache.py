"""Seconds of `latent train` on images that do not fit in memory, without and with its cache on the disk.

    ./.libtorch-python Tools/cache.py [--data DIR | --files 1200 --side 768] [-- TRAIN OPTIONS]

Writes RGB PNGs of shapes, shading and noise into a temporary folder, unless DIR has some, and trains on
them three times in each round (`--rounds`): without a cache, with an empty one, and with what that run has
left. Prints seconds, those of the processor too, and the size of the cache. Exit code 1 when the models
differ in a byte, or the last run found less than all. `--latent PATH` names the program.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile

from arguments import divided
import measured
import numpy
from PIL import Image, ImageDraw

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
DEFAULTS = ["--for", "augmentation", "--epochs", "4", "--patience", "0", "--size", "256", "--windows",
            "whole", "--channels", "8,16,32", "--deform-steps", "0"]


def photo(index, side):
    """Smooth shading, shapes, and noise as of a sensor."""
    generator = numpy.random.default_rng(index)
    image = Image.fromarray(generator.integers(0, 256, (12, 12, 3), dtype=numpy.uint8))
    image = image.resize((side, side), Image.BICUBIC)
    draw = ImageDraw.Draw(image)
    for number in range(12):
        x, y, size = (int(value) for value in generator.integers(side // 40, side, 3))
        size = size // 5 + 1
        shape = draw.ellipse if number % 2 else draw.rectangle
        shape([x - size, y - size, x + size, y + size],
              fill=tuple(int(value) for value in generator.integers(0, 256, 3)))
    noisy = numpy.asarray(image) + generator.normal(0, 3, (side, side, 1))
    return Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8))


def main():
    arguments, options = divided(DEFAULTS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, help="images, instead of those that are made")
    parser.add_argument("--files", type=int, default=1200)
    parser.add_argument("--side", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        data, caches = args.data or pathlib.Path(temporary) / "data", pathlib.Path(temporary) / "caches"
        if not args.data:
            data.mkdir()
            for index in range(args.files):
                photo(index, args.side).save(data / f"{index:05}.png", compress_level=1)
        os.environ["XDG_CACHE_HOME"] = str(caches)
        digests, failed = set(), False
        print("run       seconds  processor   cache MB", flush=True)
        for _ in range(args.rounds):
            shutil.rmtree(caches, ignore_errors=True)
            sizes = []
            for name, more in [("without", ["--cache", "0"]), ("first", []), ("second", [])]:
                model = f"{temporary}/model.safetensors"
                run = measured.run([args.latent, "train", data, "-o", model, "--quiet", "--force",
                                    *options, *more])
                digests.add(hashlib.sha256(pathlib.Path(model).read_bytes()).hexdigest())
                sizes.append(sum(path.stat().st_size for path in caches.rglob("*.windows")))
                print(f"{name:8} {run.seconds:8.1f} {run.cpu_seconds:10.1f} "
                      f"{sizes[-1] / 1e6:10.1f}", flush=True)
            failed = failed or sizes[0] != 0 or sizes[1] == 0 or sizes[2] != sizes[1]
    sys.exit(1 if failed or len(digests) > 1 else 0)


if __name__ == "__main__":
    main()
