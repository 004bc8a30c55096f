"""A restricted Boltzmann machine learns digits without labels: its features help a classifier, and it dreams.

Hidden units h and visible units v have the probability exp(h W v + c h + b v) / Z. Given v, the units h are
independent: inference is one product, P(h = 1 | v) = sigmoid(W v + c). The gradient of the log likelihood is
the mean of h v' over the data, minus its mean over the model. Contrastive divergence (CD-1; Hinton 2002,
Neural Computation 14, section 6) replaces the model by one Gibbs step from the data; persistent contrastive
divergence (PCD; Tieleman 2008, ICML, section 3) by Markov chains that go on during the whole training.

Run it: ``dnn demo rbm`` or ``python examples/rbm.py`` (about 12 seconds; needs scikit-learn for the digits).
"""

import numpy as np

from dnn import BernoulliRBM, MLPClassifier, Network

N_HIDDEN = 100
RATE = 0.06
SIZE = 8  # of a picture, in pixels


def digits(rng, apart=False):
    """Return X_train (7188, 64), y_train, X_test (1797, 64), y_test: each digit, and four shifted copies.

    Copies of a digit may be in both parts, as in scikit-learn's example; apart=True keeps them in one.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    padded = np.pad(data.images / 16, ((0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    X = np.stack([padded[:, i : i + SIZE, j : j + SIZE] for i, j in corners], axis=1)  # (1797, 5, 8, 8)
    X, y = X.reshape(-1, SIZE * SIZE).astype("float32"), np.repeat(data.target, 5)
    digit = rng.permutation(1797)
    order = (5 * digit[:, None] + np.arange(5)).ravel() if apart else rng.permutation(len(X))
    test, train = order[:1797], rng.permutation(order[1797:])
    return X[train], y[train], X[test], y[test]


def free_energy(rbm, V):
    """Return F(v) = -log sum_h exp(h W v + c h + b v) for the rows of V: low where the model expects data."""
    W, c, b = rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_
    layer = Network([W.shape[1], W.shape[0]], output="softplus", init=[(W.T, c)])  # log(1 + exp(W v + c))
    return -V @ b - layer(V).sum(axis=1)


def pseudo_likelihood(rbm, V):
    """Return the mean over the rows of the sum over i of log P(v_i | all other pixels), where no Z is needed.

    ``rbm.score_samples`` estimates it from one pixel of each row: faster, with a standard error of 0.2 here.
    """
    before, total = free_energy(rbm, V), 0.0
    for i in range(V.shape[1]):
        flipped = V.copy()
        flipped[:, i] = 1 - V[:, i]
        total -= np.logaddexp(0, before - free_energy(rbm, flipped)).mean()
    return float(total)


def expected_pixels(rbm, V):
    """Return the reconstruction sigmoid(h W + b) from the probabilities of the hidden units."""
    return 1 / (1 + np.exp(-(rbm.transform(V) @ rbm.components_ + rbm.intercept_visible_)))


def dream(rbm, n, n_steps, rng):
    """Return n pictures from Gibbs chains that begin with noise: what the model itself believes in."""
    v = rng.integers(0, 2, (n, SIZE * SIZE)).astype("float32")
    for _ in range(n_steps):
        v = rbm.gibbs(v)
    return expected_pixels(rbm, v)


def distance(pictures, real):
    """Return the mean squared distance of pictures to the nearest real ones."""
    squares = (pictures**2).sum(axis=1)[:, None] - 2 * pictures @ real.T + (real**2).sum(axis=1)
    return float(squares.min(axis=1).mean())


def accuracy(train, y_train, test, y_test, C, n_iter):
    """Return the accuracy of multinomial logistic regression with scikit-learn's C."""
    model = MLPClassifier((), solver="lbfgs", alpha=1 / C, max_iter=n_iter, random_state=0)
    return model.fit(train, y_train).score(test, y_test)


