"""Passes of hierarchical VAEs, and the scores that are made of them.

ladder.json    {"cases": [{name, shape, weights, x, noise, posteriors, decoded, prior}]}
    A pass of hierarchical models with given weights, in float64, written again from the paths of
    the weights; and latents drawn from the prior. Used by LadderTests.

requested.json    {x, noise, draws, steps, log_scale, regret, ratios}
    Importance-weighted bounds of the first model of ladder.json less those without its lowest layers,
    and its regret by torch.optim.Adam, in float64. Used by RequestedScoreTests.
"""

import math

import torch
import torch.nn.functional as F

from .common import plain, Source, write
from .networks import layers_of


def ladder_levels(widths, layers):
    """The level of each map: the finest ones at the end, one each, the deepest has the rest."""
    maps, levels = layers - 1, len(widths)
    own = min(maps, levels)
    return [levels - 1] * (maps - own) + list(range(levels - 1, levels - 1 - own, -1))


def ladder_weights(source, case):
    """Weights by path, rounded."""
    channels, height, width = case["shape"]
    widths, latent, maps = case["widths"], case["latent"], case["map_channels"]
    flat = widths[-1] * (height >> len(widths)) * (width >> len(widths))
    shapes = {}

    def layer(name, *shape, outputs, scale=0.3):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (shape, scale), ((outputs,), scale)

    def block(name, count):
        for half in (0, 1):
            layer(f"{name}.{half}", count, count, 3, 3, outputs=count, scale=0.2)

    for index, (inputs, outputs) in enumerate(zip([channels] + widths, widths)):
        layer(f"encoder.{index}.down", outputs, inputs, 4, 4, outputs=outputs)
        block(f"encoder.{index}.block", outputs)
    layer("encoder.posterior", 2 * latent, flat, outputs=2 * latent)
    layer("decoder.top", flat, latent, outputs=flat)
    for index, level in enumerate(ladder_levels(widths, case["layers"])):
        count, name = widths[level], f"decoder.layer{index + 1}"
        for path in [f"{name}.prior", f"{name}.posterior_above", f"encoder.layer{index + 1}"]:
            layer(path, 2 * maps, count, 3, 3, outputs=2 * maps, scale=0.15)
        layer(f"{name}.enter", count, maps, 3, 3, outputs=count)
        block(f"{name}.block", count)
    for level in range(len(widths) - 1, 0, -1):
        block(f"decoder.up{level}.block", widths[level])
        layer(f"decoder.up{level}.up", widths[level], widths[level - 1], 4, 4,
              outputs=widths[level - 1])
    block("decoder.last.block", widths[0])
    layer("decoder.last.up", widths[0], channels, 4, 4, outputs=channels)
    return {name: source.normal(*shape, scale=scale) for name, (shape, scale) in shapes.items()}


def ladder_descent(case, p, top, draw):
    """From the top latents to the output; draw(index, level, h, prior) gives the maps' z."""
    widths, (layer, block) = case["widths"], layers_of(p)
    side = [size >> len(widths) for size in case["shape"][1:]]
    levels = ladder_levels(widths, case["layers"])
    h = layer(F.linear, "decoder.top", top).unflatten(1, [widths[-1], *side])
    for level in range(len(widths) - 1, -1, -1):
        for index in (i for i, own in enumerate(levels) if own == level):
            name = f"decoder.layer{index + 1}"
            mean, log_variance = layer(F.conv2d, f"{name}.prior", F.silu(h), padding=1).chunk(2, 1)
            z = draw(index, level, h, mean, log_variance.clip(-8, 4))
            h = block(f"{name}.block", h + layer(F.conv2d, f"{name}.enter", z, padding=1))
        name = f"decoder.up{level}" if level else "decoder.last"
        h = F.silu(block(f"{name}.block", h))
        h = layer(F.conv_transpose2d, f"{name}.up", h, stride=2, padding=1)
    return h


LADDER_CASES = [
    {"name": name, "shape": shape, "widths": widths, "layers": layers, "latent": latent,
     "map_channels": map_channels}
    for name, shape, widths, layers, latent, map_channels in [
        ("three layers on two levels", (1, 8, 8), [3, 4], 3, 2, 2),
        ("three layers on one level, RGB, not square", (3, 4, 6), [4], 3, 3, 1),
        ("two layers, the finer level without latents", (1, 4, 12), [2, 3], 2, 2, 2),
    ]]


def ladder_sizes(case):
    """Latent dimensions of each layer, the top one first."""
    return [case["latent"]] + [
        case["map_channels"] * (case["shape"][1] >> level + 1) * (case["shape"][2] >> level + 1)
        for level in ladder_levels(case["widths"], case["layers"])]


