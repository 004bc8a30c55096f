"""A neural language model predicts each word from the four before it, and is compared with counting.

Each word has a vector (its embedding). The vectors of four words go into a hidden layer of tanh, and a
softmax gives the probability of each word (Bengio, Ducharme, Vincent and Jauvin 2003, "A neural probabilistic
language model", equation 1, without direct connections). Words in similar places get similar vectors, so that
what is learned of one holds for the others. The baseline counts sequences of two, three and five words, with
modified Kneser-Ney smoothing (Chen and Goodman 1999, "An empirical study of smoothing techniques for language
modeling", section 3).

The text is the prose in the docstrings of NumPy and SciPy: nothing is downloaded, and the figures depend on
their versions. Run it: ``dnn demo language_model`` or ``python examples/language_model.py`` (100 seconds).
"""

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax

from dnn import Adam, Network, Normal

CONTEXT, BATCH_SIZE, RATE = 4, 128, 2e-3
START, RARE = 0, 1  # before a sentence; in place of rare words
NEAR = "matrix", "returns", "must", "maximum", "two", "row", "window"


def files_of(packages):
    """Return the sentences, lists of words, of each file of these packages; repeated ones are left out."""
    files, seen = [], set()
    for path in [p for name in packages for p in sorted(Path(find_spec(name).origin).parent.rglob("*.py"))]:
        text = "" if "tests" in path.parts else path.read_text("utf8")
        files.append([])
        for paragraph in re.split(r"\n\s*\n", "\n\n".join(text.split('"""')[1::2])):
            if re.search(r">>>|\\|={3}|-{3}|\s:\s|^\s*\.\.|\*\*|\[\d", paragraph):
                continue  # code, formulas, titles, parameters, references
            prose = re.sub(r"(:\w+:)?`+[^`]*`+_?", " NAME ", re.sub(r"\d+", "7", paragraph))
            for sentence in re.findall(r"(?<!\S)[A-Z](?:[^.?!]|[.?!](?=\S))*[.?!](?!\S)", prose):
                words = re.findall(r"[A-Za-z]+(?:['-][a-z]+)*|\d+|[.,;:()?!]", sentence)
                words = tuple(word if word == "NAME" else word.lower() for word in words)
                if len(words) >= 6 and words not in seen:
                    seen.add(words)
                    files[-1].append(words)
    return files


