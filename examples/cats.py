"""Cat or not: how far dense networks get with 209 photographs, and what helps them.

The course's network 12288-7-1 learns its 209 pictures by heart, and is right for about 70 % of 50 others, of
which 66 % are cats. A network that sees less of each picture, but more pictures, does better: coarse crops at
25 places, mirrored too, without their brightness and contrast; and its answers for all crops are averaged.
What helps was chosen by cross-validation on the 209 pictures, since 50 are too few to choose by.

The pictures are the course's (``catvnoncat/train_catvnoncat.h5`` and ``test_catvnoncat.h5``, read by h5py) in
the folder that DNN_DATA names. Without them they are pieces of photographs that come with scikit-image, and
the much easier task is to tell pieces of one cat from pieces of four other pictures.

Run it: ``dnn demo cats``, or ``python examples/cats.py`` (about 90 seconds with one thread).
"""

import os
from functools import partial
from pathlib import Path

import numpy as np

from dnn import SGD, Adam, Cosine, Network, Normal, fit_many


def cats(folder=None):
    """Return pictures (n, 64, 64, 3), uint8, and whether each is a cat, for training and test; and a name.

    folder : the folder with the files of the course; None: ``catvnoncat`` in the folder that DNN_DATA names.
    """
    path = Path(os.environ.get("DNN_DATA", "")) / "catvnoncat" if folder is None else Path(folder)
    if folder is None and not path.is_dir():
        return (*pieces(), "pieces of photographs of scikit-image")
    try:
        import h5py
    except ImportError:
        raise ImportError("the course's pictures are read by h5py: pip install h5py") from None
    parts = []
    for part in ("train", "test"):
        with h5py.File(path / f"{part}_catvnoncat.h5") as file:
            parts += [file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]]
    return (*parts, "the course's photographs")


