"""The programs in examples/ reach their figures with the public interface only."""

import gan_ring
import policy_gradient
import pytest


@pytest.mark.long
def test_gan_finds_all_modes_of_the_ring():
    found = gan_ring.main()
    # 250 of 2,000 points belong to each mode; of a uniform ring a quarter would be near a mode, 64 for each.
    assert found["modes"].min() >= 100
    assert found["near"] >= 0.8


def test_policy_gradient_balances_the_pole():
    assert policy_gradient.main()["steps"] >= 190
