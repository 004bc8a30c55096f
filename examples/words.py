"""A network reads a paragraph and tells which part of SciPy or scikit-learn it documents.

The words of a paragraph, without their order, become a row of 16,384 columns: a hash of each word is its
column (Weinberger et al. 2009, "Feature hashing for large scale multitask learning", section 2), so that no
vocabulary is kept. Almost all elements of a row are 0, and the first layer reads only the others. The network
is 1 to 3 points ahead of a tuned logistic regression, but not because it is nonlinear: with the activation
"identity" it is as good. Its hidden layer gives each word a vector that all classes share (Joulin et al.
2016, "Bag of tricks for efficient text classification", section 2).

The paragraphs are those in the docstrings of both libraries, so nothing is downloaded; the figures change a
little with their versions. Run it: ``dnn demo words`` or ``python examples/words.py`` (half a minute; needs
scikit-learn).
"""

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy.sparse import csr_array, diags_array

SCIPY = "cluster fft integrate interpolate io linalg ndimage optimize signal sparse spatial special stats"
SKLEARN = """cluster covariance decomposition ensemble feature_extraction feature_selection gaussian_process
linear_model manifold metrics mixture model_selection neighbors preprocessing svm tree"""
NAMES = [f"scipy.{part}" for part in SCIPY.split()] + [f"sklearn.{part}" for part in SKLEARN.split()]
# Words that give a part away; names with a dot, such as stats.norm, are left out too
GIVEAWAYS = {word for name in NAMES for word in re.split(r"[._]", name)} | {"scikit", "numpy"}
N_COLUMNS, MIN_WORDS = 2**14, 10
NEAR = "spline", "filter", "distance", "hypothesis"


def paragraphs(names):
    """Return the words of the paragraphs of these parts, their labels (N,) and docstrings (N,)."""
    found = {}
    for label, name in enumerate(names):
        package, part = name.split(".")
        for path in sorted((Path(find_spec(package).origin).parent / part).rglob("*.py")):
            text = "" if "tests" in path.parts else path.read_text("utf8")
            for docstring, body in enumerate(text.split('"""')[1::2]):
                for paragraph in re.split(r"\n\s*\n", body):
                    prose = re.findall(r"[a-z]{2,}", re.sub(r"\w+(\.\w+)+", " ", paragraph.lower()))
                    words = tuple(word for word in prose if word not in GIVEAWAYS)
                    if len(words) >= MIN_WORDS and ">>>" not in paragraph:
                        found.setdefault(words, (f"{path} {docstring}", set()))[1].add(label)
    # A paragraph that is repeated counts once, and one that several parts share is left out
    kept = [(words, *labels, name) for words, (name, labels) in found.items() if len(labels) == 1]
    texts, labels, docstrings = zip(*kept, strict=True)
    return texts, np.array(labels), np.unique(docstrings, return_inverse=True)[1]


def column(word):
    """Return the column of a word; about half of the words share it with another one."""
    return crc32(word.encode()) % N_COLUMNS


def hashed(texts):
    """Return sparse rows (N, N_COLUMNS): 1 + log of the number of times that a text has each word."""
    counts = [Counter(map(column, words)) for words in texts]
    values = 1 + np.log(np.concatenate([list(row.values()) for row in counts]))
    indices, indptr = np.concatenate([list(row) for row in counts]), np.cumsum([0, *map(len, counts)])
    return csr_array((values, indices, indptr), shape=(len(texts), N_COLUMNS))


def weighted(X, train):
    """Return the rows, scaled to length 1, with larger weights of words that few training rows have."""
    frequency = (1 + np.bincount(X[train].indices, minlength=N_COLUMNS)) / (1 + len(train))
    X = X @ diags_array(1 - np.log(frequency))
    return csr_array(diags_array(1 / np.sqrt(X.multiply(X).sum(axis=1))) @ X, dtype=np.float32)


def split(docstrings, rng):
    """Return the rows for training (60 %), validation and test; those of one docstring stay together."""
    place = rng.permutation(docstrings.max() + 1)[docstrings] / (docstrings.max() + 1)
    return [np.flatnonzero((low <= place) & (place < high)) for low, high in ((0, 0.6), (0.6, 0.8), (0.8, 1))]


def logistic_regression(X, y, train, val, strengths):
    """Return scikit-learn's logistic regression with the C that is best on the validation rows."""
    from sklearn.linear_model import LogisticRegression

    models = [LogisticRegression(C=C, max_iter=300).fit(X[train], y[train]) for C in strengths]
    return max(models, key=lambda model: model.score(X[val], y[val]))


def network(X, y, train, val, seed, hidden=(128,), activation="relu", rate=2e-3):
    """Return a network of the epoch that is best on the validation rows; the next three were not better."""
    from dnn import MLPClassifier

    net = MLPClassifier(
        hidden, activation, learning_rate_init=rate, batch_size=64, dropout=0.5 if hidden else 0.0,
        max_iter=60, early_stopping=True, n_iter_no_change=3, random_state=seed,
    )  # fmt: skip
    return net.fit(X[train], y[train], X_val=X[val], y_val=y[val])


def evidence(net, X, label, rival=None):
    """Return how much each column (N_COLUMNS,) speaks for a class against a rival, or the mean of all."""
    (W1, W2), b1 = net.coefs_, net.intercepts_[0]
    active = (X @ W1 + b1 > 0).astype(W1.dtype)  # ReLU: these units pass on the sums of their words
    return (X.T @ active * W1) @ (W2[:, label] - (W2.mean(axis=1) if rival is None else W2[:, rival]))