def ladder_pass(case, p, x, noise, shift=None, from_prior=0):
    """q and p of each layer, z, and the output.

    `shift`: added to means and log-variances of q, [B, D] each. The last `from_prior` layers are drawn
    from p.
    """
    layer, block = layers_of(p)
    sizes = ladder_sizes(case)
    noises = noise.split(sizes, 1)
    shifts = [part.split(sizes, 1) for part in shift] if shift else None
    features, h = [], 2 * x - 1
    for index in range(len(case["widths"])):
        h = layer(F.conv2d, f"encoder.{index}.down", F.silu(h) if index else h,
                  stride=2, padding=1)
        h = block(f"encoder.{index}.block", h)
        features.append(F.silu(h))
    mean, log_variance = layer(
        F.linear, "encoder.posterior", features[-1].flatten(1)).chunk(2, 1)
    found = []

    def record(mean, log_variance, prior_mean, prior_log_variance):
        place = len(found)
        if shifts:
            mean = mean + shifts[0][place].reshape(mean.shape)
            log_variance = log_variance + shifts[1][place].reshape(mean.shape)
        assert log_variance.abs().max() < 4, "the posterior lies at an end of the range"
        z = mean + torch.exp(log_variance / 2) * noises[place].reshape(mean.shape)
        found.append({
            "mean": mean, "log_variance": log_variance, "z": z,
            "q": torch.distributions.Normal(mean, torch.exp(log_variance / 2)),
            "p": torch.distributions.Normal(prior_mean, torch.exp(prior_log_variance / 2))})
        return z

    def infer(index, level, h, prior_mean, prior_log_variance):
        if index + 1 >= case["layers"] - from_prior:
            return prior_mean + torch.exp(prior_log_variance / 2) * noises[index + 1].reshape(
                prior_mean.shape)
        change = layer(F.conv2d, f"decoder.layer{index + 1}.posterior_above", F.silu(h),
                       padding=1)
        change = change + layer(F.conv2d, f"encoder.layer{index + 1}", features[level],
                                padding=1)
        moved, scaled = change.chunk(2, 1)
        return record(
            prior_mean + moved, prior_log_variance + scaled, prior_mean, prior_log_variance)

    zeros = torch.zeros_like(mean)
    z = record(mean, log_variance, zeros, zeros)
    return found, ladder_descent(case, p, z, infer)


def ladder():
    """ladder.json"""
    source = Source(10)
    cases = []
    for case in LADDER_CASES:
        weights = ladder_weights(source, case)
        p = {path: value.double() for path, value in weights.items()}
        sizes = ladder_sizes(case)
        x, noise = source.uniform(2, *case["shape"]), source.normal(2, sum(sizes))
        found, decoded = ladder_pass(case, p, x.double(), noise.double())
        posteriors = [{
            "mean": plain(part["mean"].flatten(1)),
            "log_variance": plain(part["log_variance"].flatten(1)), "z": plain(part["z"].flatten(1)),
            "kl": plain(torch.distributions.kl_divergence(part["q"], part["p"]).flatten(1).sum(1)),
        } for part in found]

        top_noise, *map_noise = noise.double().split(sizes, 1)
        priors = {}
        for kind, factor in [("still", 0.0), ("drawn", 1.0)]:
            parts = [factor * top_noise]

            def draw(index, level, h, mean, log_variance):
                noise = factor * map_noise[index].reshape(mean.shape)
                parts.append((mean + torch.exp(log_variance / 2) * noise).flatten(1))
                return parts[-1].reshape(mean.shape)

            ladder_descent(case, p, parts[0], draw)
            priors[kind] = plain(torch.cat(parts, 1))
        cases.append(case | {
            "weights": {path: plain(value) for path, value in weights.items()}, "x": plain(x),
            "noise": plain(noise), "posteriors": posteriors, "decoded": plain(decoded),
            "prior": priors})
    write("ladder.json", {"cases": cases})


def requested():
    """requested.json: the likelihood ratio and the regret of the first model of ladder.json"""
    case = LADDER_CASES[0]
    p = {path: value.double() for path, value in ladder_weights(Source(10), case).items()}
    source = Source(32)
    draws, steps, log_scale, count = 4, 5, -1.5, sum(ladder_sizes(case))
    x, noise = source.uniform(2, *case["shape"]), source.normal(2, draws + steps, count)
    windows, numbers = x.double(), noise.double()
    deviation = torch.tensor(math.exp(log_scale / 2), dtype=torch.float64)

    def parts(noise, **change):
        """log p(x|z) of a draw of each window, and its layers."""
        found, decoded = ladder_pass(case, p, windows, noise, **change)
        logs = torch.distributions.Normal(decoded, deviation).log_prob(windows)
        return logs.sum((1, 2, 3)), found

    def weighted_bound(from_prior):
        rows = []
        for draw in range(draws):
            log, found = parts(numbers[:, draw], from_prior=from_prior)
            for part in found:
                ratio = part["p"].log_prob(part["z"]) - part["q"].log_prob(part["z"])
                log = log + ratio.flatten(1).sum(1)
            rows.append(log)
        return torch.stack(rows).logsumexp(0) - math.log(draws)

    def bound(noises, shift):
        total = 0
        for noise in noises:
            log, found = parts(noise, shift=shift)
            total = total + log - sum(
                torch.distributions.kl_divergence(part["q"], part["p"]).flatten(1).sum(1)
                for part in found)
        return total / len(noises)

    shift = [torch.zeros(2, count, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    before = bound([numbers[:, draw] for draw in range(draws)], shift)
    optimizer = torch.optim.Adam(shift, eps=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.zero_grad()
        fresh = numbers[:, draws + step]
        (-bound([fresh, -fresh], shift).sum()).backward()
        optimizer.step()
    after = bound([numbers[:, draw] for draw in range(draws)], shift)
    full = weighted_bound(0)
    write("requested.json", {
        "x": plain(x), "noise": plain(noise), "draws": draws, "steps": steps,
        "log_scale": log_scale, "regret": plain(after - before),
        "ratios": [plain(full - weighted_bound(k)) for k in range(3)]})
