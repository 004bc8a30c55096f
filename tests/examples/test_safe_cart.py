"""The program examples/safe_cart.py: its figures, its cart, and the price of crashes."""

import numpy as np
import pytest
import safe_cart


@pytest.mark.long
def test_figures_of_the_quick_program():
    found = safe_cart.main(quick=True)
    # Seeds 0 .. 4: 7.9 to 12.3 crashes per 1,000 steps without a limit, and 2.6 to 3.9 with a limit of 5;
    # the pay is 0.57 to 0.59, and 0.50 to 0.54
    assert found[5]["crashes"] <= 5 < found[None]["crashes"]
    assert 0.8 * found[None]["pay"] <= found[5]["pay"] < found[None]["pay"]
    assert found[None]["record"][:, 2].max() == 0 < found[5]["record"][-1, 2]
    assert f"at most 5 crashes: {found[5]['crashes']:.1f}" in safe_cart.tell(found)
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    assert len(safe_cart.draw(found).axes) == 3


def test_cart_is_pushed_paid_and_put_back():
    carts = safe_cart.SafeCart(2000, np.random.default_rng(0), limit=5)
    carts.price = 7.0
    carts.state = np.column_stack([np.full(2000, 0.95), np.full(2000, 0.4)])
    action = np.repeat([0, 2], 1000)
    _, reward, terminated, truncated, _ = carts.step(action)
    crashed = reward == -7
    assert not terminated.any() and not truncated.any()
    # A push to the left: velocity 0.3 + 0.1 gust, which takes the cart beyond 1 where it exceeds 0.5
    assert abs(crashed[:1000].mean() - 0.0228) < 0.02 and abs(crashed[1000:].mean() - 0.5) < 0.064
    position, velocity = carts.state[~crashed].T
    np.testing.assert_allclose(reward[~crashed], position**4)
    np.testing.assert_allclose(position, 0.95 + 0.1 * velocity)
    assert np.abs(carts.state[crashed, 0]).max() <= 0.5 and not carts.state[crashed, 1].any()


def test_price_rises_with_more_crashes_than_aimed_at_and_falls_with_fewer():
    carts = safe_cart.SafeCart(1000, np.random.default_rng(0), limit=10)
    prices = []
    for n_crashes in (50, 50, 6, 0, 0, 0):  # of 1,000 steps; the aim is 5
        for _ in range(5):
            carts.count(np.arange(1000) < n_crashes, np.ones(1000))
        prices.append(carts.price)
    np.testing.assert_allclose(prices, [4, 8, 8.8, 4.8, 0.8, 0])
    assert carts.record[0] == (50, 1, 0) and carts.record[2][:2] == (6, 1)
    free = safe_cart.SafeCart(1000, np.random.default_rng(0))
    for _ in range(5):
        free.count(np.ones(1000, bool), np.ones(1000))
    assert free.price == 0 and free.record == [(1000, 1, 0)]
