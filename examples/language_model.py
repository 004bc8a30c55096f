"""A neural language model predicts each word from the four before it, and is compared with counting.

A table has a vector for each word (the embedding); the vectors of the four words go into a hidden layer of tanh,
and a softmax gives the probability of each word of the vocabulary (Bengio, Ducharme, Vincent and Jauvin 2003, "A
neural probabilistic language model", equation 1, without direct connections). Words that occur in the same places
get similar vectors, so that what is learned of one holds for the others. The baseline counts sequences of two, three
and five words, with the smoothing of Kneser and Ney as modified by Chen and Goodman (1999, "An empirical study of
smoothing techniques for language modeling", section 3).

The text is the prose in the docstrings of NumPy and SciPy: nothing is downloaded, and the figures change a little with
their versions. Run it: ``dnn demo language_model`` or ``python examples/language_model.py`` (a minute and a half).
"""

import re
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax

from dnn import Adam, Network
from dnn.initializers import Normal

CONTEXT = 4  # words before the one that is predicted
START, UNKNOWN = 0, 1  # numbers of the word before a sentence and of all rare words
BATCH_SIZE, RATE = 128, 2e-3
NEAR = "matrix", "returns", "must", "maximum", "two", "if", "signal"


def files_of(packages):
    """Return the sentences, lists of words, of each file of these packages; repeated sentences are left out."""
    files, seen = [], set()
    for package in packages:
        for path in sorted(Path(find_spec(package).origin).parent.rglob("*.py")):
            text = "" if "tests" in path.parts else path.read_text("utf8")
            sentences = []
            for paragraph in re.split(r"\n\s*\n", "\n\n".join(text.split('"""')[1::2])):
                if re.search(r">>>|\\|={3}|-{3}|\s:\s|^\s*\.\.|\*\*|\[\d", paragraph):
                    continue  # code, formulas, titles, parameters, references
                prose = re.sub(r"(:\w+:)?`+[^`]*`+_?", " NAME ", paragraph)
                for sentence in re.findall(r"(?<!\S)[A-Z](?:[^.?!]|[.?!](?=\S))*[.?!](?!\S)", prose):
                    words = re.findall(r"[A-Za-z]+(?:['-][a-z]+)*|\d+|[.,;:()?!]", sentence)
                    words = ["7" if w.isdigit() else w if w == "NAME" else w.lower() for w in words]
                    if len(words) >= 6 and tuple(words) not in seen:
                        seen.add(tuple(words))
                        sentences.append(words)
            files.append(sentences)
    return files


def corpus(files, rng, n_words):
    """Return the vocabulary, and the words for training (80 % of the files), validation and test as numbers."""
    order = rng.permutation(len(files))
    parts = [[s for i in piece for s in files[i]] for piece in np.split(order, [int(0.8 * len(order)), int(0.9 * len(order))])]
    counts = Counter(word for sentence in parts[0] for word in sentence)
    vocabulary = ["<s>", "<rare>"] + [word for word, n in counts.most_common(n_words - 2) if n >= 3]
    number = {word: i for i, word in enumerate(vocabulary)}
    return vocabulary, [[[number.get(word, UNKNOWN) for word in s] for s in part] for part in parts]


def examples(sentences, n_context=CONTEXT):
    """Return the words before each word (N, n_context), and the words (N,)."""
    padded = [[START] * n_context + s for s in sentences]
    windows = np.array([s[i : i + n_context + 1] for s in padded for i in range(len(s) - n_context)])
    return windows[:, :-1], windows[:, -1]


def kneser_ney(contexts, words, n_words):
    """Return a function of contexts and words: their probabilities (N,) by counting, smoothed."""
    counts, levels = Counter(map(tuple, np.column_stack([contexts, words]).tolist())), []
    while True:
        n = Counter(counts.values())
        discounts = [0.0] + [k - (k + 1) * n[1] / (n[1] + 2 * n[2]) * n[k + 1] / n[k] for k in (1, 2, 3)]
        total, saved = Counter(), Counter()
        for gram, count in counts.items():
            total[gram[:-1]] += count
            saved[gram[:-1]] += discounts[min(count, 3)]
        levels.insert(0, (counts, total, saved, discounts))
        if len(gram) == 1:
            break
        counts = Counter(gram[1:] for gram in counts)  # in how many contexts, and not how often

    def probability(gram):
        p = 1 / n_words
        for k, (counts, total, saved, discounts) in enumerate(levels, 1):
            gram_k = gram[-k:]
            if before := total[gram_k[:-1]]:  # what the discounts save goes to the shorter context
                count = counts[gram_k]
                p = (count - discounts[min(count, 3)] + saved[gram_k[:-1]] * p) / before
        return p

    return lambda contexts, words: np.array([probability(g) for g in map(tuple, np.column_stack([contexts, words]).tolist())])


