"""Passes of flat, gated and conditional VAEs.

vae.json    {"cases": [{name, shape, weights, x, noise, …}]}
    A forward pass of small VAEs with given weights, in float64, written again from the paths of the
    weights. Used by VAETests.

gated.json    {weights, x, noise, mean, decoded}
    A pass of a small gated network, as in vae.json. Used by GatedNetworkTests.

conditional.json    {…}
    A pass of a small conditional VAE, as in vae.json. Used by ConditioningTests.
"""

import math

import torch
import torch.nn.functional as F

from .common import number, plain, Source, write


def vae_weights(source, case):
    """Initial weights by path, rounded."""
    channels, height, width = case["shape"]
    architecture, widths, latent = case["architecture"], case["widths"], case["latent"]
    elements = channels * height * width
    shapes = {}
    area = (height >> len(widths)) * (width >> len(widths))

    def layer(name, *shape, outputs):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, (outputs,)

    if architecture == "conv":
        inputs = channels
        for index, outputs in enumerate(widths):
            layer(f"encoder.{index}", outputs, inputs, 4, 4, outputs=outputs)
            inputs = outputs
        flat = inputs * (height >> len(widths)) * (width >> len(widths))
        layer("encoder.posterior", 2 * latent, flat, outputs=2 * latent)
        layer("decoder.0", flat, latent, outputs=flat)
        for index, inputs in enumerate(widths[::-1]):
            outputs = (widths[::-1] + [channels])[index + 1]
            layer(f"decoder.{index + 1}", inputs, outputs, 4, 4, outputs=outputs)
    elif architecture == "resnet":
        for index, (inputs, outputs) in enumerate(zip([channels] + widths, widths)):
            layer(f"encoder.{index}.down", outputs, inputs, 4, 4, outputs=outputs)
            for half in (0, 1):
                layer(f"encoder.{index}.block.{half}", outputs, outputs, 3, 3, outputs=outputs)
        layer("encoder.posterior", 2 * latent, widths[-1] * area, outputs=2 * latent)
        layer("decoder.first", widths[-1] * area, latent, outputs=widths[-1] * area)
        down = widths[::-1] + [channels]
        for index, (inputs, outputs) in enumerate(zip(down, down[1:])):
            for half in (0, 1):
                layer(f"decoder.{index}.block.{half}", inputs, inputs, 3, 3, outputs=inputs)
            layer(f"decoder.{index}.up", inputs, outputs, 4, 4, outputs=outputs)
    elif architecture == "spectral":
        bands, length = channels * height, width >> len(widths)
        for index, (inputs, outputs) in enumerate(zip([bands] + widths, widths)):
            layer(f"encoder.{index}", outputs, inputs, 4, outputs=outputs)
        layer("encoder.posterior", 2 * latent, widths[-1] * length, outputs=2 * latent)
        layer("decoder.0", widths[-1] * length, latent, outputs=widths[-1] * length)
        down = widths[::-1] + [bands]
        for index, (inputs, outputs) in enumerate(zip(down, down[1:])):
            layer(f"decoder.{index + 1}", inputs, outputs, 4, outputs=outputs)
    else:
        for index, (inputs, outputs) in enumerate(zip([elements] + widths, widths)):
            layer(f"encoder.{index}", outputs, inputs, outputs=outputs)
        layer("encoder.posterior", 2 * latent, widths[-1], outputs=2 * latent)
        sizes = [latent] + widths[::-1] + [elements]
        for index, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
            layer(f"decoder.{index}", outputs, inputs, outputs=outputs)
    if case["likelihood"] == "gaussian-per-element":
        layer("variance.0", 128, latent, outputs=128)
        layer("variance.1", elements, 128, outputs=elements)
    return {name: source.normal(*shape, scale=0.3) for name, shape in shapes.items()}


def layers_of(p):
    """Calls layers by path: a function of torch, the path, the input and options; and blocks."""
    def layer(function, name, h, **options):
        return function(h, p[f"{name}.weight"], p[f"{name}.bias"], **options)

    def block(name, h):
        inner = layer(F.conv2d, f"{name}.0", F.silu(h), padding=1)
        return h + layer(F.conv2d, f"{name}.1", F.silu(inner), padding=1)

    return layer, block


def residual_pass(case, p, x, noise):
    """As vae_pass, of the architecture `resnet`."""
    widths, (layer, block) = case["widths"], layers_of(p)
    h = 2 * x - 1
    for index in range(len(widths)):
        h = layer(F.conv2d, f"encoder.{index}.down", F.silu(h) if index else h, stride=2, padding=1)
        h = block(f"encoder.{index}.block", h)
    mean, log_variance = layer(F.linear, "encoder.posterior", F.silu(h).flatten(1)).chunk(2, 1)
    log_variance = log_variance.clip(-8, 4)
    z = mean + torch.exp(log_variance / 2) * noise
    side = [size >> len(widths) for size in case["shape"][1:]]
    h = layer(F.linear, "decoder.first", z).unflatten(1, [widths[-1], *side])
    for index in range(len(widths)):
        h = F.silu(block(f"decoder.{index}.block", h))
        h = layer(F.conv_transpose2d, f"decoder.{index}.up", h, stride=2, padding=1)
    return mean, log_variance, z, h, None


