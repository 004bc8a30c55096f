"""A variational autoencoder learns to write digits that nobody has written.

An encoder maps a picture x to a normal distribution of codes z, a decoder maps a code to the probability that
each pixel is white (Kingma and Welling 2013, arXiv:1312.6114). The layers are those of PyTorch's example,
784-400-20. No label is used. A second network with a code of two values only can be drawn as a plane.

Run it: ``python examples/vae.py`` (about half a minute on one core). It reads MNIST from the folder DNN_DATA.
"""

import numpy as np
from mnist import mnist

from dnn import Adam, Network

BATCH_SIZE = 128
RATE = 1e-3


def networks(n_pixels, n_hidden, n_code, rng, dtype="float32"):
    """Return an encoder, whose outputs are mean and log variance of the code, and a decoder."""
    settings = {"activation": "silu", "init": "lecun", "dtype": dtype, "random_state": rng}
    encoder = Network([n_pixels, n_hidden, 2 * n_code], **settings)
    decoder = Network([n_code, n_hidden, n_pixels], output="sigmoid", **settings)
    return encoder, decoder


def losses(encoder, decoder, X, noise):
    """Return both parts of the loss of each picture (n,), in nats; their sum is the negative of equation 10.

    The reconstruction is the cross-entropy of the pixels, given one drawn code. The divergence of the code's
    distribution from the standard normal one has a closed form (appendix B of the paper).
    """
    mean, log_var = np.hsplit(encoder(X), 2)
    z = mean + np.exp(log_var / 2) * noise
    divergence = (np.exp(log_var) + mean**2 - 1 - log_var) / 2
    return decoder.losses(z, X), divergence.sum(axis=1)


def gradients(encoder, decoder, X, noise):
    """Return the gradients of the mean loss with respect to the parameters of encoder and decoder.

    The code is drawn as z = mean + std * noise (section 2.4). So a draw is a differentiable function of what
    the encoder returns, and the chain rule continues through it.
    """
    code, encoder_cache = encoder.forward(X)
    mean, log_var = np.hsplit(code, 2)
    std = np.exp(log_var / 2)
    _, decoder_cache = decoder.forward(mean + std * noise, logits=True)
    # The cache holds the outputs, sigmoid(logits); outputs - X is the gradient of the cross-entropy.
    grad_decoder, dz = decoder.backward(decoder_cache, (decoder_cache.A[-1] - X) / len(X))
    # Each gradient is the sum of two: of the reconstruction, through z, and of the divergence.
    d_mean = dz + mean / len(X)
    d_log_var = dz * noise * std / 2 + (std**2 - 1) / (2 * len(X))
    grad_encoder, _ = encoder.backward(encoder_cache, np.hstack([d_mean, d_log_var]), wrt="params")
    return grad_encoder, grad_decoder


