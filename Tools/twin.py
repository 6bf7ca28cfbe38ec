"""The flat VAE of `latent train --likelihood bernoulli --binarise` in PyTorch: the peer in nats.

    ./.libtorch-python Tools/twin.py DATA [--seed 0] [--draws 5000] [options as of `latent train`]

DATA has train/ and test/ with grey PNGs. Network (`conv` or `resnet`), initialisation,
fused AdamW with its rise and cosine fall, KL warm-up, loss scaled to one element, clipping, moving
average of the weights, light variation of the inputs (small shifts, rotations and scalings) and choice
of the best epoch by the held-out bound are those of `latent train`; random numbers, and with them
the division into training and held-out part, are its own.

Printed as `latent evaluate likelihood` does: a line of JSON for each test file with the
importance-weighted bound of log p(x), and a summary, here with the seconds that training took.
"""

import argparse
import copy
import json
import math
import os
import pathlib
import sys
import time

# As latent does: threads that spin are slow on a machine with other work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-5
GRADIENT_CLIP = 1.0
LOG_VARIANCES = (-8, 4)
SHIFT, ROTATION_DEGREES, SCALE = 0.04, 5, 0.05


def read(folder, size):
    """Paths below a folder in sorted order, and black and white pictures, [N, 1, S, S]."""
    paths = sorted(pathlib.Path(folder).rglob("*.png"))
    if not paths:
        sys.exit(f"{folder}: no PNG")
    pictures = []
    for path in paths:
        picture = Image.open(path).convert("L").convert("F")
        if picture.size != (size, size):
            picture = picture.resize((size, size), Image.BILINEAR)  # Pillow's has antialiasing
        pictures.append(np.asarray(picture) >= 127.5)
    return paths, torch.from_numpy(np.stack(pictures)[:, None]).float()


