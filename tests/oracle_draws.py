"""Activations and losses that fit each other; networks, targets and masks for the oracle, at random."""

from itertools import pairwise, product

import numpy as np
import reference as ref

# Each with its default parameters, and some with others
ACTIVATIONS = [*ref.ACTIVATIONS, ("leaky_relu", 0.3), ("elu", 0.4), ("selu", 0.8, 1.7)]
LOSSES = [
    *dict.fromkeys(name for name, _ in ref.LOSSES),
    ("huber", 0.3),
    ("quantile", (0.1, 0.5, 0.8)),
    ("log_loss", 0.2),
]
FITTING = [(loss, output) for loss, output in product(LOSSES, ACTIVATIONS) if ref.fits(loss, output)]


def draw_net(rng, sizes, dtype=np.float64):
    weights = [rng.normal(size=shape).astype(dtype) for shape in pairwise(sizes)]
    biases = [rng.normal(size=n).astype(dtype) for n in sizes[1:]]
    return weights, biases


def draw_targets(rng, output, n_rows, n_outputs):
    """Return targets without extreme values that every loss of this output accepts."""
    if output == "softmax":
        return rng.dirichlet(np.ones(n_outputs), size=n_rows)
    if output == "sigmoid":
        return rng.uniform(size=(n_rows, n_outputs))
    if output in ("exp", "softplus"):
        return rng.poisson(1.5, size=(n_rows, n_outputs)).astype(float)
    return rng.normal(size=(n_rows, n_outputs))


def draw_masks(rng, n_rows, n_inputs):
    """Return dropout masks for layers with these numbers of inputs, each with a different rate."""
    rates = [0.2 + 0.1 * layer for layer in range(len(n_inputs))]
    return [(rng.random((n_rows, n)) >= rate, rate) for n, rate in zip(n_inputs, rates, strict=True)]


def relative_error(g, h):
    return np.linalg.norm(g - h) / (np.linalg.norm(g) + np.linalg.norm(h))
