"""An autoencoder turns pictures into codes of 8 values, in which one can search, calculate and walk.

The target of the network is its own input, and the layer in the middle has 8 units (Hinton and Salakhutdinov
2006, Science 313, p. 504). Their outputs are the code of a picture: "a thought is a vector". Five percent of
the pixels of the inputs are erased in training (Vincent et al. 2008, ICML, section 2), so that the network
does not rely on single ones. PCA has the least error that is possible without hidden layers.

Run it: ``python examples/autoencoder.py`` (about a minute on one core). It needs scikit-learn for the small
digits, and reads MNIST from the folder DNN_DATA.
"""

import numpy as np
from mnist import mnist

from dnn import Adam, Cosine, Network

N_CODE = 8


def autoencoder(X, hidden, n_epochs, rate, rng):
    """Train a network to return its inputs X (n, p), and return its halves: encode and decode."""
    n, sizes = X.shape[1], [*hidden, N_CODE, *hidden[::-1]]
    activation = ["identity" if units == N_CODE else "silu" for units in sizes]
    dropout = [0.05] + [0] * len(sizes)  # of the inputs only
    net = Network([n, *sizes, n], activation=activation, output="sigmoid", dropout=dropout, random_state=rng)
    net.fit(
        X, X, loss="squared_error", optimizer=Adam(Cosine(rate, n_epochs)), epochs=n_epochs, batch_size=64
    )
    # The parameters are one vector, layer by layer, so that each half of the network is a part of it.
    middle = sizes.index(N_CODE) + 1
    encoder = Network([n, *sizes[:middle]], activation=activation[: middle - 1], output="identity")
    decoder = Network([*sizes[middle - 1 :], n], activation=activation[middle:], output="sigmoid")
    encoder.params[:], decoder.params[:] = np.split(net.params, [encoder.n_params])
    return encoder, decoder


def pca(X):
    """Return the same two functions of the principal component analysis of X (n, p)."""
    mean = X.mean(axis=0)
    V = np.linalg.eigh(np.cov(X.T))[1][:, : -N_CODE - 1 : -1].astype(X.dtype)
    return lambda X: (X - mean) @ V, lambda Z: Z @ V.T + mean


def nearest(A, B, k=1):
    """Return for each row of A the numbers of the k nearest rows of B (n, k), and their squared distances."""
    distances = (A**2).sum(axis=1)[:, None] - 2 * A @ B.T + (B**2).sum(axis=1)
    rows = np.argsort(distances, axis=1)[:, :k]
    return rows, np.take_along_axis(distances, rows, axis=1)


def slant(X):
    """Return how far the strokes of pictures (n, p) lean to the right (n,), in columns per row."""
    side = int(X.shape[1] ** 0.5)
    X = X.clip(0).reshape(-1, side, side)
    weight = X.sum(axis=(1, 2))
    row, column = np.arange(side)[:, None], np.arange(side)
    d_row = row - ((X * row).sum(axis=(1, 2)) / weight)[:, None, None]
    d_column = column - ((X * column).sum(axis=(1, 2)) / weight)[:, None, None]
    return -(X * d_row * d_column).sum(axis=(1, 2)) / (X * d_row**2).sum(axis=(1, 2))


def slanted_minus_upright(Z, X, y, digit):
    """Return the mean code of slanted pictures minus that of upright ones, averaged over all other digits.

    "Upright is to slanted as this digit, upright, is to what?" (the analogies of Mikolov et al. 2013,
    NAACL, p. 746). One pair of pictures would differ in much else.
    """
    differences = []
    for other in set(range(10)) - {digit}:
        by_slant = Z[y == other][np.argsort(slant(X[y == other]))]
        quarter = len(by_slant) // 4
        differences.append(by_slant[-quarter:].mean(axis=0) - by_slant[:quarter].mean(axis=0))
    return np.mean(differences, axis=0)


