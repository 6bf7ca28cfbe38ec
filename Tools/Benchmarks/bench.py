"""Training steps and scoring of `latent` beside PyTorch: paired ratios, and shares of the machine's peaks.

    ./.libtorch-python Tools/Benchmarks/bench.py DATA [--workloads conv32,…] [--rounds 7] [--threads 1]
        [--no-compile] [--curves] [--seconds 1.5] [--no-avx512]

DATA has grey PNGs below it, of which windows are made: mnist784 at 28x28, 32x32, three colours of 64x64;
log-mels are of the same numbers at 40x64, since times do not depend on what is in them. For each
workload each recipe is a process of its own, which waits while another works: PyTorch in float32 as one
writes it first (`eager`), in bfloat16 with channels last and fused AdamW (`bfloat16`), the same compiled
(`compiled`), and `latent` in float32 and bfloat16. In each round all take as many steps as fit into
--seconds, in an order that rotates. Run Tools/Benchmarks/bootstrap.sh first: it installs tcmalloc, which
PyTorch is given, as it is faster with it.

Printed for each workload: milliseconds of a step (median over the rounds) and peak memory of each recipe;
the ratio of the fastest PyTorch recipe to `latent` in the same round, median and range; the share of what
products of 1024x1024 matrices reach in that round, in PyTorch, and of the rate of copying memory; and the
loss after 100 steps on the same windows, as a faster step that learns less is no gain. Above 1: latent is
faster.

With --no-avx512 all of them are kept from AVX-512: libtorch, oneDNN and MKL by their own switches, the kernels
of `latent` by the first of these, ATEN_CPU_CAPABILITY. Then all is in float32, which is what `latent` chooses
on such a processor; PyTorch as one writes it first, and with channels last and fused AdamW (`float32`), the same
compiled (`compiled-float32`).

Where the processor has AMX, both PyTorch and `latent` use its tiles in bfloat16, unless
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 is in the environment. Those of `latent` have been run in an emulator
only, never timed: no figure in the README is of them.

With --curves, instead: 500 steps of conv32 and mlp784, PyTorch in float32 with three seeds beside
`latent` in both precisions; printed are the mean losses of each hundred steps, and how far
apart the curves are from PyTorch's mean in units of the deviation of its seeds.
"""

import argparse
import ctypes.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
WORKER = HERE.parent.parent / ".build" / "release" / "Benchmarks"
WORKLOADS = ("mlp784", "conv32", "conv64", "logmel", "hier32")
SCORED = ("conv32", "conv64")
SHAPES = {
    "mlp784": (1, 28, 28), "conv32": (1, 32, 32), "conv64": (3, 64, 64), "logmel": (1, 40, 64),
    "hier32": (1, 32, 32)}
OURS = {"latent float32": "float32", "latent bfloat16": "bfloat16"}
LEARNED_STEPS = 100
# Processors of AVX2 and no more.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def windows(data, shape, count=2048):
    """Pictures as windows in 0…1, coloured where they have three channels."""
    paths = sorted(pathlib.Path(data).rglob("*.png"))
    if not paths:
        sys.exit(f"{data}: no PNG")
    channels, height, width = shape
    tints = np.random.default_rng(0).uniform(0.3, 1, (count, channels, 1, 1))
    result = np.empty((count, *shape), np.float32)
    order = np.random.default_rng(1).permutation(len(paths))
    for index in range(count):
        picture = Image.open(paths[order[index % len(paths)]]).convert("L")
        picture = picture.resize((width, height), Image.BILINEAR)
        result[index] = np.asarray(picture, np.float32) / 255 * (
            tints[index] if channels > 1 else 1)
    return result


class Process:
    """One recipe of one workload, which works when it is told to."""

    def __init__(self, recipe, workload, data, args, seed=0):
        threads = args.threads
        environment = dict(os.environ, OMP_WAIT_POLICY="passive", OMP_NUM_THREADS=str(threads))
        if args.no_avx512:
            environment.update(AVX2)
        if recipe in OURS:
            command = [WORKER, workload, OURS[recipe], threads, seed, data]
        else:
            command = [sys.executable, HERE / "peers.py", workload, recipe, threads, seed, data]
            allocator = ctypes.util.find_library("tcmalloc_minimal")
            if allocator:
                environment["LD_PRELOAD"] = allocator
        self.recipe = recipe
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.recipe}: ended with exit code {self.process.wait()}")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def mebibytes(count):
    return f"{count / 2**20:.0f}"