def spectral_pass(case, p, x, noise):
    """As vae_pass, of the architecture `spectral`."""
    widths, (layer, _) = case["widths"], layers_of(p)
    h = (2 * x - 1).flatten(1, 2)
    for index in range(len(widths)):
        h = F.silu(layer(F.conv1d, f"encoder.{index}", h, stride=2, padding=1))
    mean, log_variance = layer(F.linear, "encoder.posterior", h.flatten(1)).chunk(2, 1)
    log_variance = log_variance.clip(-8, 4)
    z = mean + torch.exp(log_variance / 2) * noise
    h = F.silu(layer(F.linear, "decoder.0", z)).unflatten(1, [widths[-1], -1])
    for index in range(1, len(widths) + 1):
        h = layer(F.conv_transpose1d, f"decoder.{index}", h, stride=2, padding=1)
        h = F.silu(h) if index < len(widths) else h
    return mean, log_variance, z, h.reshape(x.shape), None


def vae_pass(case, p, x, noise):
    """Encodes, draws, decodes; float64."""
    if case["architecture"] == "resnet":
        return residual_pass(case, p, x, noise)
    if case["architecture"] == "spectral":
        return spectral_pass(case, p, x, noise)
    conv, widths, latent = case["architecture"] == "conv", case["widths"], case["latent"]
    layer, _ = layers_of(p)

    h = 2 * x - 1
    if not conv:
        h = h.flatten(1)
    for index in range(len(widths)):
        if conv:
            h = torch.relu(layer(F.conv2d, f"encoder.{index}", h, stride=2, padding=1))
        else:
            h = F.silu(layer(F.linear, f"encoder.{index}", h))
    mean, log_variance = layer(F.linear, "encoder.posterior", h.flatten(1)).split(latent, 1)
    log_variance = log_variance.clip(-8, 4)
    z = mean + torch.exp(log_variance / 2) * noise

    h = z
    if conv:
        side = [size >> len(widths) for size in case["shape"][1:]]
        h = torch.relu(layer(F.linear, "decoder.0", h)).unflatten(1, [widths[-1], *side])
        for index in range(1, len(widths) + 1):
            h = layer(F.conv_transpose2d, f"decoder.{index}", h, stride=2, padding=1)
            h = torch.relu(h) if index < len(widths) else h
    else:
        for index in range(len(widths) + 1):
            h = layer(F.linear, f"decoder.{index}", h)
            h = F.silu(h) if index < len(widths) else h
    output = h.reshape(x.shape)
    ratio = None
    if "variance.0.weight" in p:
        h = layer(F.linear, "variance.1", F.silu(layer(F.linear, "variance.0", z)))
        ratio = (6 * torch.sigmoid(h) - 3).reshape(x.shape)
    return mean, log_variance, z, output, ratio


def vae():
    """vae.json"""
    source = Source(6)
    cases = []
    for name, shape, architecture, widths, latent, kind in [
        ("conv", (1, 8, 8), "conv", [4], 2, "bernoulli"),
        ("conv, two layers, RGB, not square", (3, 4, 12), "conv", [3, 5], 3, "gaussian"),
        ("mlp, odd sides", (3, 3, 5), "mlp", [7, 5], 3, "gaussian"),
        ("mlp with a variance for each element", (1, 2, 3), "mlp", [5], 2, "gaussian-per-element"),
        ("resnet, one level, RGB", (3, 2, 6), "resnet", [4], 2, "gaussian"),
        ("resnet, two levels, not square", (1, 4, 12), "resnet", [3, 4], 2, "bernoulli"),
        ("spectral, odd number of bands", (1, 5, 8), "spectral", [6, 4], 3, "gaussian"),
        ("spectral, three channels", (3, 2, 4), "spectral", [5], 2, "bernoulli"),
    ]:
        case = {"name": name, "shape": shape, "architecture": architecture, "widths": widths,
                "latent": latent, "likelihood": kind}
        weights = vae_weights(source, case)
        x, noise = source.uniform(4, *shape), source.normal(4, latent)
        p = {path: value.double() for path, value in weights.items()}
        x64 = x.double()
        mean, log_variance, z, output, ratio = vae_pass(case, p, x64, noise.double())
        # The posteriors must not all lie at an end of the range.
        assert log_variance.abs().max() < 4
        elements = x64[0].numel()
        if kind == "bernoulli":
            expectation = torch.sigmoid(output)
            log = x64 * torch.log(expectation) + (1 - x64) * torch.log1p(-expectation)
            reconstruction = log.sum((1, 2, 3))
        else:
            expectation = output
            variance = (x64 - output).square().mean()
            reconstruction = -0.5 * (
                elements * torch.log(2 * math.pi * variance)
                + (x64 - output).square().sum((1, 2, 3)) / variance)
        rate = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        case |= {
            "weights": {path: plain(value) for path, value in weights.items()},
            "x": plain(x), "noise": plain(noise), "mean": plain(mean),
            "log_variance": plain(log_variance), "z": plain(z), "decoded": plain(expectation),
            "log_ratio": None if ratio is None else plain(ratio),
            "reconstruction": plain(reconstruction), "kl": plain(rate),
            "squared_error": number((x64 - expectation).square().mean()),
        }
        cases.append(case)
    write("vae.json", {"cases": cases})


