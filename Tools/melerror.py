"""How far recordings rebuilt by `latent augment` are from their parents, in dB of log-mel spectrum.

    ./.libtorch-python Tools/melerror.py MODEL DATA [-n 40] [--latent PATH]

Runs `latent augment --method posterior --spread 0`: each WAV is what the model makes of its parent,
without noise. The distance of two clips is the root mean square difference of their log-mel
spectrograms, with the model's own bands and frames, over the bins within 40 dB of the parent's peak.
Printed: its median, mean and largest value

    whole       from the parent to the WAV, levels as they are
    level off   the same, the mean difference of the clip taken off
    model       from the parent to what the decoder gives, which NumPy computes from the model file
    inversion   from what the decoder gives to the WAV: phase, mel bands and 16 bits
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import rescore
import rescore_network
import rescore_reading

RANGE = 40 / (10 / np.log(10))  # dB as nats of power


def assemble(windows, windowing, shape):
    """Windows [n, M, W] laid over a map [M, T] again, means where they overlap."""
    total, count = np.zeros(shape), np.zeros(shape)
    width = windowing["width"]
    left = max(0, (width - shape[1]) // 2)
    places = rescore_reading.starts(shape[1], width, windowing["stride"])
    for window, start in zip(windows, places):
        part = window[:, left:left + min(width, shape[1])]
        total[:, start:start + part.shape[1]] += part
        count[:, start:start + part.shape[1]] += 1
    return total / count


def distances(parent, wave, network):
    """In dB: whole, level off, model, inversion."""
    view = network.record["preprocessing"]["view"]["log-mel"]
    windowing = network.record["preprocessing"]["windowing"]
    features, level = rescore_reading.log_mel_features(parent, view)
    samples, rate = rescore_reading.read_wave(parent)
    before = rescore_reading.log_mel(rescore_reading.resample(samples, rate, view["sampleRate"]), view)
    samples, rate = rescore_reading.read_wave(wave)
    if rate != view["sampleRate"]:
        sys.exit(f"{wave}: {rate} Hz, expected {view['sampleRate']}")
    after = rescore_reading.log_mel(samples, view)
    if after.shape != before.shape:
        sys.exit(f"{wave}: {after.shape[1]} frames, its parent has {before.shape[1]}")
    mean, _ = network.encode(rescore_reading.cut(features, windowing))
    decoded = assemble(np.clip(network.expectation(mean), 0, 1)[:, 0], windowing, before.shape)
    decoded = (decoded - 1) * view["rangeNats"] + level

    is_loud = before > before.max() - RANGE

    def rms(difference):
        return np.sqrt((difference[is_loud] ** 2).mean()) * 10 / np.log(10)

    change = after - before
    return [
        rms(change), rms(change - change[is_loud].mean()), rms(decoded - before),
        rms(after - decoded)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data", nargs="+")
    parser.add_argument("-n", "--number", type=int, default=40)
    parser.add_argument("--latent", default=rescore.LATENT, help="the program")
    args = parser.parse_args()
    record, weights = rescore_reading.read_model(args.model)
    if record["preprocessing"]["windowing"]["mode"] != "frames":
        sys.exit("the model is not one of recordings")
    network = rescore_network.Network(record, weights)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "out"
        subprocess.run(
            [args.latent, "augment", "-m", args.model, *args.data, "-o", folder, "-n",
             str(args.number), "--method", "posterior", "--spread", "0", "--quiet"], check=True)
        lines = [json.loads(line) for line in open(folder / "manifest.ndjson")]
        rows = np.array([
            distances(line["parents"][0]["path"], folder / line["file"], network)
            for line in lines])
    print(f"{len(rows)} clips      median dB     mean  largest")
    for name, values in zip(("whole", "level off", "model", "inversion"), rows.T):
        print(f"{name:12} {np.median(values):12.2f} {values.mean():8.2f} {values.max():8.2f}")


if __name__ == "__main__":
    main()
