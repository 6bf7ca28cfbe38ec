"""Kills training again and again and compares what comes out with an uninterrupted run.

    ./.libtorch-python Tools/resume.py DATA [--kills 10] [--seed 0] [-- TRAIN OPTIONS]

One run of `latent train` ends by itself. Another is killed with SIGKILL at random moments, each time
continued with --resume, and in the end let go to its end. Exit code 1 when the two model files differ
in a byte, or fewer kills than wanted hit a live process. `--latent PATH` names the program.
"""

import argparse
import hashlib
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from arguments import divided

ROOT = pathlib.Path(__file__).resolve().parent.parent
LATENT = ROOT / ".build" / "release" / "latent"
DEFAULTS = ["--epochs", "12", "--channels", "16,32"]


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def main():
    arguments, options = divided(DEFAULTS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--interval", default="0.1", help="seconds from checkpoint to checkpoint")
    parser.add_argument("--latent", default=LATENT, help="the program")
    args = parser.parse_args(arguments)
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        def command(name, *more):
            return [
                args.latent, "train", args.data, "-o", f"{folder}/{name}", "--checkpoint-interval",
                args.interval, "--quiet", *options, *more]

        start = time.perf_counter()
        subprocess.run(command("whole"), check=True)
        whole = time.perf_counter() - start
        print(f"uninterrupted: {whole:.1f} s")

        # Long enough to get on, short enough for all kills to come before the end.
        step = whole / (args.kills + 1)
        hits = 0
        for index in range(args.kills):
            delay = moments.uniform(0.1, 1.5) * step
            child = subprocess.Popen(command("killed", "--resume"))
            try:
                code = child.wait(delay)
            except subprocess.TimeoutExpired:
                child.kill()
                code = child.wait()
            is_there = pathlib.Path(f"{folder}/killed.checkpoint").exists()
            hits += code < 0
            print(
                f"kill {index + 1}: after {delay:.2f} s, "
                f"{'killed' if code < 0 else f'had ended with {code}'}, "
                f"{'a checkpoint' if is_there else 'no checkpoint'} is there", flush=True)
        subprocess.run(command("killed", "--resume"), check=True)
        left = sorted(
            path.name for path in pathlib.Path(folder).iterdir()
            if path.name not in ("whole", "killed"))
        same = digest(f"{folder}/whole") == digest(f"{folder}/killed")
        print(f"uninterrupted {digest(f'{folder}/whole')}")
        print(f"killed        {digest(f'{folder}/killed')}")
        print(f"{'equal' if same else 'DIFFERENT'} after {hits} kills; left behind: {left or 'nothing'}")
    sys.exit(0 if same and hits == args.kills else 1)


if __name__ == "__main__":
    main()
