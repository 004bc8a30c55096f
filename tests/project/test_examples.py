"""The programs in examples/ reach their figures with the public interface only."""

import autoencoder
import gan_ring
import numpy as np
import pytest

from dnn import Adam


@pytest.mark.long
def test_gan_finds_all_modes_of_the_ring():
    found = gan_ring.main()
    # 250 of 2,000 points belong to each mode; of a uniform ring a quarter would be near a mode, 64 for each.
    assert found["modes"].min() >= 100
    assert found["near"] >= 0.8


def test_autoencoder_beats_pca():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    errors = autoencoder.main()
    assert errors["network"] <= 0.75 * errors["pca"]


def test_the_loop_of_the_autoencoder_equals_fit():
    """Both train from the same weights for one epoch of five batches, of which the last is short."""
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    rng = np.random.default_rng(0)
    X = autoencoder.digits(rng)[0][: 4 * autoencoder.BATCH_SIZE + 7]
    net = autoencoder.autoencoder(rng)
    start, adam = net.params.copy(), Adam(autoencoder.RATE)
    net.fit(
        X, X, loss="squared_error", optimizer=adam, epochs=1, batch_size=autoencoder.BATCH_SIZE, shuffle=False
    )
    fitted = net.params.copy()
    net.params[:] = start
    autoencoder.train_epoch(net, net.optimizer(adam), X, autoencoder.RATE)
    assert np.abs(fitted - start).max() > autoencoder.RATE
    np.testing.assert_allclose(net.params, fitted, rtol=1e-9, atol=1e-11)
