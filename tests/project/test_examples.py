"""The programs in examples/ reach their figures with the public interface only."""

import policy_gradient


def test_policy_gradient_balances_the_pole():
    assert policy_gradient.main()["steps"] >= 190
