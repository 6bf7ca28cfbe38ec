"""Whole runs from files beside PyTorch: training and scoring of PNGs and WAVs, process start to end.

    ./.libtorch-python Tools/Benchmarks/whole.py IMAGES RECORDINGS [--rounds 3] [--images 20000]
        [--recordings 2000] [--epochs 5]

IMAGES and RECORDINGS are folders with PNGs of about 28x28 and WAVs of about a second at 8 kHz below them. So many
files as are asked for are made of them, links that repeat the same files, in a temporary folder. Then in
each round `latent` and Tools/peer.py (two workers that decode, bfloat16 with channels last, fused AdamW, as
Tools/speed.py has it) do the same work one after the other, each on all cores: training on the PNGs,
scoring them by 16 draws, training on the WAVs, scoring them. The one that goes
first changes from round to round.

Printed: seconds of each, ratio (above 1: latent is faster), median and range; peak memory of the largest
process of each.
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import measured  # noqa: E402

# `latent` chooses for itself how its threads wait.
for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
    os.environ.pop(name, None)

LATENT = HERE.parent.parent / ".build" / "release" / "latent"
PEER = HERE.parent / "peer.py"


def repeated(source, pattern, count, folder):
    """A folder with `count` links to files in turn."""
    paths = sorted(pathlib.Path(source).rglob(pattern))
    if not paths:
        sys.exit(f"{source}: no {pattern}")
    os.mkdir(folder)
    for index in range(count):
        os.symlink(paths[index % len(paths)].resolve(), f"{folder}/{index:07}{paths[0].suffix}")
    return folder


def commands(args, data, folder, is_audio):
    model, weights = f"{folder}/model.safetensors", f"{folder}/peer.pt"
    shape = ["--mels", 40, "--fft", 256, "--hop", 128, "--size", 64] if is_audio else []
    train = [
        LATENT, "train", data, "-o", model, "--for", "augmentation", "--architecture", "conv",
        "--channels", "32,64,128", "--latent", 32, "--batch", 128, "--epochs", args.epochs,
        "--patience", 0, "--validation", 0, "--calibration", 0, "--quiet", "--augment", "none",
        "--average", 0, "--deform-steps", 0, "--force", *shape]
    # How PyTorch's threads wait: of sleeping at once, a short spin and the usual long one the fastest.
    trainer, scorer = (
        ["env", policy, sys.executable, PEER, data, "--batch", 128, "--precision", "bfloat16"]
        for policy in ("GOMP_SPINCOUNT=1000", "OMP_WAIT_POLICY=passive"))
    return {
        "train": (train, [*trainer, "-o", weights, "--epochs", args.epochs]),
        "score": (
            [LATENT, "score", "-m", model, data, "--quiet", "--precision", "bfloat16",
             "--draws", 16, "--batch", 128],
            [*scorer, "--score", weights, "--draws", 16]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image_folder", metavar="IMAGES")
    parser.add_argument("recording_folder", metavar="RECORDINGS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", dest="image_count", type=int, default=20_000)
    parser.add_argument("--recordings", dest="recording_count", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = {
            f"{args.image_count} PNGs": repeated(
                args.image_folder, "*.png", args.image_count, f"{folder}/images"),
            f"{args.recording_count} WAVs": repeated(
                args.recording_folder, "*.wav", args.recording_count, f"{folder}/recordings"),
        }
        print(f"{'work':24}{'latent s':>10}{'peer s':>10}{'ratio':>8}{'latent MB':>11}{'peer MB':>9}")
        for title, data in sets.items():
            work = commands(args, data, folder, title.endswith("WAVs"))
            ratios = {name: [] for name in work}
            for number in range(args.rounds):
                for name, pair in work.items():
                    runs = {}
                    for side in (0, 1) if number % 2 == 0 else (1, 0):
                        runs[side] = measured.run(pair[side])
                    ours, theirs = runs[0], runs[1]
                    ratios[name].append(theirs.seconds / ours.seconds)
                    print(
                        f"{name + ' ' + title:24}{ours.seconds:10.2f}{theirs.seconds:10.2f}"
                        f"{ratios[name][-1]:8.2f}{ours.peak_bytes / 1e6:11.0f}"
                        f"{theirs.peak_bytes / 1e6:9.0f}", flush=True)
            for name, values in ratios.items():
                print(f"{name + ' ' + title:24}ratio: median {statistics.median(values):.2f}, "
                      f"{min(values):.2f} to {max(values):.2f}", flush=True)


if __name__ == "__main__":
    main()