def train(X, X_test, n_code, n_epochs, rng, n_hidden=400):
    """Return encoder, decoder, and per epoch both parts of the loss of the test pictures (n_epochs, 2)."""
    encoder, decoder = networks(X.shape[1], n_hidden, n_code, rng)
    states = encoder.optimizer(Adam(RATE)), decoder.optimizer(Adam(RATE))
    n_steps = n_epochs * -(-len(X) // BATCH_SIZE)
    curve = []
    for _ in range(n_epochs):
        order = rng.permutation(len(X))
        for begin in range(0, len(X), BATCH_SIZE):
            batch = X[order[begin : begin + BATCH_SIZE]]
            noise = rng.standard_normal((len(batch), n_code), dtype=X.dtype)
            # The rate falls to 0 in the last fifth of the steps: until then their noise costs half a nat.
            rate = RATE * min(1, 5 * (1 - states[0].n_steps / n_steps))
            for state, grad in zip(states, gradients(encoder, decoder, batch, noise), strict=True):
                state.step(grad, rate)
        noise = rng.standard_normal((len(X_test), n_code), dtype=X.dtype)
        curve.append([part.mean() for part in losses(encoder, decoder, X_test, noise)])
    return encoder, decoder, np.array(curve)


def main(quick=True, seed=0):
    """Train two autoencoders, with codes of 20 and of 2 values, and return their losses and pictures.

    Parameters
    ----------
    quick : bool, default True
        True: 8,000 pictures and 3 epochs; a loss of about 140 nats and blurred pictures must do. False: all
        60,000 pictures and 10 epochs.
    seed : int, default 0

    Returns
    -------
    dict
        curves: dict of code size -> both parts of the loss of the test pictures per epoch (n_epochs, 2).
        no_code: loss without a code, each pixel being white with its mean over all training pictures.
        pictures, samples, plane (n, 784): test pictures, new ones, and those of a grid of codes of 2 values.
        reconstructions: dict of code size -> the test pictures decoded from the means of their codes.
        corners (2, 2): the lower left and upper right code of the plane.
        codes (1500, 2), digits (1500,): means of the codes of 2 values, and labels, of test pictures.
    """
    rng = np.random.default_rng(seed)
    X, _, X_test, digits = mnist(8_000, 2_000) if quick else mnist()
    found = {"curves": {}, "reconstructions": {}, "pictures": X_test[:24], "digits": digits[:1500]}
    for n_code in (2, 20):
        encoder, decoder, found["curves"][n_code] = train(X, X_test, n_code, 3 if quick else 10, rng)
        mean, _ = np.hsplit(encoder(X_test), 2)
        found["reconstructions"][n_code] = decoder(mean[:24])
        if n_code == 2:
            found["codes"] = mean[:1500]
            # The plane of the part of the codes that all but a few test pictures lie in
            found["corners"] = low, high = np.quantile(mean, [0.01, 0.99], axis=0)
            u, v = np.meshgrid(*np.linspace(low, high, 15).T)
            found["plane"] = decoder(np.column_stack([u.ravel(), v[::-1].ravel()]))
    found["samples"] = decoder(rng.standard_normal((64, 20)))
    p = X.mean(axis=0).clip(1e-6, 1 - 1e-6)
    found["no_code"] = -(X_test * np.log(p) + (1 - X_test) * np.log(1 - p)).sum(axis=1).mean()
    return found


def tell(found):
    """Return the losses as a table."""
    lines = ["test loss per picture, in nats    reconstruction  divergence    loss"]
    lines.append(
        f"  no code: the mean picture       {found['no_code']:14.1f}{0:12.1f}{found['no_code']:8.1f}"
    )
    for n_code, curve in sorted(found["curves"].items()):
        a, b = curve[-1]
        lines.append(f"  a code of {n_code:2} values             {a:14.1f}{b:12.1f}{a + b:8.1f}")
    return "\n".join(lines)


def draw(found):
    """Return a picture of reconstructions, samples, the plane of codes, and the codes of test pictures."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8.5), layout="constrained")
    (above, samples), (plane, codes) = figure.subplots(2, 2)
    test = [found["pictures"], found["reconstructions"][20], found["reconstructions"][2]]
    # Three bands of a row of pictures and their reconstructions below them
    bands = np.stack([rows.reshape(3, 8, -1) for rows in test], axis=1)
    for axes, pictures, columns in (
        (above, bands, 8),
        (samples, found["samples"], 8),
        (plane, found["plane"], 15),
    ):
        tiles = pictures.reshape(-1, columns, 28, 28).swapaxes(1, 2)
        axes.imshow(tiles.reshape(-1, 28 * columns), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
    above.set_yticks(14 + 28 * np.arange(9), ["test", "20 values", "2 values"] * 3)
    above.tick_params(length=0)
    for y in (83.5, 167.5):
        above.axhline(y, color="#0072B2", linewidth=1.5)
    above.set_title("Test pictures, rebuilt from their codes")
    samples.set_title("New digits: codes drawn at random")
    plane.set_title("The plane of a code of 2 values")
    for digit in range(10):
        points = found["codes"][found["digits"] == digit]
        color = colormaps["turbo"](0.05 + 0.1 * digit)
        codes.scatter(*points.T, s=36, marker=f"${digit}$", color=color, linewidth=0.2)
    (left, bottom), (right, top) = found["corners"]
    codes.set(xlim=(left, right), ylim=(bottom, top), box_aspect=1)
    codes.set_title("Where test pictures lie in it")
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-vae.png", dpi=150)
