"""The neural language model: its gradients, the smoothed counts, its text, and its figures."""

import language_model as lm
import numpy as np
import pytest


def small_model(rng, n_words=7, n_rows=20):
    model = lm.NeuralModel(n_words, 3, 5, rng, n_context=2)
    model.W[:] = rng.normal(size=model.W.shape)
    return model, rng.integers(0, n_words, (n_rows, 3))


def test_gradients_by_finite_differences():
    """A word that occurs in both places of contexts gets the gradients of both."""
    rng = np.random.default_rng(0)
    model, grams = small_model(rng)

    def mean_loss():
        p = model.net(model.W[grams[:, :-1]].reshape(len(grams), -1)).astype(float)
        return -np.log(p[np.arange(len(grams)), grams[:, -1]]).mean()

    for net, gradient in zip((model.embedding, model.net), model.gradients(grams), strict=True):
        direction = rng.choice([-1.0, 1.0], net.n_params)
        start, step = net.params.copy(), 1e-2
        losses = []
        for sign in (1, -1):
            net.params[:] = start + sign * step * direction
            losses.append(mean_loss())
        net.params[:] = start
        slope = (losses[0] - losses[1]) / (2 * step)
        # float32, and the third derivative times step^2 / 6
        assert slope == pytest.approx(gradient @ direction, rel=3e-3, abs=1e-3)
        assert abs(slope) > 0.05
    assert not model.gradients(grams)[0][model.W.size :].any()


def test_training_learns_what_follows():
    rng = np.random.default_rng(1)
    model = lm.NeuralModel(7, 8, 32, rng, n_context=2)
    grams = np.array([[2, 3, 4], [3, 4, 5], [4, 5, 6], [5, 6, 2]] * 64)
    model.train(grams, 200, rng)
    p = model.net(model.W[grams[:4, :-1]].reshape(4, -1))
    assert (p.argmax(axis=1) == grams[:4, -1]).all()


def test_smoothed_counts_are_probabilities():
    """They sum to 1 after any context, seen or not, and give more to what was seen."""
    rng = np.random.default_rng(2)
    sentences = [[*(2 + rng.zipf(1.4, 9) % 400)] for _ in range(400)]
    grams = lm.windows(sentences, 3)
    counting = lm.kneser_ney(grams, 402)
    for context in ([0, 0], [3, 3], [3, 390], [401, 401], [*grams[50, :-1]]):
        p = counting(np.array([[*context, word] for word in range(402)]))
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert p.min() > 0
    seen, counts = np.unique(grams, axis=0, return_counts=True)
    often = seen[counts.argmax()]
    total = counts[(seen[:, :-1] == often[:-1]).all(axis=1)].sum()
    share = counts.max() / total
    # The discounts take from a frequent word less than they take from a rare one
    assert 0.5 * share < counting(often[None])[0] < share + 0.1


def test_windows():
    found = lm.windows([[5, 6, 7], [8]], 3)
    assert found.tolist() == [[0, 0, 5], [0, 5, 6], [5, 6, 7], [0, 0, 8]]


def test_text():
    files = lm.files_of(["numpy"])
    sentences = [sentence for file in files for sentence in file]
    assert len(sentences) == len(set(sentences)) >= 2500  # 4,299 in NumPy 2.4
    assert all(len(sentence) >= 6 and sentence[-1] in ".?!" for sentence in sentences)
    vocabulary, train, test = lm.corpus(files, 300, np.random.default_rng(0))
    assert len(vocabulary) == len(set(vocabulary)) == 300
    assert len(train) + len(test) == len(sentences)
    assert max(map(max, train + test)) < 300


@pytest.mark.long
def test_the_network_knows_what_counts_do_not():
    found = lm.main()
    two, three, five, network, mean = found["perplexity"].values()
    # On seeds 0 to 4: counts of two words 30.6 to 34.3, network 33.3 to 36.2, the mean of network and counts
    # of five words 2.5 to 7.2 % below these counts. So little text and training makes no better network.
    assert two > three > five > 10
    assert network <= 1.2 * two
    assert mean <= 0.99 * five
    assert "network" in lm.tell(found)
    lm.draw(found)
