"""Whole runs of `latent` beside the same work in PyTorch, in alternation on the same machine.

    ./.libtorch-python Tools/speed.py DATA [--rounds 3] [--epochs 20] [--cached] [--threads N]
        [--precision bfloat16] [--latent PATH]

DATA is a folder of grey PNGs of about 28x28. Each round trains one model with `latent train` and
one with Tools/peer.py (same network, schedule and number of epochs; --cached lets it decode each
file once as latent does, and not in each epoch), each from the start of the process to its end; the
one that goes first and the seed change from round to round. On a machine that others use as well,
threads that wait for each other measure those others: give both one with --threads 1. Both train in
--precision, the peer with channels last where that is bfloat16.

Printed: seconds, their ratio (above 1: latent is faster), the loss of the last epoch, as a faster
run that learns less is no gain (few epochs end far apart from seed to seed: compare over the
rounds), and the peak memory. Then the time to start: `latent --version` and `latent score` of one
file beside Python's import of torch.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

import measured

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
PEER = pathlib.Path(__file__).resolve().parent / "peer.py"


def train_latent(args, folder, seed):
    model = f"{folder}/model.safetensors"
    run = measured.run([
        args.latent, "train", args.data, "-o", model, "--channels", "32,64,128", "--latent", 32,
        "--batch", 128, "--epochs", args.epochs, "--patience", 0, "--validation", 0,
        "--calibration", 0, "--deform-steps", 0, "--threads", args.threads, "--seed", seed, "--quiet",
        "--precision", args.precision,
        # What the peer does not do: vary the pictures, average the weights.
        "--augment", "none", "--average", 0,
        "--force"])
    record = json.loads(measured.run([args.latent, "inspect", model, "--format", "json"]).output)
    shape = record["configuration"]
    if (shape["height"], shape["width"], shape["channelCount"]) != (32, 32, 1):
        sys.exit("the peer is written for grey images of about 28x28")
    return run, record["training"]["epochs"][-1]["trainingLoss"]


def train_peer(args, folder, seed):
    run = measured.run([
        sys.executable, PEER, args.data, "-o", f"{folder}/peer.pt", "--epochs", args.epochs,
        "--threads", args.threads, "--seed", seed, "--precision", args.precision,
        *(["--cached"] if args.cached else [])])
    words = run.output.splitlines()[-1].split()
    return run, float(words[words.index("loss") + 1])


def training(args, folder):
    print(
        f"{args.epochs} epochs of {args.data}; the peer decodes "
        f"{'once' if args.cached else 'in each epoch'}")
    print("round    latent s    peer s   ratio   latent loss   peer loss   latent MB   peer MB")
    ratios = []
    for index in range(args.rounds):
        pair = {}
        for name in ("latent", "peer") if index % 2 == 0 else ("peer", "latent"):
            pair[name] = (train_latent if name == "latent" else train_peer)(
                args, folder, index)
        (ours, our_loss), (peer, peer_loss) = pair["latent"], pair["peer"]
        ratios.append(peer.seconds / ours.seconds)
        print(
            f"{index + 1:5} {ours.seconds:11.2f} {peer.seconds:9.2f} {ratios[-1]:7.2f} "
            f"{our_loss:13.2f} {peer_loss:11.2f} {ours.peak_bytes / 1e6:11.0f} "
            f"{peer.peak_bytes / 1e6:9.0f}", flush=True)
    print(
        f"ratio: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}; "
        "MB is the largest process of each, its workers beside it not counted")


def start_up(args, folder):
    model = f"{folder}/model.safetensors"
    file = next(path for path in sorted(args.data.rglob("*.png")))
    commands = {
        "latent --version": [args.latent, "--version"],
        "latent score, one file": [args.latent, "score", "-m", model, file, "--quiet"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    }
    seconds = {name: [] for name in commands}
    for _ in range(10):
        for name, command in commands.items():
            seconds[name].append(measured.run(command).seconds)
    print("start-up of 10 rounds           median ms     min     max")
    for name, values in seconds.items():
        print(
            f"{name:30} {statistics.median(values) * 1e3:10.1f} {min(values) * 1e3:7.1f} "
            f"{max(values) * 1e3:7.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--cached", action="store_true", help="the peer decodes each file once")
    parser.add_argument("--threads", type=int, default=0, help="of both; 0: each one's own choice")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        training(args, folder)
        start_up(args, folder)


if __name__ == "__main__":
    main()