def corpus(files, n_words, rng):
    """Return the vocabulary, and the sentences for training (80 % of the files) and test, as numbers."""
    order = rng.permutation(len(files))
    parts = [[s for i in some for s in files[i]] for some in np.split(order, [4 * len(order) // 5])]
    counts = Counter(word for sentence in parts[0] for word in sentence)
    vocabulary = ["<s>", "<rare>", *(word for word, n in counts.most_common(n_words - 2) if n >= 3)]
    number = {word: i for i, word in enumerate(vocabulary)}
    return vocabulary, *[[[number.get(word, RARE) for word in s] for s in part] for part in parts]


def windows(sentences, n):
    """Return each word after the n - 1 words before it (N, n)."""
    padded = ([START] * (n - 1) + sentence for sentence in sentences)
    return np.array([s[i : i + n] for s in padded for i in range(len(s) - n + 1)])


def kneser_ney(grams, n_words):
    """Return a function of such windows: the probabilities of their last words (N,) by smoothed counts."""
    counts, levels = Counter(map(tuple, grams.tolist())), []
    for _ in range(grams.shape[1]):
        n, total, saved = Counter(counts.values()), Counter(), Counter()
        off = [0] + [k - (k + 1) * n[1] / (n[1] + 2 * n[2]) * n[k + 1] / n[k] for k in (1, 2, 3)]  # discounts
        for gram, count in counts.items():
            total[gram[:-1]] += count
            saved[gram[:-1]] += off[min(count, 3)]
        levels.insert(0, (counts, total, saved, off))
        counts = Counter(gram[1:] for gram in counts)  # after how many words, not how often

    def probability(gram):
        p = 1 / n_words
        for k, (counts, total, saved, off) in enumerate(levels, 1):
            count, before = counts[gram[-k:]], gram[-k:-1]
            if total[before]:  # what the discounts save goes to the shorter context
                p = (count - off[min(count, 3)] + saved[before] * p) / total[before]
        return p

    return lambda grams: np.array([probability(tuple(gram)) for gram in grams.tolist()])


class NeuralModel:
    """An embedding of n_words words, and a network that predicts a word from the vectors of others."""

    def __init__(self, n_words, size, hidden, rng, n_context=CONTEXT):
        self.embedding = Network([n_words, size], init=Normal(0.05), random_state=rng)
        self.W = self.embedding.weights[0]  # its output for a one-hot word would be the word's row of W
        layers, dropout = [n_context * size, hidden, n_words], [0.2, 0.5]
        self.net = Network(layers, activation="tanh", output="softmax", dropout=dropout, random_state=rng)
        self.adams = [net.optimizer(Adam(RATE)) for net in (self.embedding, self.net)]

    def gradients(self, grams, **dropout):
        """Return the gradients of the mean log loss, for the embedding and for the network."""
        n, contexts = len(grams), grams[:, :-1]
        logits, cache = self.net.forward(self.W[contexts].reshape(n, -1), logits=True, **dropout)
        d_logits = softmax(logits, axis=1)
        d_logits[np.arange(n), grams[:, -1]] -= 1
        of_net, dX = self.net.backward(cache, d_logits / n)
        # A word is looked up in several places, and gets the sum of their gradients: one_hot.T @ dX
        values, indptr = np.ones(contexts.size, np.float32), np.arange(contexts.size + 1)
        one_hot = csr_array((values, contexts.ravel(), indptr), (contexts.size, len(self.W)))
        dW = one_hot.T @ dX.reshape(contexts.size, -1)
        return np.append(dW, np.zeros_like(self.embedding.biases[0])), of_net  # b is not used and remains 0

    def train(self, grams, n_epochs, rng):
        """Train from the frequencies of the words, with a learning rate that falls linearly to 0."""
        self.net.biases[-1][:] = np.log(1 + np.bincount(grams[:, -1], minlength=len(self.W)))
        order = np.concatenate([rng.permutation(len(grams)) for _ in range(n_epochs)])
        for begin in range(0, len(order), BATCH_SIZE):
            gradients = self.gradients(grams[order[begin : begin + BATCH_SIZE]], training=True, seed=begin)
            for adam, gradient in zip(self.adams, gradients, strict=True):
                adam.step(gradient, RATE * (1 - begin / len(order)))


def neighbors(model, vocabulary, word):
    """Return the five of the 1000 most frequent words whose vectors have the smallest angles to a word's."""
    unit = model.W[:1000] / np.linalg.norm(model.W[:1000], axis=1, keepdims=True)
    return [vocabulary[i] for i in np.argsort(-unit @ unit[vocabulary.index(word)])[1:6]]


def sample(model, vocabulary, rng):
    """Return a sentence of at most 40 words, each drawn by its probability, except for rare ones."""
    context = [START] * CONTEXT
    while len(context) < CONTEXT + 40 and vocabulary[context[-1]] != ".":
        p = model.net(model.W[context[-CONTEXT:]].ravel()).astype(float)
        p[[START, RARE]] = 0
        context.append(rng.choice(len(p), p=p / p.sum()))
    return " ".join(vocabulary[i] for i in context[CONTEXT:])


def main(quick=True, seed=0):
    """Train the model, and compare its perplexity (exp of the mean log loss) with that of counting.

    Parameters
    ----------
    quick : bool, default True
        True: the docstrings of NumPy alone, 400 words, a small network and 5 epochs.
    seed : int, default 0

    Returns
    -------
    dict
        perplexity: of each model on the test files; n_train, n_test, n_words; near: neighbors; sampled.
    """
    rng, files = np.random.default_rng(seed), files_of(["numpy"] if quick else ["numpy", "scipy"])
    vocabulary, train, test = corpus(files, 400 if quick else 4000, rng)
    grams, found = windows(test, CONTEXT + 1), {}
    for n in (2, 3, 5):
        found[f"counts of {n} words"] = kneser_ney(windows(train, n), len(vocabulary))(grams[:, -n:])
    model = NeuralModel(len(vocabulary), *((20, 32) if quick else (100, 256)), rng)
    model.train(windows(train, CONTEXT + 1), 5 if quick else 8, rng)
    found["network"] = np.array([model.net(model.W[gram[:-1]].ravel())[gram[-1]] for gram in grams])
    found["mean of network and counts of 5"] = (found["network"] + found["counts of 5 words"]) / 2
    return {
        "perplexity": {name: np.exp(-np.mean(np.log(p.astype(float)))) for name, p in found.items()},
        "n_train": sum(map(len, train)), "n_test": len(grams), "n_words": len(vocabulary),
        "near": {word: neighbors(model, vocabulary, word) for word in NEAR if word in vocabulary[:1000]},
        "sampled": [sample(model, vocabulary, rng) for _ in range(9)],
    }  # fmt: skip


def tell(found):
    """Return the results as text."""
    lines = ["{n_train:,} words to learn from, {n_test:,} to predict, {n_words:,} different".format(**found)]
    lines += [f"  perplexity of {name:<33}{value:7.1f}" for name, value in found["perplexity"].items()]
    lines += [f"  nearest to {word + ':':<14}{', '.join(words)}" for word, words in found["near"].items()]
    return "\n".join([*lines, "drawn from the network:", *("  " + sentence for sentence in found["sampled"])])


def draw(found):
    """Draw the perplexities, and write neighbors of words and sentences from the network beside them."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(8, 4.8), layout="constrained")
    empty = {"xticks": [], "yticks": [], "frame_on": False}
    bars, near, sampled = fig.subplot_mosaic("bn;ss", height_ratios=[1.7, 1], subplot_kw=empty).values()
    bars.set(title="perplexity of the test files (less is better)")
    sampled.set(title="sentences drawn from the network")
    for i, (name, value) in enumerate(found["perplexity"].items()):
        bars.barh(-i, value, height=0.45, color="#E69F00" if "network" not in name else "#0072B2")
        bars.text(0, 0.27 - i, f"{name}  {value:.1f}", va="bottom", fontsize=9)
    near.set(title="words with the nearest vectors", ylim=(-len(found["near"]), 0))
    for i, (word, others) in enumerate(found["near"].items()):
        near.text(0, -i - 0.6, word, fontsize=9, weight="bold")
        near.text(0.22, -i - 0.6, ", ".join(others), fontsize=9)
    sampled.text(0, 1, "\n".join(s for s in found["sampled"] if len(s) < 120), fontsize=8.5, va="top")
    return fig


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-language_model.png", dpi=150)
