"""Views, scores and thresholds.

views.json    {"cases": [{name, x, cells, finished}]}
    What the views for detection make of small maps, and of their cells taken as one window, in
    float64 by convolutions of PyTorch with repeated edges. Used by ViewTransformTests.

scores.json    {x, posterior_mean, reconstructed, new: {…}, neighbours, residual, latent,
               displaced}
    Scores of new windows, fitted to others, by numpy in float64. Used by FittedScoreTests.

mixture.json    {tensors, x, errors, best}
    The smallest errors of two small networks on principal components, in float64. Used by
    MixtureErrorTests.

density.json    {weights, means, factors, mean, log_variance, bound, expected, fitted_mean,
                fitted_covariance, noise, draws}
    A mixture of Gaussians: its expected log-density under posteriors, the one Gaussian that is fitted
    to them, and draws, in float64 by PyTorch's distributions. Used by GaussianMixtureTests.

masked.json    {tensors, x, errors}
    The errors of a network that fills in nine blocks of each window, in float64. Used by
    MaskedErrorTests.

thresholds.json    {"beta", "drift", "discoveries", "tails"}
    Quantiles of Beta distributions, two-sample Kolmogorov-Smirnov statistics with the limiting
    p-value and stability indices, Benjamini and Hochberg's rejections, and generalised Pareto tails
    by probability-weighted moments, from scipy and numpy in float64. Used by CalibrationTests,
    DriftTests, FalseDiscoveryTests and TailModelTests.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .common import plain, Source, write


def blurred(x, sigma):
    """[C, H, W], edges repeated."""
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-torch.arange(-radius, radius + 1, dtype=torch.float64) ** 2 / 2 / sigma ** 2)
    taps = (taps / taps.sum())[None, None]
    padded = F.pad(x[:, None], [radius] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[..., None, :]), taps[..., None])[:, 0]


def pooled(x, side):
    """[C, H, W], the last cells of fewer pixels."""
    return F.avg_pool2d(x[None], side, ceil_mode=True)[0]


def views():
    """views.json"""
    source = Source(24)
    cases = []
    for name, shape in [
        ("smooth", (1, 8, 8)), ("smooth", (3, 5, 7)), ("gradients", (1, 12, 12)),
        ("gradients", (3, 10, 7)), ("contrast", (1, 24, 20)), ("contrast", (3, 9, 11)),
    ]:
        x = source.uniform(*shape)
        x64 = x.double()
        if name == "smooth":
            cells = pooled(blurred(x64, 1.0), 2)
            finished = cells
        elif name == "gradients":
            soft = blurred(x64, 0.7)
            padded = F.pad(soft[None], [1] * 4, mode="replicate")[0]
            dx, dy = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
            strongest = (dx ** 2 + dy ** 2).argmax(0, keepdim=True)
            dx, dy = dx.gather(0, strongest)[0], dy.gather(0, strongest)[0]
            magnitude, angle = torch.hypot(dx, dy), torch.atan2(dy, dx)
            maps = [
                magnitude * torch.cos(angle - 2 * math.pi * k / 8).clamp(min=0) ** 3
                for k in range(8)]
            cells = pooled(blurred(torch.stack(maps), 1.0), 4)
            finished = 0.5 * torch.sqrt(cells / cells.mean())
        else:
            logs = pooled(torch.log(x64 + 0.05), 2)
            difference = logs - blurred(logs, 4.0)
            cells = 0.25 * difference / (blurred(difference.abs(), 16.0) + 0.02)
            finished = cells - cells.mean()
        cases.append({
            "name": name, "x": plain(x), "cells": plain(cells), "finished": plain(finished)})
    write("views.json", {"cases": cases})


def displaced(x, y):
    """Each 3x3 neighbourhood of x [C, H, W] where it fits y best, up to a cell away."""
    rows, columns = x.shape[1:]
    around = np.pad(y, ((0, 0), (1, 1), (1, 1)))
    best = np.full((rows, columns), np.inf)
    for down in range(3):
        for right in range(3):
            moved = around[:, down:down + rows, right:right + columns]
            squares = np.pad(((x - moved) ** 2).sum(0), 1)
            best = np.minimum(best, np.lib.stride_tricks.sliding_window_view(
                squares, (3, 3)).sum((2, 3)))
    return best.sum() / 9 / x.size


def scores():
    """scores.json"""
    source = Source(25)
    count, new_count, elements, latent = 40, 6, 12, 3

    def windows(count):
        return {
            "x": source.normal(count, elements), "posterior_mean": source.normal(count, latent),
            "reconstructed": source.normal(count, elements, scale=0.5)}

    known, new = windows(count), windows(new_count)
    a, b = ({key: value.double().numpy() for key, value in part.items()} for part in (known, new))
    distances = np.sort(((b["x"][:, None] - a["x"][None]) ** 2).sum(2), 1)
    nearest = np.argsort(((b["x"][:, None] - a["x"][None]) ** 2).sum(2), 1)[:, :30]
    moved = [
        np.sort([displaced(x.reshape(1, 3, 4), a["x"][i].reshape(1, 3, 4)) for i in row])[:3].mean()
        for x, row in zip(b["x"], nearest)]
    variance = ((a["x"] - a["reconstructed"]) ** 2).mean(0)
    variance = 0.9 * variance + 0.1 * variance.mean()
    residual = ((b["x"] - b["reconstructed"]) ** 2 / variance).mean(1)
    covariance = np.cov(a["posterior_mean"].T)
    covariance = 0.95 * covariance + 0.05 * np.trace(covariance) / latent * np.eye(latent)
    offset = b["posterior_mean"] - a["posterior_mean"].mean(0)
    latent_distance = np.einsum("nd,de,ne->n", offset, np.linalg.inv(covariance), offset) / latent
    write("scores.json", {
        **{key: plain(value) for key, value in known.items()},
        "new": {key: plain(value) for key, value in new.items()},
        "neighbours": plain(distances[:, :3].mean(1) / elements), "residual": plain(residual),
        "latent": plain(latent_distance), "displaced": plain(np.array(moved))})


def mixture():
    """mixture.json"""
    source = Source(31)
    networks, elements, width, hidden, latent = 2, 12, 3, 64, 10
    parts = {
        "mean": source.normal(elements), "directions": source.normal(elements, width, scale=0.5),
        "noise": source.normal(2, latent)}
    for name, inputs, outputs in [
        ("encoder.0", width, hidden), ("encoder.1", hidden, 2 * latent),
        ("decoder.0", latent, hidden), ("decoder.1", hidden, width),
    ]:
        parts[f"{name}.weight"] = source.normal(networks, inputs, outputs, scale=0.3)
        parts[f"{name}.bias"] = source.normal(networks, 1, outputs, scale=0.3)
    x = source.normal(12, elements)
    named = {name: value.double() for name, value in parts.items()}
    projected = (x.double() - named["mean"]) @ named["directions"]

    def errors(k, draw):
        def layer(x, name):
            return F.linear(x, named[f"{name}.weight"][k].T, named[f"{name}.bias"][k, 0])

        both = layer(F.silu(layer(projected, "encoder.0")), "encoder.1")
        z = both[:, :latent] + draw * torch.exp(0.5 * both[:, latent:].clamp(-8, 4))
        rebuilt = layer(F.silu(layer(z, "decoder.0")), "decoder.1")
        return ((rebuilt - projected) ** 2).mean(1)

    means = torch.stack([
        torch.stack([errors(k, draw) for draw in named["noise"]]).mean(0)
        for k in range(networks)])
    write("mixture.json", {
        "tensors": {name: plain(value) for name, value in parts.items()}, "x": plain(x),
        "errors": plain(means.min(0).values), "best": [int(k) for k in means.argmin(0)]})


def density():
    """density.json: Gaussians under posteriors, and the covariance of a fitted one."""
    source = Source(32)
    components, width, count = 3, 4, 7
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    means = source.normal(components, width).double()
    factors = source.normal(components, width, width, scale=0.3).double().tril()
    factors = factors + torch.eye(width)
    mean = source.normal(count, width).double()
    log_variance = source.normal(count, width, scale=0.5).double() - 1
    variance = log_variance.exp()
    logs = []
    for k in range(components):
        gaussian = torch.distributions.MultivariateNormal(means[k], scale_tril=factors[k])
        precision = torch.linalg.inv(factors[k] @ factors[k].T)
        # E[log N(z)] of z ~ N(mean, diag variance).
        logs.append(
            weights[k].log() + gaussian.log_prob(mean) - 0.5 * variance @ precision.diagonal())
    expected = torch.tensor([[0.5, 0.1, 0, 0], [0.1, 0.7, 0, 0.2], [0, 0, 0.4, 0], [0, 0.2, 0, 1]])
    centred = mean - mean.mean(0)
    fitted = (centred.T @ centred + variance.sum(0).diag() + (width + 2) * expected) / (
        count + width + 2)
    fitted = fitted + 1e-4 * fitted.trace() / width * torch.eye(width)
    noise = source.normal(2, width).double()
    write("density.json", {
        "weights": plain(weights), "means": plain(means), "factors": plain(factors),
        "mean": plain(mean), "log_variance": plain(log_variance),
        "bound": plain(torch.stack(logs).logsumexp(0)), "expected": plain(expected.double()),
        "fitted_mean": plain(mean.mean(0)), "fitted_covariance": plain(fitted),
        "noise": plain(noise),
        # At uniform numbers of 0.6 and 0.9: the second and the third component.
        "draws": plain(torch.stack([
            means[1] + factors[1] @ noise[0], means[2] + factors[2] @ noise[1]]))})


def masked():
    """masked.json"""
    source = Source(37)
    channels, rows, columns, hidden = 2, 4, 5, 128
    elements, area = channels * rows * columns, rows * columns
    parts = {
        "mean": source.normal(elements), "scale": torch.tensor([0.7]),
        "precision": source.normal(elements).exp()}
    for index, (inputs, outputs) in enumerate(
            [(elements + area, hidden), (hidden, hidden), (hidden, elements)]):
        parts[f"network.{index}.weight"] = source.normal(outputs, inputs, scale=0.1)
        parts[f"network.{index}.bias"] = source.normal(outputs, scale=0.3)
    x = source.normal(6, elements)
    named = {name: value.double() for name, value in parts.items()}
    standard = ((x.double() - named["mean"]) / named["scale"]).reshape(-1, channels, rows, columns)
    errors = torch.full_like(standard, float("nan"))
    # Which third of the rows and of the columns a place is in: 1, 1 and 2 of 4; 1, 2 and 2 of 5.
    row_parts, column_parts = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2, 2])
    for down in range(3):
        for right in range(3):
            is_hidden = (row_parts == down)[:, None] & (column_parts == right)[None]
            seen = standard.masked_fill(is_hidden, 0).flatten(1)
            flags = is_hidden.double().flatten().expand(len(seen), -1)
            h = torch.cat([seen, flags], 1)
            for index in range(3):
                h = F.linear(h, named[f"network.{index}.weight"], named[f"network.{index}.bias"])
                h = F.silu(h) if index < 2 else h
            said = h.reshape(standard.shape)
            errors[..., is_hidden] = (said - standard)[..., is_hidden] ** 2
    errors = errors.flatten(1) * named["scale"] ** 2 * named["precision"]
    write("masked.json", {
        "tensors": {name: plain(value) for name, value in parts.items()}, "x": plain(x),
        "errors": plain(errors.mean(1))})


def stability_index(new, old):
    edges = np.unique(np.quantile(old, np.arange(1, 10) / 10))
    shares = []
    for values in (old, new):
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    return ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()


def pareto_moments(excesses):
    """Hosking and Wallis's estimates, from the definition of b_1 = E[Y F(Y)]."""
    y = np.sort(excesses)
    b0, b1 = y.mean(), (np.arange(len(y)) * y).sum() / (len(y) - 1) / len(y)
    a1 = b0 - b1
    return 2 - b0 / (b0 - 2 * a1), 2 * b0 * a1 / (b0 - 2 * a1)


