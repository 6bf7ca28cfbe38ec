"""The same training in PyTorch, as one would write it: the peer of `latent train`.

    ./.libtorch-python Tools/peer.py DATA -o weights.pt [--epochs 20] [--cached]
        [--precision float32|bfloat16]
    ./.libtorch-python Tools/peer.py DATA --score weights.pt [--draws 16]

DATA is a folder of grey PNGs, or of WAVs of about a second at 8 kHz. Files are decoded (by Pillow; by SciPy,
then to log-mels of 40 bands and 64 frames) in the two workers of a DataLoader, each time anew, or with
--cached once, before the first epoch, after which batches are slices of a tensor.
Network, loss, schedule, clipping and initialisation are those of `latent train DATA --channels
32,64,128 --latent 32 --batch 128`: antialiased resize to 32x32 (recordings: --mels
40 --fft 256 --hop 128 --size 64), convolutions 4x4 of stride 2, σ-VAE,
fused AdamW at 2e-3 with a rise over a tenth of the steps and a cosine fall, KL warm-up over 15 %.
Losses are nats for each image. With bfloat16, products are those of autocast, and images lie with
channels last, which is the faster of PyTorch's ways there.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import wavfile
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIDE = 32
BANDS, FRAMES, FFT, HOP, RATE = 40, 64, 256, 128, 8000
RANGE_NATS = 10
CHANNELS = (32, 64, 128)
LATENT = 32
VARIANCE_FLOOR = 7.7e-6


class Pictures(Dataset):
    def __init__(self, folder):
        self.paths = sorted(pathlib.Path(folder).rglob("*.png"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        picture = Image.open(self.paths[index]).convert("L").convert("F")
        picture = picture.resize((SIDE, SIDE), Image.BILINEAR)  # Pillow's has antialiasing
        return torch.from_numpy(np.asarray(picture) / np.float32(255))[None]


class Recordings(Dataset):
    def __init__(self, folder):
        self.paths = sorted(pathlib.Path(folder).rglob("*.wav"))
        points = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
        edges = 700 * (10 ** (points / 2595) - 1)
        bins = np.arange(FFT // 2 + 1) * RATE / FFT
        rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
        fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
        self.filters = torch.from_numpy(np.clip(np.minimum(rise, fall), 0, None)).float()
        self.window = torch.hann_window(FFT)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        _, samples = wavfile.read(self.paths[index])
        signal = torch.from_numpy(samples.astype(np.float32) / 32768)
        power = torch.stft(
            signal, FFT, HOP, window=self.window, return_complex=True).abs().square()
        mels = torch.log((self.filters @ power).clamp(min=1e-10))
        mels = ((mels - mels.max()) / RANGE_NATS + 1).clamp(0, 1)[:, :FRAMES]
        return F.pad(mels, (0, FRAMES - mels.shape[1]))[None]


def files(folder):
    pictures = Pictures(folder)
    return pictures if len(pictures) else Recordings(folder)


class CachedBatches:
    """Shuffled batches of pictures that were decoded once."""

    def __init__(self, pictures, batch_size):
        self.batch_size = batch_size
        loader = DataLoader(pictures, 256, num_workers=2)
        self.pictures = torch.cat(list(loader))

    def __len__(self):
        return math.ceil(len(self.pictures) / self.batch_size)

    def __iter__(self):
        for part in torch.randperm(len(self.pictures)).split(self.batch_size):
            yield self.pictures[part]


class VAE(nn.Module):
    def __init__(self, height, width):
        super().__init__()
        self.elements = height * width
        layers = []
        for inputs, outputs in zip((1, *CHANNELS), CHANNELS):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.ReLU()]
        inner = (CHANNELS[-1], height >> len(CHANNELS), width >> len(CHANNELS))
        count = math.prod(inner)
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(count, 2 * LATENT))
        layers = [nn.Linear(LATENT, count), nn.ReLU(), nn.Unflatten(1, inner)]
        widths = CHANNELS[::-1]
        for inputs, outputs in zip(widths, widths[1:]):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 1, 4, 2, 1))
        self.register_buffer("log_variance", torch.zeros(()))

    def encode(self, x):
        mean, log_variance = self.encoder(x * 2 - 1).chunk(2, 1)
        return mean, log_variance.clamp(-8, 4)

    def forward(self, x, half=False):
        """-log p(x|z) at the best variance of the batch and KL, means over the batch; the MSE."""
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            mean, log_variance = self.encode(x)
            mean, log_variance = mean.float(), log_variance.float()
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            rebuilt = self.decoder(z).float()
        error = F.mse_loss(rebuilt, x)
        best = error.clamp(min=VARIANCE_FLOOR)
        distortion = 0.5 * self.elements * (best.log() + math.log(2 * math.pi) + error / best)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
        return distortion, rate, error


def train(args):
    torch.manual_seed(args.seed)
    pictures = files(args.data)
    if args.cached:
        batches = CachedBatches(pictures, args.batch)
    else:
        batches = DataLoader(
            pictures, args.batch, shuffle=True, num_workers=2, persistent_workers=True)
    model = VAE(*pictures[0].shape[1:])
    half = args.precision == "bfloat16"
    if half:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-5, fused=True)
    steps = args.epochs * len(batches)
    step = 0
    for epoch in range(args.epochs):
        start = time.perf_counter()
        sums, count = np.zeros(4), 0
        for x in batches:
            progress = step / steps
            if half:
                x = x.contiguous(memory_format=torch.channels_last)
            distortion, rate, error = model(x, half)
            loss = distortion + rate * min(1, progress / 0.15)
            (loss / model.elements).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            factor = max(0.01, progress / 0.1) if progress < 0.1 else (
                0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)))
            optimizer.param_groups[0]["lr"] = 2e-3 * factor
            optimizer.step()
            optimizer.zero_grad()
            figures = (loss.item(), distortion.item(), rate.item(), error.item())
            sums += np.array(figures) * len(x)
            count += len(x)
            step += 1
        loss, distortion, rate, error = sums / count
        print(
            f"epoch {epoch + 1:3}  loss {loss:9.3f}  distortion {distortion:9.3f}  "
            f"rate {rate:7.3f}  {time.perf_counter() - start:6.2f} s", flush=True)
    model.log_variance.fill_(math.log(max(error, VARIANCE_FLOOR)))
    if args.output:
        torch.save(model.state_dict(), args.output)


@torch.inference_mode()
def score(args):
    """One line for each file: -E[log p(x|z)] over the draws, as `latent score` prints it."""
    torch.manual_seed(args.seed)
    pictures = files(args.data)
    model = VAE(*pictures[0].shape[1:])
    model.load_state_dict(torch.load(args.score, weights_only=True))
    half = args.precision == "bfloat16"
    if half:
        model = model.to(memory_format=torch.channels_last)
    constant = 0.5 * model.elements * (math.log(2 * math.pi) + model.log_variance.item())
    index = 0
    for x in DataLoader(pictures, args.batch, num_workers=2):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            parameters = [v.float() for v in model.encode(x)]
            mean, log_variance = (v.repeat_interleave(args.draws, 0) for v in parameters)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            rebuilt = model.decoder(z).float()
        squared = (rebuilt - x.repeat_interleave(args.draws, 0)).square().sum((1, 2, 3))
        scores = constant + 0.5 * squared / model.log_variance.exp()
        for value in scores.reshape(-1, args.draws).mean(1).tolist():
            print(json.dumps({"path": str(pictures.paths[index]), "score": value}))
            index += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("-o", "--output", help="where the weights go")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--cached", action="store_true", help="decode once, not in each epoch")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--score", metavar="WEIGHTS", help="score the files and train nothing")
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="for computing; 0: PyTorch's choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    score(args) if args.score else train(args)


if __name__ == "__main__":
    main()