def gated():
    """gated.json"""
    source = Source(21)
    shapes = {
        "encoder.0": ((6, 3, 4, 4), 6), "encoder.1": ((10, 3, 4, 4), 10),
        "encoder.posterior": ((4, 15), 4), "decoder.0": ((30, 2), 30),
        "decoder.1": ((5, 6, 4, 4), 6), "decoder.2": ((3, 3, 4, 4), 3)}
    weights = {}
    for path, (shape, outputs) in shapes.items():
        weights[f"{path}.weight"] = source.normal(*shape, scale=0.3)
        weights[f"{path}.bias"] = source.normal(outputs, scale=0.3)
    x, noise = source.uniform(4, 3, 4, 12), source.normal(4, 2)
    layer, _ = layers_of({path: value.double() for path, value in weights.items()})
    h = 2 * x.double() - 1
    for index in (0, 1):
        h = F.glu(layer(F.conv2d, f"encoder.{index}", h, stride=2, padding=1), 1)
    mean, log_variance = layer(F.linear, "encoder.posterior", h.flatten(1)).chunk(2, 1)
    z = mean + torch.exp(log_variance.clip(-8, 4) / 2) * noise.double()
    h = F.glu(layer(F.linear, "decoder.0", z), 1).unflatten(1, [5, 1, 3])
    h = F.glu(layer(F.conv_transpose2d, "decoder.1", h, stride=2, padding=1), 1)
    decoded = layer(F.conv_transpose2d, "decoder.2", h, stride=2, padding=1)
    write("gated.json", {
        "weights": {path: plain(value) for path, value in weights.items()}, "x": plain(x),
        "noise": plain(noise), "mean": plain(mean), "decoded": plain(decoded)})


def conditional():
    """conditional.json"""
    source = Source(11)
    elements, width, latent, labels = 6, 4, 2, 3 + 2
    shapes = {
        "encoder.0": (width, elements), "encoder.condition": (256, width + labels),
        "encoder.posterior": (2 * latent, 256), "decoder.0": (width, latent + labels),
        "decoder.1": (elements, width),
    }
    weights = {}
    for name, shape in shapes.items():
        scale = 0.05 if name == "encoder.posterior" else 0.5
        weights[f"{name}.weight"] = source.normal(*shape, scale=scale)
        weights[f"{name}.bias"] = source.normal(shape[0], scale=scale)
    x, noise = source.uniform(4, 1, 2, 3), source.normal(4, latent)
    count = 10
    weights["prior.weights"] = source.normal(labels, count, scale=0.5)
    weights["prior.components"] = source.normal(labels, count * 2 * latent, scale=0.5)
    codes = [[0, 0], [2, 1], [1, 0], [0, 1]]
    one_hot = torch.tensor(
        [[float(i == a) for i in range(3)] + [float(i == b) for i in range(2)] for a, b in codes],
        dtype=torch.float64)
    layer, _ = layers_of({path: value.double() for path, value in weights.items()})
    h = F.silu(layer(F.linear, "encoder.0", 2 * x.double().flatten(1) - 1))
    h = F.silu(layer(F.linear, "encoder.condition", torch.cat([h, one_hot], 1)))
    mean, log_variance = layer(F.linear, "encoder.posterior", h).chunk(2, 1)
    assert log_variance.abs().max() < 4
    z = mean + torch.exp(log_variance / 2) * noise.double()
    components = (one_hot @ weights["prior.components"].double()).reshape(4, count, 2 * latent)
    middle, spread = components.chunk(2, 2)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=one_hot @ weights["prior.weights"].double()),
        torch.distributions.Independent(
            torch.distributions.Normal(middle, torch.exp(spread / 2)), 1))
    assert spread.abs().max() < 4
    log_prior = mixture.log_prob(z)
    entropy = torch.distributions.Independent(
        torch.distributions.Normal(mean, torch.exp(log_variance / 2)), 1).entropy()
    h = F.silu(layer(F.linear, "decoder.0", torch.cat([z, one_hot], 1)))
    decoded = layer(F.linear, "decoder.1", h).reshape(x.shape)
    write("conditional.json", {
        "weights": {path: plain(value) for path, value in weights.items()}, "x": plain(x),
        "noise": plain(noise), "codes": codes, "mean": plain(mean),
        "log_variance": plain(log_variance), "decoded": plain(decoded),
        "log_prior": plain(log_prior), "kl": plain(-entropy - log_prior)})
