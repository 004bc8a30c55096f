"""The program examples/bodies.py: its bodies move as those of gymnasium, and its figures."""

import bodies
import numpy as np
import pytest


@pytest.mark.parametrize("name", bodies.BODIES)
def test_bodies_move_as_those_of_gymnasium(name):
    """Random actions; every 40 steps both are put to the same drawn state, some at the limits of speed."""
    gymnasium = pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'dnn-core[dev]'")
    rng = np.random.default_rng(0)
    body = bodies.BODIES[name][0]
    copies, twins = body(3, rng), [gymnasium.make(name) for _ in range(3)]
    spread = {"Acrobot-v1": [3, 3, 12, 28], "Pendulum-v1": [3, 8]}[name]
    ends = []
    for t in range(240):
        if t % 40 == 0:
            copies.reset()
            copies.state = rng.uniform(-1, 1, copies.state.shape) * spread
            for twin, state in zip(twins, copies.state, strict=True):
                twin.reset()
                twin.unwrapped.state = state.copy()
        action = rng.integers(0, 3, 3) if name == "Acrobot-v1" else rng.uniform(-3, 3, 3).astype(np.float32)
        _, reward, terminated, truncated, reached = copies.step(action)
        for i, twin in enumerate(twins):
            expected = twin.step(action[i] if name == "Acrobot-v1" else action[i : i + 1])
            # In float32, of values up to 28
            np.testing.assert_allclose(reached[i], expected[0], rtol=1e-6, atol=2e-6)
            assert reward[i] == pytest.approx(expected[1], abs=1e-6)
            assert (terminated[i], truncated[i]) == expected[2:4]
            if terminated[i]:
                ends.append(t)
                twin.reset()
                twin.unwrapped.state = copies.state[i].copy()
    assert bool(ends) == (name == "Acrobot-v1")
    assert body.time_limit == gymnasium.spec(name).max_episode_steps
    assert copies.n_inputs == twins[0].observation_space.shape[0]
    starts = body(1000, rng).reset()
    for seed in range(20):
        first, _ = twins[0].reset(seed=seed)
        assert np.all(first >= starts.min(axis=0) - 0.02) and np.all(first <= starts.max(axis=0) + 0.02)


@pytest.mark.long
def test_figures_of_the_quick_program():
    found = bodies.main(quick=True)
    # Seeds 0 .. 4 give -82 to -93 and -189 to -269; those that act at random about -500 and -1,200.
    assert found["scores"]["Acrobot-v1"] >= -110
    assert found["scores"]["Pendulum-v1"] >= -350
    assert len(found["movements"]["Pendulum-v1"]) == 200
    first, second = found["movements"]["Acrobot-v1"][-1, 0, :2]
    assert -np.cos(first) - np.cos(first + second) > -0.5  # the last state before the goal
    assert f"{found['scores']['Acrobot-v1']:.1f}" in bodies.tell(found)
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    assert len(bodies.draw(found).axes) == 4
