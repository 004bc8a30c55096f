"""The program examples/ppo.py: its figures, its objective and its estimate of advantages."""

from dataclasses import replace

import numpy as np
import ppo
import pytest
from actions import Categorical


@pytest.mark.long
def test_figures_of_the_quick_program():
    found = ppo.main(quick=True)
    scores = found["scores"][3e-3]
    # Seeds 0 .. 9 give 341, 432 and eight times 500; 100,000 steps, as in the benchmark, always 500.
    assert scores["PPO: 20 uses, with limit"] >= 250
    assert scores["one use of each step"] <= 250
    for curve in found["curves"][3e-3].values():
        assert curve[-1, 0] >= 50_000 and np.nanmax(curve[:, 1]) <= 500
    assert f"with limit: {scores['PPO: 20 uses, with limit']:.1f}" in ppo.tell(found)
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    assert [axes.get_title() for axes in ppo.draw(found).axes] == ["PPO's objective", "learning rate 0.003"]


def test_slope_of_the_objective_is_that_of_finite_differences():
    rng, kind, n = np.random.default_rng(0), Categorical(3), 40
    logits = rng.standard_normal((n, 3))
    action = kind.sample(logits, rng)
    old = kind.log_prob(action, logits)[0] + rng.uniform(-0.5, 0.5, n)
    y = np.column_stack([action, old, rng.standard_normal(n)])
    loss = ppo.clipped_loss(kind, 0.2)
    slope = loss(y, logits)[1]
    unrewarded = np.all(slope == 0, axis=1)
    assert 5 <= unrewarded.sum() <= n - 5
    for k in range(3):
        step = 1e-6 * (np.arange(3) == k)
        difference = (loss(y, logits + step)[0] - loss(y, logits - step)[0]) / 2e-6
        np.testing.assert_allclose(slope[:, k], difference, rtol=1e-6, atol=1e-8)


def test_advantages_are_sums_of_discounted_surprises_up_to_the_end_of_the_episode():
    rng, T, n = np.random.default_rng(0), 12, 3
    settings = ppo.Settings(discount=0.9, trace=0.7)
    reward, value, next_value = rng.standard_normal((3, T, n))
    terminated, truncated = rng.random((2, T, n)) < 0.15
    over = terminated | truncated
    found = ppo.estimate_advantages(reward, value, next_value, terminated, over, settings)
    for i in range(n):
        for t in range(T):
            total = 0.0
            for later in range(t, T):
                after = 0 if terminated[later, i] else 0.9 * next_value[later, i]
                total += 0.63 ** (later - t) * (reward[later, i] + after - value[later, i])
                if over[later, i]:
                    break
            assert found[t, i] == pytest.approx(total)


def test_learning_is_deterministic_and_its_rate_falls_to_zero():
    settings = replace(ppo.Settings(), total=1000, epochs=2)
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        actor, curve = ppo.train(ppo.CartPole(settings.n_copies, rng), Categorical(2), settings, rng)
        runs.append((actor.params.copy(), curve))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert curve[:, 0].tolist() == [256, 512, 768, 1024]
    np.testing.assert_allclose(ppo.Linear(2.0, 4).rates(1, 4, 7), [1.5, 1, 0.5, 0])