def neighbors(net, word, vocabulary):
    """Return the four words whose rows of the first W have the smallest angles to that of a word."""
    V, v = net.coefs_[0][[column(other) for other in vocabulary]], net.coefs_[0][column(word)]
    cosines = V @ v / np.linalg.norm(V, axis=1)
    return [vocabulary[i] for i in np.argsort(-cosines) if column(vocabulary[i]) != column(word)][:4]


def main(quick=True, seed=0):
    """Train the classifiers and look at the words on which the network relies.

    Parameters
    ----------
    quick : bool, default True
        True: a third of SciPy's paragraphs alone, one C, and one smaller network.
    seed : int, default 0

    Returns
    -------
    dict
        accuracy: of each classifier on the test paragraphs; n_train, n_test; top: words that speak for each
        part; near: neighbors of some words; reading: words of a test paragraph, their evidence, its part, and
        the part that logistic regression takes it for.
    """
    names = [name for name in NAMES if name.startswith("scipy")] if quick else NAMES
    texts, y, docstrings = paragraphs(names)
    train, val, test = (rows[:: 3 if quick else 1] for rows in split(docstrings, np.random.default_rng(seed)))
    X = weighted(hashed(texts), train)
    linear = logistic_regression(X, y, train, val, [10] if quick else [3, 10, 30, 100])
    net = network(X, y, train, val, seed, hidden=(64,) if quick else (128,))
    models = {"logistic regression": linear, "network": net}
    if not quick:
        models["network without hidden layer"] = network(X, y, train, val, seed, hidden=(), rate=1e-2)
        models["network, linear hidden layer"] = network(X, y, train, val, seed, activation="identity")
    counts = Counter(word for i in train for word in set(texts[i]))
    word_of = {column(word): word for word in sorted(counts, key=counts.get)}
    order = [np.argsort(-evidence(net, X[test[y[test] == label]], label)) for label in range(len(names))]
    common = [word for word, n in counts.items() if n >= 20]
    # Of the paragraphs of 30 to 60 words that only the network gets right, the one of which it is surest
    guess, sure = linear.predict(X[test]), net.predict_proba(X[test])
    only = (sure.argmax(axis=1) == y[test]) & (guess != y[test]) & [30 <= len(texts[i]) <= 60 for i in test]
    best = np.argmax(np.where(only, sure.max(axis=1), -1))
    label, words = y[test[best]], texts[test[best]]
    terms = evidence(net, X[test[[best]]], label, guess[best])[[column(word) for word in words]]
    return {
        "accuracy": {name: model.score(X[test], y[test]) for name, model in models.items()},
        "n_train": len(train), "n_test": len(test),
        "top": {name: [word_of.get(i, "?") for i in order[label][:5]] for label, name in enumerate(names)},
        "near": {word: neighbors(net, word, common) for word in NEAR},
        "reading": (words, terms, names[label], names[guess[best]]),
    }  # fmt: skip


def tell(found):
    """Return the results as text."""
    n = found["n_train"], len(found["top"]), found["n_test"]
    lines = ["{:,} paragraphs of {} parts for training; of {:,} others these are right:".format(*n)]
    lines += [f"  {name:<30}{share:6.1%}" for name, share in found["accuracy"].items()]
    lines += [f"  {name:<30}{', '.join(words)}" for name, words in found["top"].items()]
    lines += [f"  nearest to {word + ':':<19}{', '.join(words)}" for word, words in found["near"].items()]
    return "\n".join(lines)


def draw(found):
    """Draw the shares of wrong answers, words that speak for some parts, and the words of a paragraph."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(8, 4.6), layout="constrained")
    grid = fig.add_gridspec(2, 2, width_ratios=[1, 1.7], height_ratios=[2.6, 1])
    ax = fig.add_subplot(grid[0, 0], title="wrong, of the test paragraphs", xticks=[])
    for i, (name, share) in enumerate(found["accuracy"].items()):
        ax.barh(-i, 1 - share, height=0.4, color="#E69F00" if i == 0 else "#0072B2")
        ax.text(0, 0.25 - i, f"{name}  {1 - share:.1%}", va="bottom", fontsize=9)
    words = fig.add_subplot(grid[0, 1], title="words that speak most for a part")
    shown = list(found["top"].items())[:: 1 if len(found["top"]) < 20 else 2]
    for i, (name, top) in enumerate(shown):
        words.text(0, 1 - (i + 1) / len(shown), name, fontsize=8, weight="bold")
        words.text(0.36, 1 - (i + 1) / len(shown), ", ".join(top), fontsize=8)
    text, terms, name, rival = found["reading"]
    reading = fig.add_subplot(grid[1, :], xlim=(0, 92), ylim=(-5, 0))
    reading.set_title(f"words for {name} (blue), which is right, against {rival} (orange)")
    x = line = 0
    for word, term in zip(text, terms / np.abs(terms).max(), strict=True):
        x, line = (0, line + 1) if x + len(word) > 90 else (x, line)
        box = {"facecolor": ("#0072B2" if term > 0 else "#E69F00", 0.8 * abs(term) ** 0.7), "lw": 0, "pad": 2}
        reading.text(x, -line, word, family="monospace", fontsize=9, bbox=box, va="top")
        x += len(word) + 1
    for axes in fig.axes:
        axes.set_axis_off()
    return fig


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-words.png", dpi=150)
