"""Files that `latent augment` writes in a second, beside PyTorch with Pillow or SciPy; and whether memory grows.

    ./.libtorch-python Tools/throughput.py DATA-OR-MODEL [-n 100000] [--rounds 3] [--folder DIR]
        [--latent PATH] [-- AUGMENT OPTIONS]

DATA is a folder of grey PNGs or of WAVs, on which `latent train --for augmentation` trains for three epochs
first, with its default network otherwise; or it is a model of this kind, without labels. In each round both
write -n files into a new folder, one after the other, the first changing from round to round:

  latent   `latent augment --method density --reject none`: manifest, class folders, renaming and all
  PyTorch  the same decoder with the same weights (Tools/objectives.py) on batches of 256 latents, drawn
           from the same mixtures of Gaussians; two worker processes save PNGs with Pillow, at its
           default compression (zlib's level 6, as ours), or WAVs with SciPy, and nothing else is
           written. Log-mels become sound as in torchaudio: least squares for the frequencies, 60 rounds
           of fast Griffin-Lim, as many as ours, of a whole batch at once

Printed: files a second from process start to end, ratio (above 1: latent is faster), median and range;
peak memory of `latent` at a tenth of the files and at all of them, and of PyTorch's largest process. Then
`latent` again as it comes, with the usual filters, at a tenth of the files. Exit code 1 when the median
ratio is below 1, or memory grows by more than 10 % and 16 MB.
"""

import argparse
import json
import math
import multiprocessing
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

from arguments import divided
import measured

# Threads that spin while they wait are slow beside worker processes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
BATCH = 256


def save(job):
    """Writes a batch of pictures, or of sounds at a rate, in a worker."""
    folder, start, items, rate = job
    if rate:
        from scipy.io import wavfile

        for offset, samples in enumerate(items):
            wavfile.write(f"{folder}/{start + offset:06}.wav", rate, samples)
        return
    from PIL import Image

    for offset, picture in enumerate(items):
        Image.fromarray(picture).save(f"{folder}/{start + offset:06}.png")


def peer(model, folder, count):
    """What one would write: decode batches here, save them in two workers."""
    # Before torch is loaded, so that workers are small.
    os.makedirs(folder)
    with multiprocessing.Pool(2) as pool:
        import objectives
        import torch
        import torch.nn.functional as F

        shape, weights = objectives.read_model(model)
        record = recorded(model)
        size, view = record.get("outputSize"), record["preprocessing"]["view"].get("log-mel")
        groups = sorted(
            int(name.split(".")[1]) for name in weights
            if name.startswith("density.") and name.endswith(".weights"))
        generator = torch.Generator().manual_seed(0)

        def latents(number):
            """Rows in turn from the mixture of each class, as `latent` has it."""
            z = torch.empty(number, shape["latentCount"])
            for place, group in enumerate(groups):
                rows = torch.arange(place, number, len(groups))
                shares, means, factors = (
                    weights[f"density.{group}.{part}"] for part in ("weights", "means", "factors"))
                chosen = torch.multinomial(shares, len(rows), True, generator=generator)
                noise = torch.randn(len(rows), shape["latentCount"], generator=generator)
                z[rows] = means[chosen] + (factors[chosen] @ noise[..., None])[..., 0]
            return z

        def batches():
            for start in range(0, count, BATCH):
                pictures = objectives.decode(shape, weights, latents(min(BATCH, count - start)))
                if view:
                    sounds = signals(pictures[:, 0], view, record["outputReferenceLevel"], generator)
                    codes = (sounds.clamp(-1, 1) * 32767).round().short().numpy()
                    yield folder, start, codes, view["sampleRate"]
                    continue
                if list(pictures.shape[2:]) != size:
                    pictures = F.interpolate(
                        pictures, size, mode="bilinear", antialias=True, align_corners=False)
                codes = (pictures.clamp(0, 1) * 255).round().byte()[:, 0].numpy()
                yield folder, start, codes, None

        with torch.inference_mode():
            # The pool's own feeding would decode everything first; a few batches ahead are enough.
            waiting = []
            for job in batches():
                waiting.append(pool.apply_async(save, (job,)))
                if len(waiting) > 8:
                    waiting.pop(0).get()
            for result in waiting:
                result.get()


