"""Capsules recognize MNIST's digits by votes that agree, and say how each digit was drawn.

A capsule is a group of units whose vector has a length, the probability that something is there, and a
direction, how it looks. Each of 32 primary capsules votes for the vectors of the ten digits; routing by
agreement gives more weight to votes that point the way of the others; a decoder draws the picture again from
the vector of the digit (Sabour, Frosst and Hinton 2017, arXiv:1710.09829: equations 1 to 4, procedure 1,
section 4.1). This is the dense kind: the primary capsules come from a dense layer, not from convolutions.
The gradient treats the couplings, which routing finds, as constants.

Run it: ``dnn demo capsules``, or ``python examples/capsules.py``. It needs MNIST in the folder that DNN_DATA
names, and takes about two minutes.
"""

import numpy as np
from mnist import mnist
from scipy.special import softmax

from dnn import Adam, Network

N_PRIMARY, D_PRIMARY = 32, 8  # primary capsules and their dimensions
N_DIGITS, D_DIGIT = 10, 16  # digit capsules and their dimensions
BATCH_SIZE, RATE, MAX_SHIFT = 100, 2e-3, 2
RECONSTRUCTION = 0.0005  # its weight in the cost, so small that the digits come first
STEPS = np.linspace(-0.24, 0.24, 7)  # that the picture adds to a dimension


def squash(s):
    """Return vectors (..., d) of the direction of s and of length n^2 / (1 + n^2) < 1, if n is that of s."""
    n = np.linalg.norm(s, axis=-1, keepdims=True)
    return n / (1 + n**2) * s


def squash_backward(s, dv):
    """Return the gradient of s, given that of v = squash(s)."""
    n = np.linalg.norm(s, axis=-1, keepdims=True)
    along = np.sum(s * dv, axis=-1, keepdims=True) / np.maximum(n, 1e-12)
    return (n * dv + (1 - n**2) / (1 + n**2) * along * s) / (1 + n**2)


def route(votes, n_iterations=3):
    """Return couplings (n_primary, N, n_digits) for votes (n_primary, N, n_digits, d), found by agreement."""
    b = np.zeros(votes.shape[:3], votes.dtype)
    for _ in range(n_iterations - 1):  # couplings sum to 1 over the digits, and move to those that agree
        v = squash(np.einsum("inj,injd->njd", softmax(b, axis=2), votes))
        b += np.einsum("injd,njd->inj", votes, v)
    return softmax(b, axis=2)


def margin_loss(lengths, targets):
    """Return the mean loss and the gradient of the lengths (N, n_digits): 0.9 if present, 0.1 if absent."""
    short, long = np.maximum(0, 0.9 - lengths), np.maximum(0, lengths - 0.1)
    loss = np.sum(targets * short**2 + 0.5 * (1 - targets) * long**2)
    return loss / len(lengths), ((1 - targets) * long - 2 * targets * short) / len(lengths)


class Capsules:
    """Primary capsules, votes and a decoder: three networks, of which each has an optimizer of its own."""

    def __init__(self, rng, n_iterations=3, dtype="float32"):
        options = {"dtype": dtype, "random_state": rng}
        self.n_iterations = n_iterations
        self.primary = Network([784, 512, N_PRIMARY * D_PRIMARY], **options)
        # A dense layer u @ W is the sum of the votes u[i] @ W[i] of all primary capsules. Here each vote is
        # computed by itself, so that routing can weight it; the biases stay 0.
        self.votes = Network([N_PRIMARY * D_PRIMARY, N_DIGITS * D_DIGIT], **options)
        self.W = self.votes.weights[0].reshape(N_PRIMARY, D_PRIMARY, N_DIGITS * D_DIGIT)
        self.decoder = Network([N_DIGITS * D_DIGIT, 256, 512, 784], output="sigmoid", **options)
        self.networks = self.primary, self.votes, self.decoder

    def forward(self, X, couplings=None):
        """Return the vectors of the digits (N, 10, 16), and what `gradients` needs; routes if None."""
        out, cache = self.primary.forward(X)
        p = out.reshape(-1, N_PRIMARY, D_PRIMARY).transpose(1, 0, 2)  # a matrix for each primary capsule
        u = squash(p)
        votes = (u @ self.W).reshape(N_PRIMARY, -1, N_DIGITS, D_DIGIT)
        c = route(votes, self.n_iterations) if couplings is None else couplings
        s = np.einsum("inj,injd->njd", c, votes)
        return squash(s), (cache, p, u, c, s)

    def gradients(self, X, y, couplings=None):
        """Return the mean cost and its gradients for the parameters of the three networks."""
        v, (cache, p, u, c, s) = self.forward(X, couplings)
        n, targets = len(v), np.eye(N_DIGITS, dtype=v.dtype)[y]
        lengths = np.linalg.norm(v, axis=2)
        loss, d_lengths = margin_loss(lengths, targets)
        # Only the vector of the true digit reaches the decoder, so that it must hold the whole picture.
        drawn, decoder_cache = self.decoder.forward((targets[:, :, None] * v).reshape(n, -1))
        loss += RECONSTRUCTION * np.sum((drawn - X) ** 2) / n
        d_decoder, d_masked = self.decoder.backward(decoder_cache, 2 * RECONSTRUCTION / n * (drawn - X))

        dv = (d_lengths / np.maximum(lengths, 1e-12))[:, :, None] * v
        dv += targets[:, :, None] * d_masked.reshape(v.shape)
        d_votes = (c[..., None] * squash_backward(s, dv)).reshape(N_PRIMARY, n, -1)
        dW = u.transpose(0, 2, 1) @ d_votes
        dp = squash_backward(p, d_votes @ self.W.transpose(0, 2, 1))
        d_primary, _ = self.primary.backward(cache, dp.transpose(1, 0, 2).reshape(n, -1), wrt="params")
        return loss, (d_primary, np.append(dW, np.zeros_like(self.votes.biases[0])), d_decoder)

    def vectors(self, X):
        """Return the vectors of the digits (N, 10, 16), in blocks, since votes take much memory."""
        return np.concatenate([self.forward(X[i : i + 500])[0] for i in range(0, len(X), 500)])


