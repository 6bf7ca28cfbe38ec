"""Memory and time for each file of `latent check` and `latent score` as the number of files grows.

    ./.libtorch-python Tools/scale.py [--counts 10000,100000] [--verbs check,score] [--latent PATH] [--folder DIR]

Makes that many PNGs of 8 to 28 pixels a side, 10,000 to a folder and all different, trains a small model
on the first 2,000, and prints peak memory and time for each file. A million files take about 4 GB of
disk, as blocks. Time is that of the processor, over all threads, less what a run of 2,000 files takes: a
machine with other work changes every other kind. It is told apart by who spends it, the program or the
kernel; the row `read` is a loop that opens and reads the same files in the same order and does nothing else.
What the kernel takes for a file depends on what else is in its caches and the processor's, whoever reads;
and files that come from the disk take more of the program's own time too (44 instead of 20 µs of `check`, for
90,000 as for 400,000). So the kernel forgets all files before each run, where root runs this: else the
first counts are in memory, the last may not be, and the note above the table says so.
Exit code 1 when memory, or the time less that of the kernel in `read`, is more than 10 % above that of the
first count.
"""

import argparse
import os
import pathlib
import random
import struct
import sys
import tempfile
import zlib

import measured

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
FOLDER_SIZE = 10_000
TRAINING_COUNT = 2_000
READ = """
import os, sys
for folder, folders, names in os.walk(sys.argv[1]):
    folders.sort()
    for name in sorted(names):
        file = os.open(f"{folder}/{name}", os.O_RDONLY)
        os.fstat(file)
        os.read(file, 1 << 16)
        os.close(file)
"""


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(index):
    """A grey PNG of a bright box on noise, keyed by the index: the same whatever the counts."""
    generator = random.Random(index)
    height, width = generator.randint(8, 28), generator.randint(8, 28)
    top, left = generator.randint(0, height // 2), generator.randint(0, width // 2)
    rows = []
    for row in range(height):
        codes = bytearray(code >> 3 for code in generator.randbytes(width))
        if top <= row < top + height // 2:
            codes[left:left + width // 2] = bytes([200 + index % 50]) * (width // 2)
        rows.append(b"\0" + codes)
    return b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)) + chunk(
        b"IDAT", zlib.compress(b"".join(rows), 1)) + chunk(b"IEND", b"")


def fill(root, first, last):
    for index in range(first, last):
        folder = root / f"{index // FOLDER_SIZE:04}"
        if index % FOLDER_SIZE == 0 or index == first:
            folder.mkdir(exist_ok=True, parents=True)
        (folder / f"{index:07}.png").write_bytes(png(index))


def forget_files():
    """Empties the kernel's caches of files; whether it was allowed to."""
    try:
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        return True
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="10000,100000", help="ascending, comma-separated")
    parser.add_argument("--latent", default=LATENT, help="the program")
    parser.add_argument("--verbs", default="check,score", help="comma-separated")
    parser.add_argument("--folder", help="where the files are made (the temporary folder)")
    args = parser.parse_args()
    counts = sorted(int(count) for count in args.counts.split(","))
    failures, first = 0, {}
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        root, model = pathlib.Path(temporary), f"{temporary}/model.safetensors"
        fill(root / "training", 0, TRAINING_COUNT)
        measured.run([
            args.latent, "train", root / "training", "-o", model, "--for", "detection", "--epochs",
            "2", "--size", "16", "--quiet"])
        commands = {
            "check": ["check", "--for", "detection", "--epochs", "1", "--size", "16", "--format", "ndjson", "--quiet"],
            "score": ["score", "-m", model, "--draws", "1", "--format", "csv", "--quiet"],
        }
        commands = {verb: [args.latent, *commands[verb]] for verb in args.verbs.split(",")}
        commands = {"read": [sys.executable, "-c", READ], **commands}
        is_cold = forget_files()
        print(f"files are {'read from the disk' if is_cold else 'in memory or not, as it happens'}")

        def run(words, data):
            forget_files()
            return measured.run([*words, data])

        # What a run of few files takes, whatever their number.
        base = {verb: run(words, root / "training") for verb, words in commands.items()}
        print(f"{'files':>8}  {'verb':6}{'peak MB':>9}{'against':>9}{'µs a file':>11}{'of kernel':>11}"
              f"{'less read':>11}{'against':>9}{'seconds':>9}")
        done = 0
        for count in counts:
            fill(root / "data", done, count)
            done = count
            floor = 0
            for verb, words in commands.items():
                taken = run(words, root / "data")
                further = (count - TRAINING_COUNT) / 1e6
                cost = (taken.cpu_seconds - base[verb].cpu_seconds) / further
                kernel = (taken.system_seconds - base[verb].system_seconds) / further
                if verb == "read":
                    floor = kernel
                    print(f"{count:8}  {verb:6}{'':18}{cost:11.1f}{kernel:11.1f}", flush=True)
                    continue
                own = cost - floor
                peak, unit = first.setdefault(verb, (taken.peak_bytes, own))
                grown, slowed = taken.peak_bytes / peak - 1, own / unit - 1
                failures += grown > 0.1 or slowed > 0.1
                print(
                    f"{count:8}  {verb:6}{taken.peak_bytes / 1e6:9.1f}{grown:+9.1%}{cost:11.1f}"
                    f"{kernel:11.1f}{own:11.1f}{slowed:+9.1%}{taken.seconds:9.1f}", flush=True)
                if verb == "score" and taken.output.count("\n") != count + 1:
                    sys.exit(f"{taken.output.count(chr(10)) - 1} lines for {count} files")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