def signals(maps, view, level, generator):
    """Sounds [N, samples] of log-mels [N, M, T], by fast Griffin-Lim (Perraudin 2013)."""
    import torch

    from references import sound

    fft, hop = view["fftLength"], view["hopLength"]
    bank = torch.from_numpy(sound.mel_bank(view["sampleRate"], fft, view["melCount"])).float()
    floor = math.exp(level - view["rangeNats"])
    power = ((maps.clamp(0, 1) - 1) * view["rangeNats"] + level).exp() - floor
    magnitude = (torch.linalg.pinv(bank) @ power).clamp(min=0).sqrt()
    window = torch.hann_window(fft)
    samples = (maps.shape[2] - 1) * hop
    angle = 2 * math.pi * torch.rand(magnitude.shape, generator=generator)
    phase, previous = torch.polar(torch.ones_like(angle), angle), None
    for _ in range(60):
        guess = torch.istft(magnitude * phase, fft, hop, window=window, length=samples)
        rebuilt = torch.stft(guess, fft, hop, window=window, return_complex=True)
        moved = rebuilt if previous is None else rebuilt - previous * (0.99 / 1.99)
        phase, previous = moved / (moved.abs() + 1e-16), rebuilt
    return torch.istft(magnitude * phase, fft, hop, window=window, length=samples)


def recorded(model):
    """The record in a model file, without a library that loads tensors."""
    with open(model, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(json.loads(file.read(length))["__metadata__"]["record"])


def main():
    arguments, options = divided()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", metavar="DATA-OR-MODEL", type=pathlib.Path)
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where files are written (the temporary folder)")
    parser.add_argument("--latent", default=LATENT, help="the program")
    parser.add_argument("--peer", metavar="OUT", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.peer:
        return peer(args.source, args.peer, args.n)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        model = args.source
        if model.is_dir():
            model = pathlib.Path(folder) / "model.safetensors"
            measured.run([
                args.latent, "train", args.source, "-o", model, "--for", "augmentation", "--epochs",
                "3", "--patience", "0", "--deform-steps", "0", "--quiet"])
        shape = recorded(model)["configuration"]
        print(f"decoder {shape['architecture']} {shape['widths']}, latent {shape['latentCount']}, "
              f"windows {shape['height']}x{shape['width']}")

        def written(name, count, *words):
            place = f"{folder}/{name}"
            run = measured.run([
                args.latent, "augment", "-m", model, "-o", place, "-n", count, "--method", "density",
                "--quiet", *words, *options])
            total = sum(
                path.endswith((".png", ".wav")) for _, _, files in os.walk(place) for path in files)
            if total != count:
                sys.exit(f"{total} files of {count}")
            shutil.rmtree(place)
            return run

        def theirs(count):
            place = f"{folder}/peer"
            run = measured.run(
                [sys.executable, __file__, model, "-n", count, "--peer", place])
            if len(os.listdir(place)) != count:
                sys.exit(f"{len(os.listdir(place))} files of {count}")
            shutil.rmtree(place)
            return run

        plain = ["--reject", "none"]
        small = written("small", args.n // 10, *plain)
        print(f"{'files':>8}{'latent /s':>12}{'PyTorch /s':>12}{'ratio':>8}{'latent MB':>11}"
              f"{'PyTorch MB':>12}{'latent cpu s':>14}{'PyTorch cpu s':>15}")
        ratios, peaks = [], []
        for number in range(args.rounds):
            runs = {}
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                runs[side] = theirs(args.n) if side else written("large", args.n, *plain)
            ratios.append(runs[1].seconds / runs[0].seconds)
            peaks.append(runs[0].peak_bytes)
            print(f"{args.n:8}{args.n / runs[0].seconds:12.0f}{args.n / runs[1].seconds:12.0f}"
                  f"{ratios[-1]:8.2f}{runs[0].peak_bytes / 1e6:11.0f}{runs[1].peak_bytes / 1e6:12.0f}"
                  f"{runs[0].cpu_seconds:14.1f}{runs[1].cpu_seconds:15.1f}", flush=True)
        ratio, peak = statistics.median(ratios), max(peaks)
        print(f"ratio: median {ratio:.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
        grows = peak > small.peak_bytes * 1.1 + 16e6
        print(f"memory of latent: {small.peak_bytes / 1e6:.0f} MB for {args.n // 10} files, "
              f"{peak / 1e6:.0f} MB for {args.n}{': GROWS' if grows else ''}")
        judged = written("judged", args.n // 10)
        print(f"with the usual filters: {args.n // 10 / judged.seconds:.0f} files a second, "
              f"{judged.peak_bytes / 1e6:.0f} MB")
    sys.exit(1 if ratio < 1 or grows else 0)


if __name__ == "__main__":
    main()