def study(X, y, X_test, y_test, codings, rng):
    """Compare codings, a dict of name -> (encode, decode), on test pictures that no coding was fitted to.

    Returns a dict of name -> figures, and a dict of pictures to draw.
    """
    known, digits, queries, answers = X[:10_000], y[:10_000], X_test[:2000], y_test[:2000]
    i, j = rng.integers(len(queries), size=(2, 1000))
    i, j = np.column_stack([i, j])[answers[i] != answers[j]].T
    leaning = slant(queries)
    upright = leaning < np.array([np.median(leaning[answers == digit]) for digit in range(10)])[answers]
    first = [np.flatnonzero(answers == digit)[0] for digit in range(10)]
    first_upright = [np.flatnonzero((answers == digit) & upright)[0] for digit in range(10)]
    pairs, steps = [(first[3], first[7]), (first[2], first[0])], np.linspace(0, 1, 10, dtype=X.dtype)[:, None]
    figures, pictures = {}, {"test": queries[first], "upright": queries[first_upright]}
    for name, (encode, decode) in codings.items():
        Z, Z_known, Z_slanted = encode(queries), encode(known), encode(queries.copy())
        rebuilt, half_way = decode(encode(X_test)), decode((Z[i] + Z[j]) / 2)
        neighbors = nearest(Z, Z_known, 10)[0]
        for digit in range(10):
            Z_slanted[answers == digit] += slanted_minus_upright(Z_known, known, digits, digit)
        slanted = decode(Z_slanted)
        twin, distance = nearest(slanted[upright], known)
        figures[name] = {
            "error": ((X_test - rebuilt) ** 2).sum(axis=1).mean(),
            "same": (digits[neighbors] == answers[:, None]).mean(),
            "half_way": nearest(half_way, known)[1].mean(),
            "slant": (slant(slanted) - slant(decode(Z)))[upright].mean(),
            "kept": (digits[twin[:, 0]] == answers[upright]).mean(),
            "distance": distance.mean(),
        }
        pictures[name] = {
            "rebuilt": rebuilt[first],
            "neighbors": np.stack([np.vstack([queries[n], known[neighbors[n, :9]]]) for n in first[:6]]),
            "path": np.stack([decode(Z[a] + steps * (Z[b] - Z[a])) for a, b in pairs]),
            "slanted": slanted[first_upright],
        }
    return figures, pictures


def main(quick=True, seed=0):
    """Compare pixels, PCA and an autoencoder as codes of pictures.

    Parameters
    ----------
    quick : bool, default True
        True: scikit-learn's digits, 60 epochs. False: the digits, 150 epochs, and MNIST, 20 epochs.
    seed : int, default 0

    Returns
    -------
    dict
        figures: dict of data -> name of a coding -> its figures, of test pictures. error: squared error of a
        reconstruction. same: share of the same digit among the 10 nearest codes of training pictures.
        half_way: squared distance from the nearest training picture, of decoded means of two codes. slant,
        kept, distance: of upright pictures made to lean, how much more they lean, how many are nearest to a
        training picture of the same digit, and that squared distance.
        pictures: dict of data -> pictures to draw.
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    small = load_digits()
    order = rng.permutation(len(small.data))
    X, y = (small.data[order] / 16).astype(np.float32), small.target[order]
    data = {"digits": (X[:1400], y[:1400], X[1400:], y[1400:], [256, 64], 60 if quick else 150, 2e-3)}
    if not quick:
        data["MNIST"] = (*mnist(), [512, 128], 20, 1e-3)
    found = {"figures": {}, "pictures": {}}
    for name, (*rows, hidden, n_epochs, rate) in data.items():
        network = autoencoder(rows[0], hidden, n_epochs, rate, rng)
        codings = {"pixels": (lambda X: X, lambda Z: Z), "PCA": pca(rows[0]), "network": network}
        found["figures"][name], found["pictures"][name] = study(*rows, codings, rng)
    return found


def tell(found):
    """Return a table of the figures of each coding."""
    lines = []
    for data, figures in found["figures"].items():
        lines.append(f"{data:8}  error  same digit  half way  slant gained  digit kept  distance")
        form = "  {:8}{error:5.2f}{same:12.1%}{half_way:10.1f}{slant:14.2f}{kept:12.1%}{distance:10.1f}"
        lines += [form.format(name, **f) for name, f in figures.items()]
    return "\n".join(lines)


def draw(found):
    """Return a picture of reconstructions, analogies, interpolations and neighbors in the last data."""
    from matplotlib.figure import Figure

    p = list(found["pictures"].values())[-1]
    side = int(p["test"].shape[1] ** 0.5)
    codings = ["pixels", "PCA", "network"]
    paths = np.stack([p[name]["path"] for name in codings], axis=1).reshape(60, -1)
    panels = (
        (
            "Rebuilt from 8 values",
            [p["test"], p["PCA"]["rebuilt"], p["network"]["rebuilt"]],
            ["test", *codings[1:]],
        ),
        (
            "Upright made slanted",
            [p["upright"], *(p[name]["slanted"] for name in codings)],
            ["test", *codings],
        ),
        ("On the way from one to another", paths, codings * 2),
        ("Test pictures and their nearest codes", p["network"]["neighbors"], [""] * 6),
    )
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    grid = figure.subplots(2, 2, height_ratios=[4, 6])
    for axes, (title, pictures, labels) in zip(grid.flat, panels, strict=True):
        tiles = np.reshape(pictures, (-1, 10, side, side)).swapaxes(1, 2)
        axes.imshow(tiles.reshape(-1, 10 * side), cmap="gray_r", vmin=0, vmax=1)
        axes.set_yticks(side * (np.arange(len(labels)) + 0.5), labels)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.set_title(title)
    grid[1, 1].axvline(side - 0.5, color="#0072B2")
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-autoencoder.png", dpi=150)
