"""The networks of a model file of `latent`, in NumPy and float64; for Tools/rescore.py."""

import math

import numpy as np


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def silu(x):
    return x * sigmoid(x)


def relu(x):
    return np.maximum(x, 0)


class Network:
    """The networks of a model: 4×4 convolutions of stride 2 and padding 1, or linear layers."""

    def __init__(self, record, weights):
        self.record, self.weights = record, weights
        self.shape = record["configuration"]
        self.window = [self.shape[key] for key in ("channelCount", "height", "width")]

    def linear(self, path, x):
        return x @ self.weights[path + ".weight"].T + self.weights[path + ".bias"]

    def halve(self, path, x):
        weight, bias = self.weights[path + ".weight"], self.weights[path + ".bias"]
        batch, channels, height, width = x.shape
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        patches = np.lib.stride_tricks.sliding_window_view(x, (4, 4), (2, 3))[:, :, ::2, ::2]
        patches = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, channels * 16)
        y = patches @ weight.reshape(len(weight), -1).T + bias
        return y.reshape(batch, height // 2, width // 2, -1).transpose(0, 3, 1, 2)

    def double(self, path, x):
        weight, bias = self.weights[path + ".weight"], self.weights[path + ".bias"]
        batch, channels, height, width = x.shape
        outputs = weight.shape[1]
        parts = x.transpose(0, 2, 3, 1).reshape(-1, channels) @ weight.reshape(channels, -1)
        parts = parts.reshape(batch, height, width, outputs, 4, 4)
        y = np.zeros((batch, 2 * height + 2, 2 * width + 2, outputs))
        for row in range(4):
            for column in range(4):
                y[:, row:row + 2 * height:2, column:column + 2 * width:2] += (
                    parts[..., row, column])
        return (y[:, 1:-1, 1:-1] + bias).transpose(0, 3, 1, 2)

    def encode(self, x):
        """Mean and log-variance, [B, D] each."""
        h = x * 2 - 1
        count = len(self.shape["widths"])
        if self.shape["architecture"] == "conv":
            for index in range(count):
                h = relu(self.halve(f"encoder.{index}", h))
        h = h.reshape(len(x), -1)
        if self.shape["architecture"] == "mlp":
            for index in range(count):
                h = silu(self.linear(f"encoder.{index}", h))
        mean, log_variance = np.split(self.linear("encoder.posterior", h), 2, 1)
        return mean, np.clip(log_variance, -8, 4)

    def decode(self, z):
        """What the decoder gives: logits, or means; [B, C, H, W]."""
        count = len(self.shape["widths"])
        if self.shape["architecture"] == "mlp":
            h = z
            for index in range(count + 1):
                h = self.linear(f"decoder.{index}", h)
                if index < count:
                    h = silu(h)
            return h.reshape(len(z), *self.window)
        h = relu(self.linear("decoder.0", z))
        h = h.reshape(len(z), -1, self.window[1] >> count, self.window[2] >> count)
        for index in range(count):
            h = self.double(f"decoder.{index + 1}", h)
            if index + 1 < count:
                h = relu(h)
        return h

    def expectation(self, z):
        """E[x|z]."""
        output = self.decode(z)
        return sigmoid(output) if self.shape["likelihood"] == "bernoulli" else output

    def log_probability(self, x, z):
        """log p(x|z) in nats and the mean squared error of one window under each draw, [L]."""
        output = self.decode(z)
        kind = self.shape["likelihood"]
        if kind == "bernoulli":
            # log of the probability of 1, and of 0
            one, zero = -np.logaddexp(0, -output), -np.logaddexp(0, output)
            logs = x * one + (1 - x) * zero
            mean = sigmoid(output)
            return logs.sum((1, 2, 3)), ((x - mean) ** 2).mean((1, 2, 3)), mean
        log_variance = self.weights["likelihood.log_scale"].item()
        if kind == "gaussian-per-element":
            h = silu(self.linear("variance.0", z))
            ratio = sigmoid(self.linear("variance.1", h)) * 6 - 3
            log_variance = log_variance + ratio.reshape(len(z), *self.window)
        squared = (x - output) ** 2
        logs = -0.5 * (squared * np.exp(-log_variance) + log_variance + math.log(2 * math.pi))
        return logs.sum((1, 2, 3)), squared.mean((1, 2, 3)), output