def accuracy(model, X, y):
    """Return the percentage of pictures whose longest vector is that of the digit y."""
    return 100 * np.mean(np.linalg.norm(model.vectors(X), axis=2).argmax(axis=1) == y)


def train(model, X, y, n_epochs, rng, after_epoch=lambda: None):
    """Train with Adam and a rate that falls to 0; in each epoch every picture is shifted anew."""
    padded = np.pad(X.reshape(-1, 28, 28), ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT)))
    shifted = np.lib.stride_tricks.sliding_window_view(padded, (28, 28), axis=(1, 2))
    optimizers = [net.optimizer(Adam(RATE)) for net in model.networks]
    n_batches = len(X) // BATCH_SIZE
    for epoch in range(n_epochs):
        order = rng.permutation(len(X))
        for i in range(n_batches):
            rows = order[i * BATCH_SIZE : (i + 1) * BATCH_SIZE]
            down, right = rng.integers(2 * MAX_SHIFT + 1, size=(2, BATCH_SIZE))
            _, grads = model.gradients(shifted[rows, down, right].reshape(-1, 784), y[rows])
            rate = RATE * (1 - (epoch * n_batches + i) / (n_epochs * n_batches))
            for optimizer, grad in zip(optimizers, grads, strict=True):
                optimizer.step(grad, rate)
        after_epoch()


def variations(model, v, digit):
    """Return pictures (16, 7, 784) for the vector v (16,) with one dimension changed by each of the STEPS."""
    masked = np.zeros((D_DIGIT, len(STEPS), N_DIGITS, D_DIGIT))
    masked[:, :, digit] = v + np.eye(D_DIGIT)[:, None] * STEPS[:, None]
    return model.decoder(masked.reshape(-1, N_DIGITS * D_DIGIT)).reshape(D_DIGIT, len(STEPS), 784)


def main(quick=True, seed=0):
    """Train capsules, and draw what the dimensions of the digits' vectors mean.

    Parameters
    ----------
    quick : bool, default True
        True: 4 epochs on 5,000 pictures, 1,000 test pictures. False: 20 epochs on all of MNIST.
    seed : int, default 0

    Returns
    -------
    dict
        accuracy (n_epochs,): percentage of test pictures after each epoch; pictures, drawn (10, 784): a test
        picture of each digit, and its reconstruction; variations (10, 16, 7, 784): see `variations`; error,
        mean_error: squared error of a picture drawn from its true digit's vector, and of the mean picture.
    """
    X, y, X_test, y_test = mnist(5000, 1000) if quick else mnist()
    rng = np.random.default_rng(seed)
    model, found = Capsules(rng), []
    train(model, X, y, 4 if quick else 20, rng, lambda: found.append(accuracy(model, X_test, y_test)))
    v = model.vectors(X_test)
    drawn = model.decoder((np.eye(N_DIGITS)[y_test][:, :, None] * v).reshape(len(v), -1))
    one_each = [list(y_test).index(digit) for digit in range(N_DIGITS)]
    return {
        "accuracy": np.array(found),
        "pictures": X_test[one_each],
        "drawn": drawn[one_each],
        "variations": np.array([variations(model, v[i, d], d) for d, i in enumerate(one_each)]),
        "error": np.sum((drawn - X_test) ** 2, axis=1).mean(),
        "mean_error": np.sum((X.mean(axis=0) - X_test) ** 2, axis=1).mean(),
    }


def tell(found):
    """Return the results in two sentences."""
    return f"""Dense capsules with routing recognize {found["accuracy"][-1]:.2f} % of the test pictures.
Drawn from the vector of its digit, 16 values, a picture has a squared error of {found["error"]:.1f}
(the mean picture in its place: {found["mean_error"]:.1f})."""


def draw(found, digits=(2, 4, 5), n_rows=6):
    """Return a figure: for some digits, the dimensions of their vector that change the picture most."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.7), layout="constrained")
    for ax, digit in zip(
        figure.subplots(1, len(digits), subplot_kw={"frame_on": False}), digits, strict=True
    ):
        changed = found["variations"][digit]
        chosen = np.sort(np.ptp(changed, axis=1).sum(axis=1).argsort()[-n_rows:])
        rows = [[found["pictures"][digit], found["drawn"][digit], *np.zeros((5, 784))], *changed[chosen]]
        ax.imshow(np.vstack([np.hstack([p.reshape(28, 28) for p in row]) for row in rows]), cmap="gray_r")
        ax.set_title(f"a test picture, its reconstruction,\nand dimensions of capsule {digit}", fontsize=9)
        ax.set_xticks(14 + 28 * np.arange(7), [f"{step:+.2f}" for step in STEPS], fontsize=7)
        ax.set_yticks(14 + 28 * np.arange(1 + n_rows), ["", *chosen])
        ax.tick_params(length=0)
    figure.supxlabel("added to this dimension", fontsize=9)
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-capsules.png", dpi=150)