def thresholds():
    """thresholds.json"""
    from scipy import special, stats
    random = np.random.RandomState(31)
    beta = [
        {"rank": rank, "count": count, "low": stats.beta.ppf(0.025, rank, count + 1 - rank),
         "high": stats.beta.ppf(0.975, rank, count + 1 - rank)}
        for rank, count in [(1, 19), (5, 99), (1, 99), (10, 99), (50, 999), (3, 3)]]

    drift = []
    for new, old, shift, decimals in [(30, 19, 0, 3), (80, 200, 0.5, 3), (500, 60, 0, 1), (9, 40, 9, 0)]:
        a = np.round(random.standard_normal(new) + shift, decimals)
        b = np.round(random.standard_normal(old), decimals)
        statistic = stats.ks_2samp(a, b).statistic
        drift.append({
            "new": a.tolist(), "old": b.tolist(), "ks": statistic,
            "p": special.kolmogorov(math.sqrt(new * old / (new + old)) * statistic),
            "psi": stability_index(a, b)})

    discoveries = []
    for count, normal, odd, rate in [(99, 60, 15, 0.1), (199, 30, 0, 0.2), (49, 20, 20, 0.05)]:
        calibration = random.standard_normal(count)
        scores = np.concatenate([random.standard_normal(normal), random.standard_normal(odd) + 3])
        p = np.array([(1 + (calibration >= s).sum()) / (count + 1) for s in scores])
        step = math.ceil((count + 1) / 2) / (count + 1)
        share = (1 + (p > step + 1e-9).sum()) / (len(p) * (1 - step))
        flagged = stats.false_discovery_control(p) <= rate + 1e-12
        storey = stats.false_discovery_control(p) * share <= rate + 1e-12
        discoveries.append({
            "count": count, "rate": rate, "p": p.tolist(), "normal_share": share,
            "flagged": flagged.tolist(), "storey": storey.tolist()})

    tails = []
    for scores in [random.standard_normal(400), random.exponential(2.0, 1000),
                   random.standard_t(3, 5000), random.uniform(size=300)]:
        scores = np.round(scores, 6)
        start = np.quantile(scores, 0.9)
        excesses = scores[scores > start] - start
        shape, scale = pareto_moments(excesses)
        rates = [0.08, 0.01, 0.002, 1e-5]
        z = start + stats.genpareto.isf(
            np.array(rates) * len(scores) / len(excesses), shape, scale=scale)
        z = np.where(np.array(rates) < 1 / (len(scores) + 1), np.maximum(z, scores.max()), z)
        tails.append({
            "scores": scores.tolist(), "start": start, "shape": shape, "scale": scale,
            "rates": rates, "thresholds": z.tolist()})
    write("thresholds.json", {
        "beta": beta, "drift": drift, "discoveries": discoveries, "tails": tails})
