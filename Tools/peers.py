"""Other detectors, fitted to the same normal files and scoring the same test files.

Used by Tools/detection.py --peers. Images are read grey at 32x32, recordings as 32 log-mel bands
stretched to 32 frames, both as the PCA floor reads them. The peers:

- an isolation forest (scikit-learn), 200 trees;
- PyOD's VAE as it comes: the values standardised, layers of 128, 64 and 32, 2 latents, 30 epochs;
- a plain convolutional VAE in PyTorch: convolutions of stride 2 to 32, 64 and 128 channels and back, 16
  latents, Adam at 0.001, batches of 32, 80 epochs; Bernoulli for images, a Gaussian of unit variance
  for standardised log-mels; the score is the squared error of the reconstruction from the posterior
  mean. Images larger than 64 pixels are read at 64x64.

Isolation forest and plain VAE need scikit-learn and PyTorch, PyOD its own package:

    ./.libtorch-python -m pip install pyod tqdm
"""

import threading
import time

import numpy as np
import torch
from PIL import Image
from sklearn.ensemble import IsolationForest
from torch import nn
from torch.nn import functional

try:
    from pyod.models.vae import VAE
except ImportError as error:
    raise SystemExit(
        f"PyOD: {error}; install it by: ./.libtorch-python -m pip install pyod tqdm") from None

ONE_AT_A_TIME = threading.Lock()

# Numbers too small to matter would make a step of the networks take twice as long.
torch.set_flush_denormal(True)


class PlainVAE(nn.Module):
    """Windows [n, 1, S, S] in 0…1, S divisible by 8."""

    def __init__(self, side, latents=16):
        super().__init__()
        self.deepest = (128, side // 8, side // 8)
        flat = int(np.prod(self.deepest))
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(flat, 2 * latents))
        self.widen = nn.Linear(latents, flat)
        self.decoder = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1))

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean
        if self.training:
            z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
        return self.decoder(self.widen(z).unflatten(1, self.deepest)), kl


def plain(train, is_audio, seed):
    """Fitted to [n, S, S]; gives the squared error of the reconstruction of each file."""
    torch.manual_seed(seed)
    mean, scale = (train.mean(), train.std() + 1e-9) if is_audio else (0.0, 1.0)

    def batch(values):
        return torch.tensor((values - mean) / scale, dtype=torch.float32)[:, None]

    def error(output, target):
        if is_audio:
            return 0.5 * (output - target) ** 2
        return functional.binary_cross_entropy_with_logits(output, target, reduction="none")

    x = batch(train)
    model = PlainVAE(x.shape[-1])
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(80):
        for part in torch.randperm(len(x)).split(32):
            output, kl = model(x[part])
            loss = (error(output, x[part]).sum() + kl) / len(part)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()

    def score(test):
        with torch.no_grad():
            y = batch(test)
            outputs = torch.cat([model(part)[0] for part in y.split(256)])
            rebuilt = outputs if is_audio else outputs.sigmoid()
            return ((rebuilt - y) ** 2).sum((1, 2, 3)).numpy()

    return score


def pyod(train, seed):
    model = VAE(random_state=seed, verbose=0)
    model.fit(train.reshape(len(train), -1))
    return lambda test: model.decision_function(test.reshape(len(test), -1))


def forest(train, seed):
    model = IsolationForest(n_estimators=200, random_state=seed)
    model.fit(train.reshape(len(train), -1))
    return lambda test: -model.score_samples(test.reshape(len(test), -1))


def scores(read, train, test, seed):
    """(scores of the test files, processor seconds of reading and fitting the others), by peer.

    `read` makes of a path and a side a square map, flat.
    """
    is_audio = train[0].suffix == ".wav"
    is_large = not is_audio and max(Image.open(train[0]).size) > 64

    def fitted(fit, side):
        start = time.process_time()
        x = np.stack([read(path, side) for path in train]).reshape(len(train), side, side)
        score = fit(x)
        seconds = time.process_time() - start
        return score(np.stack([read(path, side) for path in test]).reshape(-1, side, side)), seconds

    # Two of them take their noise from PyTorch's one generator.
    with ONE_AT_A_TIME:
        return {
            "isolation forest": fitted(lambda x: forest(x, seed), 32),
            "PyOD VAE": fitted(lambda x: pyod(x, seed), 32),
            "plain conv VAE": fitted(lambda x: plain(x, is_audio, seed), 64 if is_large else 32),
        }
