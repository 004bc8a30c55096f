"""The variational autoencoder: its loss, its gradients, and what it learns in a short training."""

import io

import numpy as np
import pytest
import vae


@pytest.fixture
def small():
    """Return encoder and decoder in float64, with biases, pictures and noise."""
    rng = np.random.default_rng(0)
    encoder, decoder = vae.networks(12, 7, 3, rng, dtype="float64")
    for net in (encoder, decoder):
        net.params[:] += 0.1 * rng.standard_normal(net.n_params)
    return encoder, decoder, rng.random((5, 12)), rng.standard_normal((5, 3))


def test_gradients_by_finite_differences(small):
    encoder, decoder, X, noise = small
    h = 1e-5
    for net, grad in zip((encoder, decoder), vae.gradients(*small), strict=True):
        by_difference = np.empty_like(grad)
        for i in range(net.n_params):
            before, costs = net.params[i], []
            for step in (h, -h):
                net.params[i] = before + step
                costs.append(sum(part.mean() for part in vae.losses(encoder, decoder, X, noise)))
            net.params[i] = before
            by_difference[i] = (costs[0] - costs[1]) / (2 * h)
        # The error of the differences is of the order h^2, times derivatives of the order 1.
        np.testing.assert_allclose(grad, by_difference, rtol=1e-7, atol=1e-8)


def test_the_divergence_is_that_of_its_definition(small):
    """KL(q | p) is the mean of log q(z) - log p(z) over codes z drawn from q."""
    encoder, decoder, X, noise = small
    mean, log_var = np.hsplit(encoder(X), 2)
    e = np.random.default_rng(1).standard_normal((40_000, 1, 3))
    z = mean + np.exp(log_var / 2) * e
    drawn = ((z**2 - e**2 - log_var) / 2).sum(axis=2)
    error = np.abs(vae.losses(encoder, decoder, X, noise)[1] - drawn.mean(axis=0))
    assert (error < 5 * drawn.std(axis=0) / np.sqrt(len(e))).all()


@pytest.mark.long
def test_a_short_training(data_folder, monkeypatch):
    """With 20 values 141 to 142 nats over five seeds, with 2 values 178 to 181; without a code 200."""
    monkeypatch.setenv("DNN_DATA", str(data_folder))
    found = vae.main()
    assert found["curves"][20][-1].sum() < 150
    assert found["curves"][2][-1].sum() < 188 < 199 < found["no_code"]
    assert f"{found['curves'][20][-1].sum():.1f}" in vae.tell(found)
    error = {n: ((found["pictures"] - rebuilt) ** 2).sum() for n, rebuilt in found["reconstructions"].items()}
    assert error[20] < 0.6 * error[2]
    vae.draw(found).savefig(io.BytesIO())