def compare(args, workload, data, verb):
    ours = [recipe for recipe in OURS if not args.no_avx512 or OURS[recipe] == "float32"]
    tuned = ["float32", "compiled-float32"] if args.no_avx512 else ["bfloat16", "compiled"]
    recipes = ["eager", *(tuned[:1] if args.no_compile else tuned), *ours]
    processes = [Process(recipe, workload, data, args) for recipe in recipes]
    meter = processes[0]
    cost = meter.ask("cost")

    def command(steps):
        return f"score {steps}" if verb == "score" else f"train 0 {steps} {10 * LEARNED_STEPS}"

    steps, losses = {}, {}
    for process in processes:
        if verb == "train":
            answer = process.ask(f"train 0 {LEARNED_STEPS} {LEARNED_STEPS}")
            losses[process.recipe] = statistics.mean(answer["losses"][-10:])
        answer = process.ask(command(3))
        answer = process.ask(command(3))
        steps[process.recipe] = max(1, round(3 * args.seconds / answer["seconds"]))

    seconds = {recipe: [] for recipe in recipes}
    peaks = []
    memory = {}
    for number in range(args.rounds):
        peaks.append(meter.ask("peak"))
        for place in range(len(processes)):
            process = processes[(place + number) % len(processes)]
            count = steps[process.recipe]
            answer = process.ask(command(count))
            seconds[process.recipe].append(answer["seconds"] / count)
            memory[process.recipe] = answer["peak_bytes"]
    for process in processes:
        process.close()

    title = workload if verb == "train" else f"{workload}, scoring"
    theirs = [recipe for recipe in recipes if recipe not in OURS]
    best = min(theirs, key=lambda recipe: statistics.median(seconds[recipe]))
    print(f"\n{title}: {cost[verb] / 1e9:.2f} GFLOP a {'step' if verb == 'train' else 'batch'}")
    print(f"{'recipe':18}{'ms':>9}{'MiB':>7}{'loss':>10}{'% bf16':>8}{'% f32':>8}{'% copy':>8}"
          f"{'times as fast as ' + best:>34}")
    for recipe in recipes:
        values = seconds[recipe]

        def share(key, amount):
            return 100 * statistics.median(
                amount / s / p[key] for s, p in zip(values, peaks))

        ratios = [a / b for a, b in zip(seconds[best], values)]
        loss = f"{losses[recipe]:.1f}" if recipe in losses else ""
        copied = f"{share('memory', cost['bytes']):.0f}" if verb == "train" else ""
        print(
            f"{recipe:18}{1e3 * statistics.median(values):9.2f}{mebibytes(memory[recipe]):>7}"
            f"{loss:>10}{share('bfloat16', cost[verb]):8.0f}{share('float32', cost[verb]):8.0f}"
            f"{copied:>8}{statistics.median(ratios):14.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True)
    print("peaks, GFLOP/s and GB/s, median (range): " + ", ".join(
        f"{key} {statistics.median(p[key] for p in peaks) / 1e9:.0f} "
        f"({min(p[key] for p in peaks) / 1e9:.0f} to {max(p[key] for p in peaks) / 1e9:.0f})"
        for key in ("bfloat16", "float32", "memory")), flush=True)


def curves(args, workload, data):
    """The losses of 500 steps, as means of hundreds."""
    total = 500
    runs = {}
    for recipe, seed in (("eager", 0), ("eager", 1), ("eager", 2), *((r, 0) for r in OURS)):
        process = Process(recipe, workload, data, args, seed)
        losses = process.ask(f"train 0 {total} {total}")["losses"]
        process.close()
        runs[recipe, seed] = [
            statistics.mean(losses[i:i + 100]) for i in range(0, total, 100)]
        name = f"{recipe}, seed {seed}" if recipe not in OURS else recipe
        print(f"{workload:8}{name:20}" + "".join(f"{v:10.1f}" for v in runs[recipe, seed]),
              flush=True)
    theirs = np.array([runs["eager", seed] for seed in range(3)])
    mean, deviation = theirs.mean(0), theirs.std(0, ddof=1)
    for recipe in OURS:
        apart = (np.array(runs[recipe, 0]) - mean) / deviation
        print(f"{workload:8}{recipe + ', apart':20}" + "".join(f"{v:10.1f}" for v in apart))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--no-avx512", action="store_true")
    args = parser.parse_args()
    chosen = args.workloads.split(",")
    if args.curves and args.no_avx512:
        sys.exit("--curves are of the usual kernels: leave --no-avx512 out")
    if unknown := set(chosen) - set(WORKLOADS):
        sys.exit(f"{', '.join(unknown)}: not among {', '.join(WORKLOADS)}")
    if not WORKER.exists():
        sys.exit("build it first: swift build -c release --product Benchmarks")
    if not ctypes.util.find_library("tcmalloc_minimal"):
        print("PyTorch has no tcmalloc: run Tools/Benchmarks/bootstrap.sh", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for workload in ("conv32", "mlp784") if args.curves else chosen:
            data = f"{folder}/{workload}.f32"
            windows(args.data, SHAPES[workload]).tofile(data)
            if args.curves:
                curves(args, workload, data)
                continue
            compare(args, workload, data, "train")
            if workload in SCORED:
                compare(args, workload, data, "score")


if __name__ == "__main__":
    main()
