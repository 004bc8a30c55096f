"""The program examples/rbm.py: its figures, its digits, its pseudo-likelihood."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

import rbm

from dnn import BernoulliRBM


@pytest.mark.long
def test_figures_of_the_quick_program():
    found = rbm.main(quick=True)
    # The figure of scikit-learn's example is -20.3; seeds 0 .. 4: -19.85 to -20.16
    assert found["PCD"]["likelihood"][0] >= -20.3
    # of 1,500 rows; seeds 0 .. 4: 0.87 to 0.88 with features, 0.73 to 0.76 with pixels
    assert found["features"] >= 0.85 and found["features"] - found["pixels"] >= 0.1
    # seeds 0 .. 4: PCD 1.74 to 1.89, CD-1 1.93 to 2.04
    assert found["PCD"]["distance"][0] + 0.05 < found["CD1"]["distance"][0] < 2.2
    assert found["CD1"]["error"][0] < found["PCD"]["error"][0] < 2.4
    assert found["nearest"] < 1.2
    lines = rbm.tell(found).splitlines()
    assert f"{found['features']:.3f}" in lines[0] and len(lines) == 6
    pytest.importorskip("matplotlib")
    figure = rbm.draw(found)
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == 6 and "dreams of PCD, 10 passes" in titles


@pytest.mark.parametrize("apart", [False, True])
def test_digits_are_shifted_by_one_pixel(apart):
    X_train, y_train, X_test, y_test = rbm.digits(np.random.default_rng(0), apart)
    assert X_train.shape == (7188, 64) and X_test.shape == (1797, 64)
    assert X_train.min() == 0 and X_train.max() == 1
    all_rows = {row.tobytes() for row in np.concatenate([X_train, X_test])}
    train = {row.tobytes() for row in X_train}
    pictures = X_test[:200].reshape(-1, 8, 8)
    left = np.pad(pictures, ((0, 0), (0, 0), (0, 1)))[:, :, 1:].reshape(-1, 64)
    related = [row.tobytes() for row in left if row.tobytes() in all_rows]
    assert len(related) > 20
    # Copies are in both parts, unless they are kept apart; then a test digit's copies are all test digits
    shared = np.mean([row in train for row in related])
    assert shared == 0 if apart else 0.6 < shared < 0.95
    assert np.bincount(y_train).min() > 600 and len(y_test) == 1797


def test_pseudo_likelihood_is_that_of_all_patterns():
    """Every conditional probability from the probabilities of all 2^6 patterns."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (40, 6)).astype(float)
    model = BernoulliRBM(3, learning_rate=0.5, n_iter=50, random_state=0).fit(X)
    W, c, b = model.components_, model.intercept_hidden_, model.intercept_visible_
    V = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(float)
    H = ((np.arange(8)[:, None] >> np.arange(3)) & 1).astype(float)
    weight = np.exp(H @ W @ V.T + (H @ c)[:, None] + V @ b).sum(axis=0)
    numbers = (X @ 2 ** np.arange(6)).astype(int)
    expected = sum(np.log(weight[numbers] / (weight[numbers] + weight[numbers ^ 2**i])) for i in range(6))
    # The free energies are in float32
    assert rbm.pseudo_likelihood(model, X) == pytest.approx(expected.mean(), abs=1e-4)
    assert np.abs(rbm.free_energy(model, V) + np.log(weight)).max() < 1e-4


def test_dreams_and_distances():
    rng = np.random.default_rng(0)
    X = np.repeat(np.eye(2)[:, :1] * np.ones(64), 50, axis=0)[rng.permutation(100)]
    model = BernoulliRBM(2, learning_rate=0.1, n_iter=400, persistent=False, random_state=0).fit(X)
    dreams = rbm.dream(model, 200, 20, rng)
    assert dreams.shape == (200, 64) and rbm.distance(dreams, X) < 1
    assert rbm.distance(X, X) == 0 and rbm.distance(X + 0.5, X) == pytest.approx(16)