class ResidualBlock(nn.Module):
    """x + conv(SiLU(conv(SiLU(x)))), the second convolution zero at first."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x):
        return x + self.second(F.silu(self.first(F.silu(x))))


class VAE(nn.Module):
    """Layers begin as PyTorch makes them, and so do those of `latent`."""

    def __init__(self, architecture, size, channels, latent):
        super().__init__()
        inner = size >> len(channels)
        count = channels[-1] * inner**2
        encoder, decoder = [], [nn.Linear(latent, count)]
        unflatten = nn.Unflatten(1, (channels[-1], inner, inner))
        down = zip((1, *channels), channels)
        up = zip(channels[::-1], (*channels[-2::-1], 1))
        if architecture == "conv":
            for inputs, outputs in down:
                encoder += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.ReLU()]
            decoder += [nn.ReLU(), unflatten]
            for inputs, outputs in up:
                decoder += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.ReLU()]
            decoder.pop()
        else:
            for inputs, outputs in down:
                encoder += [
                    nn.Conv2d(inputs, outputs, 4, 2, 1), ResidualBlock(outputs), nn.SiLU()]
            decoder.append(unflatten)
            for inputs, outputs in up:
                decoder += [
                    ResidualBlock(inputs), nn.SiLU(), nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(count, 2 * latent))
        self.decoder = nn.Sequential(*decoder)

    def encode(self, x):
        mean, log_variance = self.encoder(x * 2 - 1).chunk(2, 1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def parts(self, x, noise):
        """-log p(x|z) and KL, means over the batch."""
        mean, log_variance = self.encode(x)
        logits = self.decoder(mean + torch.exp(0.5 * log_variance) * noise)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
        return distortion, rate


def vary(x):
    """Each picture rotated and scaled around its centre and shifted, bilinear, edges repeated; black
    and white again."""
    count, _, height, width = x.shape

    def signed(limit):
        return limit * (2 * torch.rand(count, 1, 1) - 1)

    angle = signed(math.radians(ROTATION_DEGREES))
    down, right = signed(SHIFT * height), signed(SHIFT * width)
    y, x_place = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2,
        indexing="ij")
    dy, dx = y - down, x_place - right
    size = 1 / (1 + signed(SCALE))
    from_y = (angle.cos() * dy - angle.sin() * dx) * size
    from_x = (angle.sin() * dy + angle.cos() * dx) * size
    grid = torch.stack([from_x * 2 / (width - 1), from_y * 2 / (height - 1)], -1)
    moved = F.grid_sample(x, grid, padding_mode="border", align_corners=True)
    return (moved >= 0.5).float()


def train(args, pictures):
    """The weights of the best epoch, that epoch, and the number of epochs done."""
    held_out_count = round(len(pictures) * args.validation)
    order = torch.randperm(len(pictures))
    held_out, training = pictures[order[:held_out_count]], pictures[order[held_out_count:]]
    batch = args.batch or (64 if len(training) <= 2000 else 128)
    steps_an_epoch = math.ceil(len(training) / batch)
    epochs = args.epochs or min(300, max(5, math.ceil(1500 / steps_an_epoch)))
    patience = max(5, epochs // 4) if args.patience is None else args.patience
    elements = args.size**2
    channels = [int(word) for word in args.channels.split(",")]
    model = VAE(args.architecture, args.size, channels, args.latent)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    held_out_noise = torch.randn(len(held_out), args.latent)
    best, best_epoch, best_weights = math.inf, 0, None
    step, steps = 0, epochs * steps_an_epoch
    for epoch in range(1, epochs + 1):
        sums = 0
        for part in torch.randperm(len(training)).split(batch):
            progress = step / steps
            x = vary(training[part]) if args.augment == "light" else training[part]
            distortion, rate = model.parts(x, torch.randn(len(x), args.latent))
            weight = min(1, progress / args.kl_warmup) if args.kl_warmup > 0 else 1
            loss = distortion + rate * weight
            (loss / elements).backward()
            nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
            factor = max(0.01, progress / 0.1) if progress < 0.1 else (
                0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)))
            optimizer.param_groups[0]["lr"] = args.learning_rate * factor
            optimizer.step()
            optimizer.zero_grad()
            decay = min(args.average, (1 + step) / (10 + step))
            with torch.no_grad():
                for mean, value in zip(average.parameters(), model.parameters()):
                    mean.lerp_(value, 1 - decay)
            sums += loss.item() * len(x)
            step += 1
        with torch.inference_mode():
            held_out_loss = sum(
                sum(average.parts(x, noise)).item() * len(x)
                for x, noise in zip(held_out.split(batch), held_out_noise.split(batch))
            ) / max(1, len(held_out))
        is_best = held_out_loss < best or not len(held_out)
        if is_best:
            best, best_epoch = held_out_loss, epoch
            best_weights = copy.deepcopy(average.state_dict())
        print(
            f"epoch {epoch}/{epochs}: loss {sums / len(training):.2f}, held out "
            f"{held_out_loss:.2f}{' *' if is_best else ''}", file=sys.stderr, flush=True)
        if 0 < patience <= epoch - best_epoch:
            break
    average.load_state_dict(best_weights)
    return average, best_epoch, epoch


@torch.inference_mode()
def bound(model, x, draws, chunk=1000):
    """log (1/L) sum of p(x, z) / q(z|x) over L draws of z, for one picture."""
    mean, log_variance = model.encode(x[None])
    log_weights = []
    for start in range(0, draws, chunk):
        noise = torch.randn(min(chunk, draws - start), mean.shape[1])
        z = mean + torch.exp(0.5 * log_variance) * noise
        logits = model.decoder(z)
        log_p = (x * logits - F.softplus(logits)).sum((1, 2, 3))
        log_ratio = 0.5 * (noise**2 + log_variance - z**2).sum(1)  # log p(z) - log q(z|x)
        log_weights.append((log_p + log_ratio).double())
    return torch.cat(log_weights).logsumexp(0).item() - math.log(draws)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--draws", type=int, default=5000, help="of the bound on test files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
    parser.add_argument("--architecture", choices=["conv", "resnet"], default="conv")
    parser.add_argument("--objective", choices=["vae"], default="vae")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--channels", default="32,64")
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--epochs", type=int, help="about 1500 steps")
    parser.add_argument("--batch", type=int, help="64; 128 for more than 2000 files")
    parser.add_argument("--patience", type=int, help="a quarter of the epochs; 0 never stops")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--kl-warmup", type=float, default=0.15)
    parser.add_argument("--average", type=float, default=0.995)
    parser.add_argument("--augment", choices=["none", "light"], default="light")
    parser.add_argument("--validation", type=float, default=0.1)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    start = time.perf_counter()
    model, best_epoch, epochs = train(args, read(args.data / "train", args.size)[1])
    seconds = time.perf_counter() - start
    bounds = []
    for path, x in zip(*read(args.data / "test", args.size)):
        bounds.append(bound(model, x, args.draws))
        print(json.dumps({
            "path": str(path), "log_likelihood_nats": bounds[-1],
            "bits_per_dimension": -bounds[-1] / math.log(2) / x.numel()}))
    mean = float(np.mean(bounds))
    print(json.dumps({
        "summary": True, "items": len(bounds), "mean_nats": mean,
        "standard_error_nats": float(np.std(bounds, ddof=1) / math.sqrt(len(bounds))),
        "bits_per_dimension": -mean / math.log(2) / args.size**2, "seconds": seconds,
        "epochs": epochs, "best_epoch": best_epoch}))


if __name__ == "__main__":
    main()
