"""The program that reads paragraphs: its rows, its split, the evidence of words, and its figures."""

import numpy as np
import pytest
import words

pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'dnn-core[sklearn]'")


@pytest.fixture(scope="module")
def scipy_paragraphs():
    return words.paragraphs(["scipy.fft", "scipy.io", "scipy.ndimage"])


def test_paragraphs_are_fair(scipy_paragraphs):
    """No paragraph has a word that gives its part away, is there twice, or is in training and test."""
    texts, y, docstrings = scipy_paragraphs
    assert len(set(texts)) == len(texts) == len(y) >= 600
    assert not words.GIVEAWAYS & {word for text in texts for word in text}
    train, val, test = words.split(docstrings, np.random.default_rng(0))
    assert sorted([*train, *val, *test]) == list(range(len(texts)))
    sets = [set(docstrings[rows]) for rows in (train, val, test)]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert set(y) == {0, 1, 2}


def test_rows_hold_the_words():
    texts = [("fast", "fourier", "fast"), ("fourier", "slow")]
    X = words.hashed(texts)
    assert X.shape == (2, words.N_COLUMNS)
    assert X[0, words.column("fast")] == pytest.approx(1 + np.log(2))
    assert X[1, words.column("slow")] == 1
    assert X.nnz == 4
    rows = words.weighted(X, np.array([0, 1])).toarray()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    # fourier is in 2 of 2 texts, slow in 1: weights 1 - log((1 + n) / 3)
    ratio = rows[1, words.column("slow")] / rows[1, words.column("fourier")]
    assert ratio == pytest.approx(1 - np.log(2 / 3), rel=1e-6)


def test_evidence_adds_up_to_the_difference_of_logits(scipy_paragraphs):
    texts, y, _ = scipy_paragraphs
    X = words.weighted(words.hashed(texts[:50] + texts[-50:]), np.arange(100))
    y = np.concatenate([y[:50], y[-50:] - 1])  # fft and ndimage
    y[::5] = 2
    net = words.network(X, y, np.arange(100), np.arange(20), 0, hidden=(8,))
    one = X[[3]]
    terms = words.evidence(net, one, 0, rival=1)
    # What is left of the difference of the logits comes from the biases
    (W1, W2), (b1, b2) = net.coefs_, net.intercepts_
    biases = (b1 * (one @ W1 + b1 > 0)) @ W2 + b2
    logits = np.log(net.predict_proba(one))
    np.testing.assert_allclose(
        terms.sum() + biases[0, 0] - biases[0, 1], logits[0, 0] - logits[0, 1], atol=1e-4
    )
    assert not terms[np.setdiff1d(np.arange(words.N_COLUMNS), one.indices)].any()


@pytest.mark.long
def test_the_network_is_ahead_of_logistic_regression():
    found = words.main()
    accuracy = found["accuracy"]
    # On seeds 0 to 5 the network reached 72.3 % to 77.8 %, and was 1.5 to 3.2 points ahead. The rest is room
    # for the paragraphs of other versions of SciPy. A guess of the most common part would be right in 27 %.
    assert accuracy["network"] >= 0.68
    assert accuracy["network"] >= accuracy["logistic regression"]
    assert found["n_train"] > 3 * found["n_test"]
    for name, word in [("scipy.spatial", "rotation"), ("scipy.interpolate", "spline")]:
        assert word in found["top"][name]
    assert "network" in words.tell(found)
    words.draw(found)
