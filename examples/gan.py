"""A generator and a discriminator train each other: what goes wrong, and what helps.

A generator turns noise into points, and a discriminator distinguishes generated points from real ones
(Goodfellow et al. 2014, arXiv:1406.2661, with the non-saturating loss of section 3). Real points are eight
Gaussians on a ring, then small digits. Trained plainly, the generator makes only some of them: it collapses.
If the discriminator sees two points at once (Lin et al. 2018, arXiv:1712.04086, section 3), it can tell that
generated points are too much alike. What is left is that both networks chase each other; if the learning rate
falls to 0, this ends.

Run it: ``python examples/gan.py`` (about a minute on one core). It needs scikit-learn for the digits.
"""

import numpy as np
from scipy.special import expit

from dnn import Adam, Network

CENTERS = 2 * np.column_stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)])
STD = 0.05  # of each Gaussian
BATCH_SIZE = 128
# How many points the discriminator sees at once, and whether the learning rate falls to 0
SETTINGS = {"plain": (1, False), "pairs": (2, False), "pairs, falling rate": (2, True)}


def ring(n, rng):
    """Return n points of the ring (n, 2), float32."""
    points = CENTERS[rng.integers(8, size=n)] + STD * rng.standard_normal((n, 2))
    return points.astype(np.float32)


def gradients(generator, discriminator, real, z, pack):
    """Return the gradients of the losses of generator and discriminator for their parameters.

    real (n, m): real points; z (n, k): the noise from which the generator makes as many. The discriminator
    sees rows of `pack` points each. Its loss is the log loss. The slope of that of the generator, -log D,
    does not vanish where the discriminator is certain, as that of log(1 - D) would.
    """
    fake, cache_fake = generator.forward(z)
    seen = np.vstack([real, fake]).reshape(-1, pack * fake.shape[1])
    n = len(seen) // 2  # rows of real points, then as many of generated points
    logits, cache = discriminator.forward(seen, logits=True)
    p = expit(logits)
    is_real = np.repeat(np.float32([[1], [0]]), n, axis=0)
    grad_discriminator, _ = discriminator.backward(cache, (p - is_real) / n, wrt="params")
    # One backward pass serves the generator: rows of real points have the gradient 0.
    _, d_seen = discriminator.backward(cache, (p - 1) * (1 - is_real) / n, wrt="input")
    d_fake = d_seen[n:].reshape(fake.shape)
    grad_generator, _ = generator.backward(cache_fake, d_fake, wrt="params")
    return grad_generator, grad_discriminator


def train(real, generator, discriminator, pack, fall, rate, n_steps, watch, rng):
    """Train both networks by n_steps steps, and return what watch(generator) says at 100 times in between.

    real(n): a function that returns n real points.
    """
    # The usual beta1 of adversarial training: old gradients mislead, because the other network changes.
    states = [net.optimizer(Adam(rate, beta1=0.5)) for net in (generator, discriminator)]
    seen = []
    for step in range(n_steps):
        z = rng.standard_normal((BATCH_SIZE, generator.n_inputs), dtype=np.float32)
        grads = gradients(generator, discriminator, real(BATCH_SIZE), z, pack)
        for state, grad in zip(states, grads, strict=True):
            state.step(grad, rate * (1 - step / n_steps) if fall else rate)
        if (step + 1) * 100 // n_steps > step * 100 // n_steps:
            seen.append(watch(generator))
    return np.array(seen)


def near_modes(points):
    """Return the share of points (n, 2) within three standard deviations of each center (8,)."""
    distances = np.linalg.norm(points[:, None] - CENTERS, axis=2)
    near = distances.min(axis=1) <= 3 * STD
    return np.bincount(distances[near].argmin(axis=1), minlength=8) / len(points)


def train_ring(pack, fall, n_steps, seed):
    """Return the shares of all modes over time (100, 8), and generated points (2000, 2)."""
    rng = np.random.default_rng(seed)
    generator = Network([2, 64, 64, 2], activation="tanh", random_state=rng)
    discriminator = Network([2 * pack, 64, 64, 1], activation="leaky_relu", random_state=rng)
    nets = generator, discriminator

    def shares_of(generator):
        return near_modes(generator(rng.standard_normal((2000, 2))))

    shares = train(lambda n: ring(n, rng), *nets, pack, fall, 2e-3, n_steps, shares_of, rng)
    return shares, generator(rng.standard_normal((2000, 2)))


