"""Likelihoods and KL divergences.

likelihood.json   {x, logits, mean, log_variance, shared, expected: {…}, posterior: {…}}
    log p(x) of three windows under each likelihood and KL(q ‖ N(0, I)) of four posteriors, from
    torch.distributions in float64. Used by LikelihoodTests.

continuous_bernoulli.json    {logits, x, log, mean}
    log p(x) for each logit and x, and E[x], by Gauss-Legendre quadrature of the definition in
    float64; where torch.distributions is exact it must agree. Used by ContinuousBernoulliTests.

laplace.json    {x, mean, log_scale, log}
    log p(x) of three windows from torch.distributions in float64. Used by LaplaceTests.

student_t.json    {x, output, mean, log}
    log p(x) of three windows from torch.distributions in float64. Used by StudentTTests.

logistic_mixture.json    {"cases": [{name, output, x, log}], "means": [{output, mean}]}
    log p of grey and coloured windows from the logistic CDF, in float64; and E[x] of single pixels
    as a sum over all 256 steps of each channel. Used by LogisticMixtureTests.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .common import plain, Source, write


def likelihood():
    """likelihood.json"""
    source = Source(5)
    shape = (3, 3, 2, 5)
    x = source.uniform(*shape)
    x[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    logits = source.normal(*shape, scale=3)
    logits[0, 0, 0, :2] = torch.tensor([-40.0, 40.0])
    mean, log_variance = source.uniform(*shape), source.normal(*shape, scale=2)
    wide = [t.double() for t in (x, logits, mean, log_variance)]
    shared = -3.25

    def gaussian(log_variance):
        deviation = torch.exp(torch.as_tensor(log_variance, dtype=torch.float64) / 2)
        return torch.distributions.Normal(wide[2], deviation).log_prob(wide[0]).sum((1, 2, 3))

    # -log(1 + exp(±logit)) are the logarithms of the two probabilities.
    positive, negative = (-torch.log1p(torch.exp(sign * wide[1])) for sign in (-1, 1))
    bernoulli = (wide[0] * positive + (1 - wide[0]) * negative).sum((1, 2, 3))

    posterior_mean, posterior_log_variance = source.normal(4, 5, scale=2), source.normal(4, 5)
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(
            posterior_mean.double(), torch.exp(posterior_log_variance.double() / 2)),
        torch.distributions.Normal(0.0, 1.0)).sum(1)
    write("likelihood.json", {
        "x": plain(x), "logits": plain(logits), "mean": plain(mean),
        "log_variance": plain(log_variance), "shared": shared,
        "expected": {
            "bernoulli": plain(bernoulli), "gaussian": plain(gaussian(shared)),
            "gaussian_per_element": plain(gaussian(wide[3])),
        },
        "posterior": {
            "mean": plain(posterior_mean), "log_variance": plain(posterior_log_variance),
            "kl": plain(divergence),
        },
    })


def continuous_bernoulli():
    """continuous_bernoulli.json"""
    logits = np.array([
        -40, -25, -12.5, -8, -4, -2, -1, -0.5, -0.11, -0.05, -0.03, -0.01, -0.002, -0.0005, 0,
        0.0004, 0.001, 0.004, 0.02, 0.04, 0.06, 0.1, 0.25, 0.75, 1.5, 3, 5, 9, 15, 30, 40,
    ], np.float32)
    x = np.array([0, 0.004, 0.1, 0.37, 0.5, 0.82, 0.996, 1], np.float32)
    nodes, node_weights = np.polynomial.legendre.leggauss(200)
    nodes, node_weights = (nodes + 1) / 2, node_weights / 2
    wide = logits.astype(np.float64)[:, None]

    def unnormalised(at):  # x log λ + (1 - x) log(1 - λ)
        return -at * np.logaddexp(0, -wide) - (1 - at) * np.logaddexp(0, wide)

    mass = (np.exp(unnormalised(nodes[None])) * node_weights).sum(1, keepdims=True)
    log = unnormalised(x.astype(np.float64)[None]) - np.log(mass)
    mean = (np.exp(unnormalised(nodes[None])) * node_weights * nodes).sum(1) / mass[:, 0]
    # Beyond, PyTorch's probabilities round to 0 or 1.
    near = np.abs(logits) < 9
    peer = torch.distributions.ContinuousBernoulli(logits=torch.tensor(wide[near]))
    value = torch.tensor(x, dtype=torch.float64)[None].expand(int(near.sum()), -1)
    assert np.abs(peer.log_prob(value).numpy() - log[near]).max() < 1e-9
    assert np.abs(peer.mean[:, 0].numpy() - mean[near]).max() < 1e-9
    write("continuous_bernoulli.json", {
        "logits": plain(logits), "x": plain(x), "log": plain(log), "mean": plain(mean)})


def laplace():
    """laplace.json"""
    source = Source(8)
    x, mean = source.uniform(3, 3, 2, 5), source.normal(3, 3, 2, 5)
    scale = -2.25
    log = torch.distributions.Laplace(mean.double(), math.exp(scale)).log_prob(x.double())
    write("laplace.json", {
        "x": plain(x), "mean": plain(mean), "log_scale": scale, "log": plain(log.sum((1, 2, 3)))})


def student_t():
    """student_t.json"""
    source = Source(22)
    x, output = source.uniform(3, 2, 2, 5), source.normal(3, 4, 2, 5)
    mean, raw = output.double().chunk(2, 1)
    scale = F.softplus(raw) + 1 / 510
    log = torch.distributions.StudentT(4.0, mean, scale).log_prob(x.double())
    write("student_t.json", {
        "x": plain(x), "output": plain(output), "mean": plain(mean),
        "log": plain(log.sum((1, 2, 3)))})


def log_logistic_mass(step, mean, log_scale):
    """log P(step) of a logistic over 256 steps of 2/255 in -1…1, by differences of the CDF."""
    mean, scale = np.broadcast_arrays(mean, np.exp(log_scale))
    centre = step * 2 / 255 - 1 - mean
    # The CDF of the side that is nearer to 0, so that a difference keeps its digits.
    sign = np.where(centre > 0, -1.0, 1.0)
    upper = np.where(sign > 0, centre + 1 / 255, -(centre - 1 / 255)) / scale
    lower = np.where(sign > 0, centre - 1 / 255, -(centre + 1 / 255)) / scale
    lower = np.where((sign > 0) & (step == 0) | (sign < 0) & (step == 255), -np.inf, lower)
    upper = np.where((sign > 0) & (step == 255) | (sign < 0) & (step == 0), np.inf, upper)
    log_upper, log_lower = -np.logaddexp(0, -upper), -np.logaddexp(0, -lower)
    return log_upper + np.log(-np.expm1(log_lower - log_upper))


def mixture_parts(output, channels):
    """[5·(3 or 10), …] → log-weights, means, log-scales, coefficients, components first."""
    parts = np.asarray(output, np.float64).reshape(-1, 5, *output.shape[1:])
    log_weights = parts[0] - np.logaddexp.reduce(parts[0], axis=0)
    means = parts[1:1 + 2 * channels:2]
    log_scales = np.clip(parts[2:2 + 2 * channels:2] - 2, -7, 2)
    return log_weights, means, log_scales, np.tanh(parts[1 + 2 * channels:])


def logistic_mixture():
    """logistic_mixture.json"""
    source = Source(9)
    cases = []
    for name, channels, scale in [("grey", 1, 1), ("grey, wild", 1, 6), ("RGB", 3, 1),
                                  ("RGB, wild", 3, 6)]:
        output = source.normal(2, 15 if channels == 1 else 50, 2, 3, scale=scale).numpy()
        x = source.uniform(2, channels, 2, 3, decimals=3).numpy()
        x[0, :, 0, 0], x[0, :, 0, 1], x[1, 0, 1, 2] = 0, 1, 1
        log = []
        for window, target in zip(output, x):
            log_weights, means, log_scales, coefficients = mixture_parts(window, channels)
            steps = np.rint(target.astype(np.float64) * 255)
            values = steps * 2 / 255 - 1
            means = list(means)
            if channels == 3:
                a, b, c = coefficients
                means[1] = means[1] + a * values[0]
                means[2] = means[2] + b * values[0] + c * values[1]
            total = log_weights
            for step, mean, log_scale in zip(steps, means, log_scales):
                total = total + log_logistic_mass(step[None], mean, log_scale)
            log.append(np.logaddexp.reduce(total, axis=0).sum())
        cases.append({"name": name, "output": plain(output), "x": plain(x),
                      "log": plain(np.array(log))})

    means = []
    steps = np.arange(256.0)
    scaled = steps * 2 / 255 - 1
    for channels in (1, 1, 3):
        # Narrow, and far from the ends, where tails would be cut.
        logits, middles = source.normal(1, 5), source.uniform(channels, 5, low=-0.3, high=0.3)
        widths = source.uniform(channels, 5, low=-2, high=-1)
        rows = [logits] + [t[i:i + 1] for i in range(channels) for t in (middles, widths)]
        if channels == 3:
            rows.append(source.normal(3, 5, scale=0.4))
        output = torch.cat(rows).reshape(-1, 1, 1).numpy()
        log_weights, middle, log_scales, coefficients = mixture_parts(output[:, 0, 0], channels)
        expected = np.zeros(channels)
        for k, weight in enumerate(np.exp(log_weights)):
            red = np.exp(log_logistic_mass(steps, middle[0][k], log_scales[0][k]))
            assert abs(red.sum() - 1) < 1e-12
            expected[0] += weight * (red * steps).sum() / 255
            if channels == 1:
                continue
            a, b, c = coefficients[:, k]
            for value, probability in zip(scaled, red):
                if probability < 1e-12:
                    continue
                green = np.exp(log_logistic_mass(
                    steps, middle[1][k] + a * value, log_scales[1][k]))
                expected[1] += weight * probability * (green * steps).sum() / 255
                shifted = middle[2][k] + b * value + c * scaled[:, None]
                blue = np.exp(log_logistic_mass(steps[None], shifted, log_scales[2][k]))
                expected[2] += weight * probability * (green * (blue @ steps)).sum() / 255
        means.append({"output": plain(output[None]), "mean": plain(expected)})
    write("logistic_mixture.json", {"cases": cases, "means": means})
