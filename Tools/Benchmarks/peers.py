"""The networks of `Worker.swift` in PyTorch, timed on demand by `bench.py`.

    peers.py WORKLOAD RECIPE THREADS SEED DATA

RECIPE is `eager` (float32 as one writes it first), `bfloat16` (autocast, channels last, fused AdamW),
`compiled` (the same through torch.compile), or `float32` and `compiled-float32` (these without autocast).
Protocol and work of a step are those of `Worker.swift`: noise,
the bound with the variance at its optimum, clipping, AdamW. `cost` answers with the floating-point
operations of a training step and of a scored batch, and with the bytes that a training step cannot but
move; `peak` with the rates of matrix products and of memory at this moment.
"""

import json
import math
import os
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

WORKLOADS = {
    "mlp784": ((1, 28, 28), "mlp", (400,), 20, 128),
    "conv32": ((1, 32, 32), "conv", (32, 64, 128), 32, 128),
    "conv64": ((3, 64, 64), "conv", (32, 64, 128, 256), 64, 64),
    "logmel": ((1, 40, 64), "conv", (32, 64, 128), 32, 64),
    "hier32": ((1, 32, 32), "ladder", (32, 64, 128), 32, 64),
}
DRAWS = 16
MAP_CHANNELS = 4
VARIANCE_FLOOR = 7.7e-6


class Flat(nn.Module):
    """A VAE with one vector of latents."""

    def __init__(self, shape, kind, widths, latent):
        super().__init__()
        channels, height, width = shape
        self.latent = latent
        if kind == "mlp":
            sizes = (channels * height * width, *widths)
            layers = [nn.Flatten()]
            for inputs, outputs in zip(sizes, sizes[1:]):
                layers += [nn.Linear(inputs, outputs), nn.SiLU()]
            self.encoder = nn.Sequential(*layers, nn.Linear(sizes[-1], 2 * latent))
            layers = []
            back = (latent, *widths[::-1])
            for inputs, outputs in zip(back, back[1:]):
                layers += [nn.Linear(inputs, outputs), nn.SiLU()]
            self.decoder = nn.Sequential(
                *layers, nn.Linear(back[-1], sizes[0]), nn.Unflatten(1, shape))
            return
        inner = (widths[-1], height >> len(widths), width >> len(widths))
        layers = []
        for inputs, outputs in zip((channels, *widths), widths):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.ReLU()]
        self.encoder = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(math.prod(inner), 2 * latent))
        layers = [nn.Linear(latent, math.prod(inner)), nn.ReLU(), nn.Unflatten(1, inner)]
        back = widths[::-1]
        for inputs, outputs in zip(back, back[1:]):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(back[-1], channels, 4, 2, 1))

    def forward(self, x, draws: int = 1):
        mean, log_variance = self.encoder(x * 2 - 1).float().chunk(2, 1)
        log_variance = log_variance.clamp(-8, 4)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        if draws > 1:
            mean, log_variance = (v.repeat_interleave(draws, 0) for v in (mean, log_variance))
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(z).float(), rate


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x):
        return x + self.second(F.silu(self.first(F.silu(x))))


class Ladder(nn.Module):
    """Three stochastic layers: a vector and maps at the two deepest levels."""

    def __init__(self, shape, kind, widths, latent):
        super().__init__()
        channels, height, width = shape
        self.inner = (widths[-1], height >> len(widths), width >> len(widths))
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1) for a, b in zip((channels, *widths), widths))
        self.blocks = nn.ModuleList(Block(w) for w in widths)
        self.top = nn.Linear(math.prod(self.inner), 2 * latent)
        self.spread = nn.Linear(latent, math.prod(self.inner))
        maps = widths[::-1][:2]

        def convolutions(inputs, outputs):
            return nn.ModuleList(nn.Conv2d(i, o, 3, 1, 1) for i, o in zip(inputs, outputs))

        double = [2 * MAP_CHANNELS] * 2
        self.prior, self.above, self.below = (convolutions(maps, double) for _ in range(3))
        self.enter = convolutions([MAP_CHANNELS] * 2, maps)
        self.draw_blocks = nn.ModuleList(Block(w) for w in maps)
        self.up_blocks = nn.ModuleList(Block(w) for w in widths[::-1])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1)
            for a, b in zip(widths[::-1], (*widths[-2::-1], channels)))

    def forward(self, x, draws: int = 1):
        features, h = [], x * 2 - 1
        for index, (down, block) in enumerate(zip(self.down, self.blocks)):
            h = block(down(h if index == 0 else F.silu(h)))
            features.append(h)

        def repeated(v):
            return v.repeat_interleave(draws, 0) if draws > 1 else v

        mean, log_variance = self.top(F.silu(h).flatten(1)).float().chunk(2, 1)
        log_variance = log_variance.clamp(-8, 4)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        rate = repeated(rate)
        mean, log_variance = repeated(mean), repeated(log_variance)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        h = self.spread(z).unflatten(1, self.inner)
        for index in range(len(self.up)):
            if index < 2:
                p_mean, p_log = self.prior[index](F.silu(h)).float().chunk(2, 1)
                p_log = p_log.clamp(-8, 4)
                moved = self.above[index](F.silu(h)) + repeated(
                    self.below[index](F.silu(features[-1 - index])))
                a, b = moved.float().chunk(2, 1)
                q_mean, q_log = p_mean + a, (p_log + b).clamp(-8, 4)
                rate = rate + 0.5 * (
                    (q_mean - p_mean) ** 2 / p_log.exp() + (q_log - p_log).exp() - 1 - q_log + p_log
                ).flatten(1).sum(1)
                z = q_mean + torch.exp(0.5 * q_log) * torch.randn_like(q_mean)
                h = self.draw_blocks[index](h + self.enter[index](z))
            h = self.up[index](F.silu(self.up_blocks[index](h)))
        return h.float(), rate


