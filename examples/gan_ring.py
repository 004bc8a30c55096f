"""A generative adversarial network learns a ring of eight Gaussians.

Two networks train each other (Goodfellow et al. 2014, arXiv:1406.2661, with the non-saturating loss of
section 3): a generator turns noise into points, and a discriminator distinguishes generated points from real
ones. `fit` does not train two networks together, but `forward`, `backward` and `step` do.

Run it: ``python examples/gan_ring.py`` (about five seconds).
"""

import numpy as np
from scipy.special import expit

from dnn import Adam, Network

CENTERS = 2 * np.column_stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)])
STD = 0.05


def main(quick=True, seed=0):
    """Train both networks and return how well 2,000 generated points cover the ring.

    Parameters
    ----------
    quick : bool, default True
        True: 5,000 steps; False: 20,000 steps.
    seed : int, default 0

    Returns
    -------
    dict
        modes (8,): number of generated points within four standard deviations of each center; near: their
        share.
    """
    rng = np.random.default_rng(seed)
    n, n_steps, rate = 128, 5000 if quick else 20000, 2e-3
    generator = Network([2, 64, 64, 2], activation="tanh", random_state=rng)
    discriminator = Network([2, 64, 64, 1], activation="leaky_relu", random_state=rng)
    # The usual beta1 of adversarial training: old gradients mislead, because the other network changes.
    generator_adam = generator.optimizer(Adam(rate, beta1=0.5))
    discriminator_adam = discriminator.optimizer(Adam(rate, beta1=0.5))
    is_real = np.repeat([[1.0], [0.0]], n, axis=0)

    for step in range(n_steps):
        fade = 1 - step / n_steps
        fake, generator_cache = generator.forward(rng.standard_normal((n, 2)))
        real = CENTERS[rng.integers(8, size=n)] + STD * rng.standard_normal((n, 2))
        # Decreasing noise is added to the inputs of the discriminator. At first the modes overlap, so that
        # the generator can reach each of them.
        noise = 0.3 * fade * rng.standard_normal((2 * n, 2))

        logits, cache = discriminator.forward(np.vstack([real, fake]) + noise, logits=True)
        d_logits = (expit(logits) - is_real) / n  # the gradient of the log loss
        grad, _ = discriminator.backward(cache, d_logits, wrt="params")
        discriminator_adam.step(grad, rate * fade)

        logits, cache = discriminator.forward(fake + noise[n:], logits=True)
        d_logits = (expit(logits) - 1) / n  # of -log D(fake), which does not vanish if D is certain
        _, d_fake = discriminator.backward(cache, d_logits, wrt="input")
        grad, _ = generator.backward(generator_cache, d_fake, wrt="params")
        generator_adam.step(grad, rate * fade)

    points = generator(rng.standard_normal((2000, 2)))
    distances = np.linalg.norm(points[:, None] - CENTERS, axis=2)
    near = distances.min(axis=1) < 4 * STD
    modes = np.bincount(distances.argmin(axis=1)[near], minlength=8)
    return {"modes": modes, "near": near.mean()}


if __name__ == "__main__":
    found = main()
    print("generated points near each of the eight modes:", *found["modes"])
    print(f"share of all points that are near a mode: {found['near']:.1%}")