def main(quick=True, seed=0):
    """Train with PCD and with CD-1, and return what both have learnt.

    Parameters
    ----------
    quick : bool, default True
        True: 10 passes over the digits, a classifier of 1,500 of them, dreams of 100 steps. False: 200
        passes, a classifier of all, dreams of 1,000 steps.
    seed : int, default 0

    Returns
    -------
    dict
        pixels, features: accuracy of logistic regression on pixels, and on the features after 10 passes;
        passes: when the models were measured; PCD, CD1: dicts with lists of likelihood (pseudo-likelihood of
        the training rows), error (of a reconstruction) and distance (of a dream to the nearest training
        digit), and the last dreams; nearest: distance of a test digit to the nearest training digit;
        digits, filters: pictures.
    """
    import warnings

    rng = np.random.default_rng(seed)
    X_train, y_train, X_test, y_test = digits(rng)
    passes = [10] if quick else [10, 20, 50, 100, 200]
    n_steps, n_rows, n_iter = (100, 1500, 100) if quick else (1000, len(X_train), 1000)
    found = {"passes": passes, "nearest": distance(X_test, X_train), "digits": X_test[:48]}
    for name, persistent in (("PCD", True), ("CD1", False)):
        rbm = BernoulliRBM(
            N_HIDDEN, learning_rate=RATE, batch_size=10, persistent=persistent, random_state=seed
        )
        curves = {"likelihood": [], "error": [], "distance": []}
        for before, until in zip([0, *passes], passes, strict=False):
            for _ in range(until - before):
                rbm.partial_fit(X_train)
            dreams = dream(rbm, 500, n_steps, rng)
            curves["likelihood"].append(pseudo_likelihood(rbm, X_train))
            curves["error"].append(float(((X_test - expected_pixels(rbm, X_test)) ** 2).sum(axis=1).mean()))
            curves["distance"].append(distance(dreams, X_train))
            if persistent and until == 10:  # the setting of scikit-learn's example
                found["filters"] = rbm.components_.copy()
                rows = (X_train[:n_rows], X_test)
                features = [rbm.transform(V) for V in rows]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the quick classifier is stopped before it has converged
                    for kind, (train, test), C in (("pixels", rows, 500), ("features", features, 6000)):
                        found[kind] = accuracy(train, y_train[:n_rows], test, y_test, C, n_iter)
        found[name] = {**curves, "dreams": dreams[:48]}
    return found


def tell(found):
    """Return the results in a few sentences."""
    i, last = found["passes"].index(10), found["passes"][-1]
    lines = [
        f"Logistic regression on {SIZE * SIZE} pixels: {found['pixels']:.3f} of the test digits are right; "
        f"on {N_HIDDEN} features: {found['features']:.3f}.",
        f"Pseudo-likelihood after 10 passes: {found['PCD']['likelihood'][i]:.2f} (PCD), "
        f"{found['CD1']['likelihood'][i]:.2f} (CD-1).",
        f"After {last} passes:            PCD    CD-1",
    ]
    for name, text in (("error", "error of a reconstruction"), ("distance", "dream to nearest digit")):
        lines.append(f"  {text:26} {found['PCD'][name][-1]:5.2f}   {found['CD1'][name][-1]:5.2f}")
    return "\n".join([*lines, f"  test digit to nearest digit {found['nearest']:5.2f}"])


def mosaic(pictures, n_columns):
    """Return pictures (n, 64) side by side as one picture."""
    rows = pictures.reshape(-1, n_columns, SIZE, SIZE)
    framed = np.pad(rows, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    return framed.transpose(0, 2, 1, 3).reshape(len(rows) * (SIZE + 1), -1)[:-1, :-1]


def draw(found):
    """Return a figure: digits, filters, dreams of both models, and how these change with training."""
    from matplotlib.figure import Figure

    figure = Figure((8, 5.6), layout="constrained")
    axes = figure.subplots(2, 3)
    last, filters = found["passes"][-1], found["filters"]
    filters = filters / abs(filters).max(axis=1, keepdims=True)
    panels = [
        (axes[0, 0], found["digits"], 8, "digits that are learnt", "gray_r", (0, 1)),
        (axes[0, 1], filters, 10, f"weights of {N_HIDDEN} units, 10 passes", "PuOr", (-1, 1)),
        (axes[1, 0], found["PCD"]["dreams"], 8, f"dreams of PCD, {last} passes", "gray_r", (0, 1)),
        (axes[1, 1], found["CD1"]["dreams"], 8, f"dreams of CD-1, {last} passes", "gray_r", (0, 1)),
    ]
    for ax, pictures, n_columns, title, colors, (low, high) in panels:
        ax.imshow(mosaic(pictures, n_columns), cmap=colors, vmin=low, vmax=high, interpolation="nearest")
        ax.set_title(title, fontsize=10)
        ax.axis("off")
    curves = [
        (axes[0, 2], "error", "error of a reconstruction"),
        (axes[1, 2], "distance", "dream to nearest digit"),
    ]
    for ax, name, title in curves:
        for method, color, marker in (("CD1", "#d55e00", "s"), ("PCD", "#0072b2", "o")):
            label = {"CD1": "CD-1"}.get(method, method)
            ax.plot(found["passes"], found[method][name], color=color, marker=marker, label=label)
        ax.set_xscale("log")
        ax.set_xticks(found["passes"], [str(n) for n in found["passes"]])
        ax.minorticks_off()
        ax.set_xlabel("passes")
        ax.set_title(title, fontsize=10)
    axes[1, 2].axhline(found["nearest"], color="black", linestyle="--", label="a test digit")
    for ax in axes[:, 2]:
        ax.set_ylim(top=ax.get_ylim()[1] + 0.3 * np.ptp(ax.get_ylim()))  # room for the legend
        ax.legend(frameon=False, loc="upper right")
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-rbm.png", dpi=150)