class NeuralModel:
    """An embedding of n_words words, and a network that predicts a word from the vectors of those before it."""

    def __init__(self, n_words, n_context, size, hidden, rng):
        # Only the weights of this network are used: row w, the vector of word w, is its output for a one-hot w
        self.embedding = Network([n_words, size], init=Normal(0.05), random_state=rng)
        self.table = self.embedding.weights[0]
        self.net = Network(
            [n_context * size, hidden, n_words], activation="tanh", output="softmax", dropout=[0.2, 0.5], random_state=rng
        )
        self.adams = [net.optimizer(Adam(RATE)) for net in (self.embedding, self.net)]

    def vectors(self, contexts):
        """Return the vectors of the words of each context, side by side (N, n_context * size)."""
        return self.table[contexts].reshape(len(contexts), -1)

    def gradients(self, contexts, words, seed=None):
        """Return the gradients of the mean log loss: of the embedding, and of the network."""
        logits, cache = self.net.forward(self.vectors(contexts), logits=True, training=seed is not None, seed=seed or 0)
        d_logits = softmax(logits, axis=1)
        d_logits[np.arange(len(words)), words] -= 1
        of_net, dX = self.net.backward(cache, d_logits / len(words))
        # Each word of the table gets the sum of the gradients at all its places: one_hot.T @ dX
        places = contexts.ravel()
        one_hot = csr_array((np.ones(places.size, np.float32), places, np.arange(places.size + 1)), (places.size, len(self.table)))
        of_table = np.zeros_like(self.embedding.params)
        of_table[: self.table.size] = (one_hot.T @ dX.reshape(places.size, -1)).ravel()
        return of_table, of_net

    def train(self, contexts, words, n_epochs, rng):
        """Train with a learning rate that falls linearly to 0, from the frequencies of the words."""
        self.net.biases[-1][:] = np.log(1 + np.bincount(words, minlength=len(self.table)))
        n_steps, step = n_epochs * -(-len(words) // BATCH_SIZE), 0
        for _ in range(n_epochs):
            order = rng.permutation(len(words))
            for begin in range(0, len(words), BATCH_SIZE):
                batch = order[begin : begin + BATCH_SIZE]
                for adam, grad in zip(self.adams, self.gradients(contexts[batch], words[batch], step), strict=True):
                    adam.step(grad, RATE * (1 - step / n_steps))
                step += 1

    def probabilities(self, contexts, words):
        """Return the probability of each word after its context (N,)."""
        pieces = [slice(i, i + 4096) for i in range(0, len(words), 4096)]
        return np.concatenate([self.net(self.vectors(contexts[p]))[np.arange(len(words[p])), words[p]] for p in pieces])


def perplexity(probabilities):
    """Return exp of the mean log loss: a guess among so many equally likely words would be as uncertain."""
    return np.exp(-np.log(probabilities.astype(float)).mean())


def neighbors(model, vocabulary, word, n=5):
    """Return the n words whose vectors have the smallest angles to that of a word."""
    unit = model.table / np.linalg.norm(model.table, axis=1, keepdims=True)
    cosines = unit @ unit[vocabulary.index(word)]
    return [vocabulary[i] for i in np.argsort(-cosines)[1 : n + 1]]


def sample(model, vocabulary, rng):
    """Return a sentence, each word drawn from the probabilities of the model; rare words are not drawn."""
    context = [START] * CONTEXT
    while len(context) < CONTEXT + 40 and vocabulary[context[-1]] not in (".", "?", "!"):
        p = model.net(model.vectors(np.array([context[-CONTEXT:]])))[0].astype(float)
        p[UNKNOWN] = 0
        context.append(rng.choice(len(p), p=p / p.sum()))
    return " ".join(vocabulary[i] for i in context[CONTEXT:])


def main(quick=True, seed=0):
    """Train the model, and compare its perplexity with that of counting.

    Parameters
    ----------
    quick : bool, default True
        True: the docstrings of NumPy alone, a vocabulary of 400 words, a small network, 5 epochs.
    seed : int, default 0

    Returns
    -------
    dict
        perplexity: of each model on the test files; n_train, n_test, n_words; near: neighbors of some words;
        sampled: sentences; common: frequent words and their vectors.
    """
    rng = np.random.default_rng(seed)
    files = files_of(["numpy"] if quick else ["numpy", "scipy"])
    vocabulary, (train, _, test) = corpus(files, rng, 400 if quick else 4000)
    contexts, words = examples(test)
    found = {}
    for n, name in ((1, "counts of 2 words"), (2, "counts of 3 words"), (4, "counts of 5 words")):
        counting = kneser_ney(*examples(train, n), len(vocabulary))
        found[name] = counting(contexts[:, -n:], words)
    model = NeuralModel(len(vocabulary), CONTEXT, *((20, 32) if quick else (60, 200)), rng)
    model.train(*examples(train), 5 if quick else 6, rng)
    found["network"] = model.probabilities(contexts, words)
    found["mean of network and counts of 5"] = (found["network"] + found["counts of 5 words"]) / 2
    return {
        "perplexity": {name: perplexity(p) for name, p in found.items()},
        "n_train": sum(map(len, train)), "n_test": len(words), "n_words": len(vocabulary),
        "near": {word: neighbors(model, vocabulary, word) for word in NEAR if word in vocabulary},
        "sampled": [sample(model, vocabulary, rng) for _ in range(5)],
        "common": (vocabulary[2:102], model.table[2:102]),
    }  # fmt: skip


def tell(found):
    """Return the results as text."""
    lines = ["{n_train:,} words to learn from, {n_test:,} to predict, {n_words:,} in the vocabulary".format(**found)]
    lines += [f"  perplexity of {name:<33}{value:7.1f}" for name, value in found["perplexity"].items()]
    lines += [f"  nearest to {word + ':':<14}{', '.join(words)}" for word, words in found["near"].items()]
    return "\n".join([*lines, "Drawn from the network:", *("  " + s for s in found["sampled"])])
