"""Peak memory of `latent train` and `latent score` as the number of files grows.

    ./.libtorch-python Tools/memory.py [--counts 10000,100000] [--latent PATH]

Writes that many PNGs of 28x28 noise into a temporary folder, 1,000 to a subfolder, and prints the peak
resident set of one epoch of a small model and of scoring with one draw. Exit code 1 when one is above
1 GB, or above that of the count before by more than 10 % and 32 MB.

Training keeps decoded windows up to a fixed bound (192 MB, and 48 MB that are shuffled). Windows of
96x96 fill that with 8,000 files, so that from the smallest count on growth is growth and not the
filling of a cache.
"""

import argparse
import pathlib
import random
import struct
import sys
import tempfile
import zlib

import measured

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
SIDE = 28


def png(generator):
    """A grey PNG of bright noise on black: rows begin with filter 0."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))

    rows = b"".join(
        bytes(7) + generator.randbytes(SIDE - 12) + bytes(6) for _ in range(SIDE))
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">2I5B", SIDE, SIDE, 8, 0, 0, 0, 0)) + chunk(
        b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def fill(folder, first, last):
    for index in range(first, last):
        shard = folder / f"{index // 1000:05}"
        if index % 1000 == 0 or index == first:
            shard.mkdir(exist_ok=True)
        # Keyed by the index: the files are the same whatever the counts.
        (shard / f"{index:07}.png").write_bytes(png(random.Random(index)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="10000,100000", help="ascending, comma-separated")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args()
    counts = sorted(int(count) for count in args.counts.split(","))
    failures, before, done = 0, {}, 0
    print("files     verb     peak MB   seconds   files/s")
    with tempfile.TemporaryDirectory() as temporary:
        data, model = pathlib.Path(temporary) / "data", f"{temporary}/model.safetensors"
        data.mkdir()
        for count in counts:
            fill(data, done, count)
            done = count
            commands = {
                "train": ["train", data, "-o", model, "--epochs", 1, "--size", 96, "--channels", "8,16",
                          "--latent", 4, "--batch", 256, "--draws", 1, "--quiet", "--force"],
                "score": ["score", "-m", model, data, "--draws", 1, "--format", "csv", "--quiet"],
            }
            for verb, words in commands.items():
                run = measured.run([args.latent, *words])
                peak = run.peak_bytes
                limit = min(1e9, before[verb] * 1.1 + 32e6 if verb in before else 1e9)
                failures += peak > limit
                print(
                    f"{count:7}   {verb}  {peak / 1e6:9.1f} {run.seconds:9.1f} "
                    f"{count / run.seconds:9.0f}"
                    f"{f'   OVER {limit / 1e6:.0f} MB' if peak > limit else ''}", flush=True)
                before[verb] = peak
                if verb == "score" and run.output.count("\n") != count + 1:
                    sys.exit(f"{run.output.count(chr(10)) - 1} lines for {count} files")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
