"""The adversarial training: its gradients, its measure, and that pairs prevent the collapse."""

import io

import gan
import numpy as np
import pytest

from dnn import Network


@pytest.mark.parametrize("pack", [1, 2])
def test_gradients_by_finite_differences(pack):
    rng = np.random.default_rng(pack)
    generator = Network([3, 5, 2], activation="tanh", dtype="float64", random_state=rng)
    discriminator = Network([2 * pack, 6, 1], activation="tanh", dtype="float64", random_state=rng)
    real, z = rng.standard_normal((8, 2)), rng.standard_normal((8, 3))

    def losses():
        """Return the log loss of the discriminator, and the mean of -log D of generated rows."""
        fake = generator(z)
        D = [1 / (1 + np.exp(-discriminator(points.reshape(-1, 2 * pack)))) for points in (real, fake)]
        return -np.log(D[1]).mean(), -np.log(D[0]).mean() - np.log(1 - D[1]).mean()

    grads = gan.gradients(generator, discriminator, real, z, pack)
    for net, grad, which in zip((generator, discriminator), grads, (0, 1), strict=True):
        by_difference = np.empty_like(grad)
        for i in range(net.n_params):
            before, costs = net.params[i], []
            for step in (1e-5, -1e-5):
                net.params[i] = before + step
                costs.append(losses()[which])
            net.params[i] = before
            by_difference[i] = (costs[0] - costs[1]) / 2e-5
        np.testing.assert_allclose(grad, by_difference, rtol=1e-6, atol=1e-8)


def test_the_measure_of_real_points():
    """Of a Gaussian in the plane, 1 - exp(-9 / 2) = 98.9 % are within three standard deviations."""
    shares = gan.near_modes(gan.ring(40_000, np.random.default_rng(0)))
    assert abs(shares.sum() - 0.9889) < 0.002  # four standard errors
    np.testing.assert_allclose(shares, 0.9889 / 8, atol=0.007)
    far = np.float32([[0, 0], [2.2, 0], [2.1, 0]])
    np.testing.assert_allclose(gan.near_modes(far), [1 / 3] + [0] * 7)


def test_modes_found():
    """Of eight modes one counts from 1/32 of all points on."""
    shares = np.full((2, 8), 0.12)
    shares[1, :3] = 0.03, 0.032, 0
    assert gan.modes_found(shares).tolist() == [8, 6]


@pytest.mark.long
def test_pairs_prevent_the_collapse():
    """Over ten seeds the plain training is down to 1 to 3 modes at times; with pairs 81 to 86 % are near."""
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    found = gan.main()
    plain, pairs = (found["ring"][name][0] for name in ("plain", "pairs, falling rate"))
    assert gan.modes_found(plain[50:]).min() <= 4
    assert gan.modes_found(pairs[50:]).min() == 8
    assert pairs[-1].sum() >= 0.75
    assert f"{pairs[-1].sum():.1%}" in gan.tell(found)
    shares, pictures = found["digits"]["plain"]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert pictures.shape == (48, 64)
    gan.draw(found).savefig(io.BytesIO())