class Work:
    def __init__(self, name, recipe, seed, path):
        torch.manual_seed(seed)
        shape, kind, widths, latent, self.batch = WORKLOADS[name]
        windows = torch.from_numpy(np.fromfile(path, np.float32)).view(-1, *shape)
        self.batches = [
            windows[i:i + self.batch]
            for i in range(0, len(windows) - self.batch + 1, self.batch)]
        self.elements = math.prod(shape)
        self.half = recipe in ("bfloat16", "compiled")
        self.last = recipe != "eager" and kind != "mlp"
        self.model = (Ladder if kind == "ladder" else Flat)(shape, kind, widths, latent)
        if self.last:
            self.model = self.model.to(memory_format=torch.channels_last)
        # The first version that one writes has the optimiser's default.
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=2e-3, weight_decay=1e-5,
            fused=recipe != "eager" or None)
        self.run = torch.compile(self.model) if recipe.startswith("compiled") else self.model

    def windows(self, index):
        x = self.batches[index % len(self.batches)]
        return x.contiguous(memory_format=torch.channels_last) if self.last else x

    def loss(self, x, weight):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            rebuilt, rate = self.run(x)
        error = F.mse_loss(rebuilt, x)
        best = error.detach().clamp(min=VARIANCE_FLOOR)
        distortion = 0.5 * self.elements * (best.log() + math.log(2 * math.pi) + error / best)
        return distortion + weight * rate.mean()

    def step(self, index, total):
        progress = index / total
        loss = self.loss(self.windows(index), min(1, progress / 0.15))
        (loss / self.elements).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.param_groups[0]["lr"] = 2e-3 * (
            max(0.01, progress / 0.1) if progress < 0.1
            else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, (progress - 0.1) / 0.9))))
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    @torch.inference_mode()
    def score(self, index):
        x = self.windows(index)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            rebuilt, _ = self.run(x, DRAWS)
        squared = (rebuilt.unflatten(0, (-1, DRAWS)) - x[:, None]).square().flatten(2).sum(2)
        return float((0.5 * squared + 0.5 * self.elements * math.log(2 * math.pi)).mean())

    def cost(self):
        """Operations, and bytes: activations written and read in both directions, in two bytes each, and
        weights, gradients and moments read and written once by the optimiser."""
        counts = []
        sizes = []
        hooks = [
            layer.register_forward_hook(lambda _l, _i, out: sizes.append(out.numel()))
            for layer in self.model.modules() if not list(layer.children())]
        with FlopCounterMode(display=False) as counter:
            self.loss(self.windows(0), 1).backward()
        counts.append(counter.get_total_flops())
        activations = sum(sizes)
        for hook in hooks:
            hook.remove()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.model(self.windows(0), DRAWS)
        counts.append(counter.get_total_flops())
        self.optimizer.zero_grad()
        weights = sum(p.numel() for p in self.model.parameters())
        return {"train": counts[0], "score": counts[1], "bytes": 8 * activations + 28 * weights}


def rate(work, amount, seconds=0.15):
    """The best of repeated runs for a while: what the machine can do at this moment."""
    best, end = 1e9, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return amount / best


def peak():
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    half = a.bfloat16(), b.bfloat16()
    source, target = torch.zeros(1 << 25), torch.zeros(1 << 25)
    # Without AVX-512 a product of bfloat16 takes seconds, and nobody makes any.
    is_wide = os.environ.get("ATEN_CPU_CAPABILITY") != "avx2"
    return {
        "float32": rate(lambda: a @ b, 2 * 1024**3),
        "bfloat16": rate(lambda: half[0] @ half[1], 2 * 1024**3) if is_wide else math.nan,
        "memory": rate(lambda: target.copy_(source), 2 * 4 * (1 << 25)),
    }


def main():
    name, recipe, threads, seed, path = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.set_flush_denormal(True)
    work = Work(name, recipe, int(seed), path)
    for line in sys.stdin:
        verb, *words = line.split()
        numbers = [int(word) for word in words]
        start = time.perf_counter()
        if verb == "train":
            losses = [work.step(i, numbers[2]) for i in range(numbers[0], numbers[0] + numbers[1])]
        elif verb == "score":
            losses = [work.score(i) for i in range(numbers[0])]
        else:
            print(json.dumps(work.cost() if verb == "cost" else peak()), flush=True)
            continue
        print(json.dumps({
            "seconds": time.perf_counter() - start, "losses": losses,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)


if __name__ == "__main__":
    main()
