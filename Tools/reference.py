"""Writes the numbers that tests compare against, computed by PyTorch and numpy in Python.

    .libtorch-python Tools/reference.py                 # all files below Fixtures/expected
    .libtorch-python Tools/reference.py operations      # one of them

Needs torch 2.13, numpy and safetensors. Inputs are drawn from fixed seeds and rounded to a few
decimals, so that a run writes the same inputs anywhere; results may differ in a last digit between
processors. Float32 values are printed with the fewest digits that read back exactly. A tensor is
`{"shape": [...], "values": [...]}`, in row-major order.

What is in each file stands in the modules of Tools/references.
"""

import sys

import torch

from references import (
    common, ladders, likelihoods, networks, objectives, scores, sound, tensors)

MAKERS = {f.__name__: f for f in [
    tensors.operations, tensors.training, tensors.generator, tensors.weights,
    likelihoods.likelihood, likelihoods.continuous_bernoulli, likelihoods.laplace,
    likelihoods.student_t, likelihoods.logistic_mixture,
    networks.vae, networks.gated, networks.conditional,
    ladders.ladder, ladders.requested,
    objectives.objectives, objectives.disentangled, objectives.augmentation,
    scores.views, scores.scores, scores.mixture, scores.masked, scores.density, scores.thresholds,
    sound.mel,
]}

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    common.FOLDER.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[1:] or MAKERS:
        if chosen not in MAKERS:
            sys.exit(f"{chosen} is not one of {', '.join(MAKERS)}")
        MAKERS[chosen]()