def train_digits(X, y, pack, fall, n_steps, seed):
    """Return the shares of all digits over time (100, 10), and generated pictures (48, 64).

    A generated picture counts as the digit of the picture of X (n, 64) that is nearest to it.
    """
    rng = np.random.default_rng(seed)
    generator = Network([16, 128, 128, 64], output="sigmoid", random_state=rng)
    discriminator = Network([64 * pack, 128, 128, 1], activation="leaky_relu", random_state=rng)

    def shares_of(generator):
        pictures = generator(rng.standard_normal((500, 16)))
        nearest = ((X**2).sum(axis=1) - 2 * pictures @ X.T).argmin(axis=1)
        return np.bincount(y[nearest], minlength=10) / len(pictures)

    def real(n):
        return X[rng.integers(len(X), size=n)]

    shares = train(real, generator, discriminator, pack, fall, 1e-3, n_steps, shares_of, rng)
    return shares, generator(rng.standard_normal((48, 16)))


def main(quick=True, seed=0):
    """Train with each of the settings, and return what the generators make.

    Parameters
    ----------
    quick : bool, default True
        True: 2,500 steps on the ring, 200 on the digits, so that fewer points are near the modes, and the
        pictures are not digits yet. False: 20,000 and 10,000 steps.
    seed : int, default 0

    Returns
    -------
    dict
        ring: dict of setting -> shares (100, 8) of generated points near each mode, over time, and points
        (2000, 2). digits: dict of setting -> shares (100, 10) of the digits, and pictures (48, 64).
    """
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    found = {"ring": {}, "digits": {}}
    for name, (pack, fall) in SETTINGS.items():
        found["ring"][name] = train_ring(pack, fall, 2_500 if quick else 20_000, seed)
        if name != "pairs":
            found["digits"][name] = train_digits(X, y, pack, fall, 200 if quick else 10_000, seed)
    return found


def modes_found(shares):
    """Return how many modes have at least a quarter of their fair share (...), of shares (..., n_modes)."""
    return (shares >= 0.25 / shares.shape[-1]).sum(axis=-1)


def tell(found):
    """Return the figures of each setting as a table."""
    lines = ["ring                    modes   fewest in the second half   within 3 std"]
    for name, (shares, _) in found["ring"].items():
        modes = modes_found(shares)
        lines.append(f"  {name:22}{modes[-1]}{modes[50:].min():20}{shares[-1].sum():22.1%}")
    lines.append("digits                 the rarest digit, over the last ten looks (fair: 10 %)")
    for name, (shares, _) in found["digits"].items():
        lines.append(f"  {name:22}{shares[-10:].mean(axis=0).min():.1%}")
    return "\n".join(lines)


def draw(found):
    """Return a picture of generated points, of the shares of the modes over time, and of generated digits."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    grid = figure.subplots(3, 3)
    colors = colormaps["twilight"](np.linspace(0.1, 0.9, 8))
    for (above, below), (name, (shares, points)) in zip(grid[:2].T, found["ring"].items(), strict=True):
        above.plot(*CENTERS.T, "+", color="#D55E00", markersize=16)
        above.plot(*points.T, ".", color="#0072B2", markersize=2)
        above.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", xticks=[], yticks=[])
        above.set_title(f"{name}\n{modes_found(shares[-1])} of 8 modes, {shares[-1].sum():.0%} near")
        below.stackplot(np.arange(1, 101), shares.T, colors=colors, edgecolor="white", linewidth=0.4)
        below.set(xlim=(1, 100), ylim=(0, 1), xlabel="% of the training")
    grid[1, 0].set_ylabel("points near each mode")
    for axes, (name, (_, pictures)) in zip(grid[2], found["digits"].items(), strict=False):
        tiles = pictures.reshape(6, 8, 8, 8).swapaxes(1, 2)
        axes.imshow(tiles.reshape(48, 64), cmap="gray_r", vmin=0, vmax=1)
        axes.set(title=name, xticks=[], yticks=[])
    for (name, (shares, _)), color, shift in zip(
        found["digits"].items(), ("#D55E00", "#0072B2"), (-0.2, 0.2), strict=True
    ):
        grid[2, 2].bar(np.arange(10) + shift, shares[-10:].mean(axis=0), 0.4, color=color, label=name)
    grid[2, 2].axhline(0.1, color="black", linewidth=1)
    grid[2, 2].set(title="share of each digit", xticks=range(10))
    grid[2, 2].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-gan.png", dpi=150)
