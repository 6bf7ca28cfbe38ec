"""Instructions that parts of `latent` take, as Callgrind counts them: the same on a busy machine as on a quiet one.

    python3 Tools/Benchmarks/instructions.py [--latent PATH] [--images FOLDER] [--recordings FOLDER]

Needs valgrind, and takes some minutes. Counted are the start (`inspect` of a model: loading libtorch, and
the model file); then for one PNG and one WAV, as the difference of a run over 40 files and one over 8, `check
--list` (read, hash, decode), and `score` with 1 and with 16 draws: the threads that read (read, hash, decode,
resize or log-mel, windows) apart from the one that computes and prints. The models are small ones, trained
here. Files: those of Fixtures, or others of one kind each.

Valgrind has no AVX-512, so that products are those of libtorch with AVX2 in float32: the figures are of
what is around the network. With --latent of an older build, the same on that.
"""

import argparse
import glob
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FEW, MANY = 8, 40


def count(command, folder):
    """Instructions of the first thread and of all others."""
    for path in glob.glob(f"{folder}/counts*"):
        pathlib.Path(path).unlink()
    # Without this the program would start itself again, and valgrind in its place.
    environment = {"OMP_WAIT_POLICY": "passive", "PATH": "/usr/bin:/bin"}
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--separate-threads=yes",
         f"--callgrind-out-file={folder}/counts", *map(str, command)],
        capture_output=True, text=True, env=environment)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {run.returncode}: {run.stderr[-2000:]}")
    first = others = 0
    for path in glob.glob(f"{folder}/counts*"):
        with open(path) as file:
            thread, total = 0, 0
            for line in file:
                if match := re.match(r"thread: (\d+)", line):
                    thread = int(match[1])
                elif match := re.match(r"(?:totals|summary): (\d+)", line):
                    total = int(match[1])
        if thread == 1:
            first += total
        elif thread > 1:
            others += total
    return first, others


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latent", default=ROOT / ".build" / "release" / "latent", help="the program")
    parser.add_argument("--images", default=ROOT / "Fixtures" / "images" / "shapes")
    parser.add_argument("--recordings", default=ROOT / "Fixtures" / "audio" / "sounds")
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed")
    with tempfile.TemporaryDirectory() as folder:
        # Valgrind cannot read Swift's debug information.
        program = f"{folder}/latent"
        subprocess.run(["strip", "-g", "-o", program, args.latent], check=True)
        print(f"{'part':44}{'million instructions':>22}")

        def row(title, value):
            print(f"{title:44}{value / 1e6:22.2f}", flush=True)

        for kind, source, pattern in (
                ("PNG", args.images, "*.png"), ("WAV", args.recordings, "*.wav")):
            files = sorted(pathlib.Path(source).rglob(pattern))[:MANY]
            if len(files) < MANY:
                sys.exit(f"{source}: {len(files)} {kind}s, expected {MANY}")
            model = f"{folder}/{kind}.safetensors"
            shape = [] if kind == "PNG" else ["--mels", "40"]
            subprocess.run(
                [program, "train", source, "-o", model, "--for", "augmentation", "--architecture",
                 "conv", "--channels", "8,16", "--latent", "8", "--epochs", "1", "--deform-steps", "0",
                 "--quiet", *shape], check=True, stderr=subprocess.DEVNULL)
            if kind == "PNG":
                row("start, and reading a model", sum(count([program, "inspect", model], folder)))

            def of_one(*words):
                few, many = (
                    count([program, *words, "--threads", "1", "--quiet", *files[:n]], folder)
                    for n in (FEW, MANY))
                return [(b - a) / (MANY - FEW) for a, b in zip(few, many)]

            row(f"check --list, one {kind}", sum(of_one("check", "--list")))
            for draws in (1, 16):
                computed, read = of_one(
                    "score", "-m", model, "--draws", str(draws), "--batch", str(FEW), "--precision",
                    "float32", "--format", "ndjson")
                if draws == 1:
                    row(f"score, one {kind}: read and prepare", read)
                row(f"score, one {kind}: compute and print, L = {draws}", computed)


if __name__ == "__main__":
    main()