def pieces(n_train=210, n_test=50):
    """Return pieces of a cat and of four other pictures: the left parts for training, the right for test."""
    try:
        from skimage import data
    except ImportError:
        raise ImportError(
            "no pictures: set DNN_DATA to the folder that contains catvnoncat, or pip install scikit-image"
        ) from None
    others = data.astronaut(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]
    rng, parts = np.random.default_rng(0), []
    for n, left, right in ((n_train, 0.0, 0.6), (n_test, 0.6, 1.0)):
        y, X = np.arange(n) % 2, []
        for i in range(n):
            picture = data.chelsea() if y[i] else others[i // 2 % 4]
            picture = picture[:, int(left * picture.shape[1]) : int(right * picture.shape[1])]
            size = rng.integers(64, min(180, *picture.shape[:2]))
            top, first = (rng.integers(end - size + 1) for end in picture.shape[:2])
            pixels = np.arange(64) * size // 64
            X.append(picture[top + pixels[:, None], first + pixels])
        parts += [np.array(X), y]
    return parts


def crops(pictures, n_places, size=40):
    """Return inputs (n_views, n, (size / 4)^2 3): crops at n_places x n_places, each also mirrored.

    A pixel of a crop is the mean of 4 x 4 of the picture, and each crop has mean 0 and deviation 1.
    """
    views, n, side = [], len(pictures), size // 4
    places = np.linspace(0, 64 - size, n_places).astype(int) if n_places > 1 else [(64 - size) // 2]
    for top in places:
        for left in places:
            crop = pictures[:, top : top + size, left : left + size] / np.float32(255)
            crop = crop.reshape(n, side, 4, side, 4, 3).mean(axis=(2, 4))
            views += [crop.reshape(n, -1), crop[:, :, ::-1].reshape(n, -1)]
    views = np.array(views)
    return (views - views.mean(axis=2, keepdims=True)) / (views.std(axis=2, keepdims=True) + 0.05)


def by_course(X, y, X_test, seeds):
    """Return probabilities (n_seeds, n_test) of the course's network, trained as in the course."""
    X, X_test = (pictures.reshape(len(pictures), -1) / np.float32(255) for pictures in (X, X_test))
    nets = [Network([12288, 7, 1], output="sigmoid", init=Normal(0.01), random_state=s) for s in seeds]
    fit_many(nets, X, y, optimizer=SGD(0.0075), epochs=2500, batch_size=None)
    return np.array([net(X_test)[:, 0] for net in nets])


def by_crops(X, y, X_test, seeds, n_places, n_test_places, size=40, n_epochs=10, dropout=0.0):
    """Return probabilities (n_seeds, n_test) of networks that train on crops: their mean over test crops."""
    views, test_views = crops(X, n_places, size), crops(X_test, n_test_places, size)
    rows, targets = views.reshape(-1, views.shape[2]), np.tile(y, len(views))
    sizes, options = [rows.shape[1], 100, 1], {"output": "sigmoid", "dropout": dropout}
    nets = [Network(sizes, **options, random_state=s) for s in seeds]
    adam = Adam(Cosine(1e-3, n_epochs * -(-len(rows) // 64)))
    # Balanced classes: there are fewer cats in training than in the test.
    fit_many(nets, rows, targets, optimizer=adam, epochs=n_epochs, batch_size=64, class_weight="balanced")
    return np.array([np.mean([net(view)[:, 0] for view in test_views], axis=0) for net in nets])


WAYS = {
    "12288-7-1, as in the course": by_course,
    "whole pictures, 16 x 16": partial(by_crops, n_places=1, n_test_places=1, size=64, n_epochs=100),
    "crops at 25 places": partial(by_crops, n_places=5, n_test_places=1),
    "mean over the crops": partial(by_crops, n_places=5, n_test_places=5),
    "dropout of 0.5, too": partial(by_crops, n_places=5, n_test_places=5, dropout=0.5),
}


def cross_validate(way, X, y, seeds, n_folds):
    """Return probabilities (n_seeds, n): each picture by networks that were trained without its fold."""
    p, order = np.zeros((len(seeds), len(y))), np.random.default_rng(0).permutation(len(y))
    for fold in range(n_folds):
        held_out = order[fold::n_folds]
        rest = np.setdiff1d(order, held_out)
        p[:, held_out] = way(X[rest], y[rest], X[held_out], seeds)
    return p


def main(quick=True, seed=0, folder=None):
    """Train each of the WAYS with several seeds, on all training pictures and by cross-validation.

    Parameters
    ----------
    quick : bool, default True
        True: the second and fourth of the WAYS, with 2 seeds and 3 folds. False: all, 4 seeds and 5 folds.
    seed : int, default 0
    folder : path, default None
        See `cats`.

    Returns
    -------
    dict
        source: which pictures; validation, test: percentages that are right (n_seeds,) for each of the WAYS;
        ensemble (2,): of the mean of all seeds' networks that see crops; n (2,): numbers of pictures; most
        (2,): percentage of the larger class; p, y, pictures: probabilities, targets and pictures of the test.
    """
    X, y, X_test, y_test, source = cats(folder)
    seeds = np.arange(2 if quick else 4) + 100 * seed
    found = {"source": source, "validation": {}, "test": {}, "n": (len(y), len(y_test))}
    for name in list(WAYS)[1::2] if quick else WAYS:
        p = cross_validate(WAYS[name], X, y, seeds, 3 if quick else 5)
        p_test = WAYS[name](X, y, X_test, seeds)
        found["validation"][name] = 100 * np.mean((p > 0.5) == y, axis=1)
        found["test"][name] = 100 * np.mean((p_test > 0.5) == y_test, axis=1)
        if name == "mean over the crops":
            found |= {"p": p_test.mean(axis=0), "y": y_test, "pictures": X_test}
            pairs = (p, y), (p_test, y_test)
            found["ensemble"] = [100 * np.mean((q.mean(axis=0) > 0.5) == t) for q, t in pairs]
    found["most"] = [100 * max(np.mean(t), 1 - np.mean(t)) for t in (y, y_test)]
    return found


def tell(found):
    """Return the results as a table: means over seeds, and the standard error that so few pictures leave."""
    lines = [f"{found['source']}: percentage right in cross-validation and on the test pictures"]
    for name, validation in found["validation"].items():
        lines.append(f"  {name:28} {validation.mean():5.1f} {found['test'][name].mean():5.1f}")
    more = {"mean of all seeds' networks": found["ensemble"], "the larger class, always": found["most"]}
    more["standard error at 80 %"] = 40 / np.sqrt(found["n"])
    return "\n".join(lines + [f"  {name:28} {v:5.1f} {t:5.1f}" for name, (v, t) in more.items()])


def draw(found, photographs=True):
    """Return a figure: what helps, the probabilities of the test pictures, and those that are most wrong."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.4 if photographs else 3.2), layout="constrained")
    ratios = [3, 1] if photographs else [1]
    top, *bottom = figure.subfigures(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
    left, right = top.subplots(1, 2, width_ratios=[2, 1])
    names = list(found["validation"])
    for place, (part, color) in enumerate((("validation", "#0072b2"), ("test", "#d55e00"))):
        height = 0.1 - 0.2 * place - np.arange(len(names))
        means, error = [found[part][name].mean() for name in names], 40 / np.sqrt(found["n"][place])
        label = f"{part}, {found['n'][place]} pictures"
        left.errorbar(means, height, xerr=error, fmt="o", color=color, capsize=3, label=label)
    left.axvline(found["most"][1], color="#777777", ls=":", label="always the larger class")
    left.set(xlabel="% right, mean over seeds; standard error", title="What helps", xlim=(50, 100))
    left.set_yticks(-np.arange(len(names)), names)
    left.legend(fontsize=7)
    p, y = found["p"], found["y"]
    colors, bins = ["#777777", "#009e73"], np.linspace(0, 1, 11)
    right.hist([p[y == 0], p[y == 1]], bins, stacked=True, color=colors, label=["no cat", "cat"])
    right.set(xlabel="probability of a cat", ylabel="test pictures", title="How sure the mean is")
    right.legend(fontsize=7)
    worst = np.argsort(-abs(y - p))[:8]
    for ax, i in zip(bottom[0].subplots(1, 8) if bottom else (), worst, strict=False):
        ax.imshow(found["pictures"][i])
        ax.set_title(f"{'cat' if y[i] else 'no cat'}: {p[i]:.2f}", fontsize=8)
        ax.set_axis_off()
    return figure


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-cats.png", dpi=150)
