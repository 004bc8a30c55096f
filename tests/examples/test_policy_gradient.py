"""The program examples/policy_gradient.py: its figures and its gradient."""

import numpy as np
import policy_gradient
import pytest

from dnn import Network


@pytest.mark.long
def test_figures_of_the_quick_program():
    found = policy_gradient.main(quick=True)
    # Seeds 0 .. 9: 498 to 500 with the baseline; the noise 0.94 to 2.81 with it, and 1.68 to 7.66 without
    assert found["scores"][True] >= 475
    assert found["noise"][True] < found["noise"][False]
    assert found["lengths"][True][:5].mean() < 60 and found["lengths"][True][-10:].mean() > 400
    assert f"with a baseline: {found['scores'][True]:.1f} steps" in policy_gradient.tell(found)
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    assert len(policy_gradient.draw(found).axes[0].lines) == 2


def test_episodes_end_where_a_pole_falls():
    rng = np.random.default_rng(0)
    actor = Network([4, 1], output="sigmoid", init="zeros")
    carts = policy_gradient.CartPole(5, rng)
    states, push, playing = policy_gradient.play(carts, actor, rng)
    assert states.shape == (*push.shape, 4) == (*playing.shape, 4)
    assert playing[0].all() and np.all(playing[1:] <= playing[:-1]) and playing[-1].sum() >= 1
    for i, length in enumerate(playing.sum(axis=0)):
        if length < len(states):  # the state after the last step of an episode is a new start
            assert np.abs(states[length, i]).max() <= 0.05 < np.abs(states[length - 1, i]).max()


@pytest.mark.parametrize("with_baseline", [True, False])
def test_gradient_is_that_of_the_weighted_log_probability(with_baseline):
    rng = np.random.default_rng(0)
    actor = Network([4, 5, 1], activation="tanh", output="sigmoid", dtype="float64", random_state=0)
    batch = list(policy_gradient.play(policy_gradient.CartPole(6, rng), actor, rng))
    states, push, playing = batch
    advantage = np.zeros(push.shape)
    for t, i in zip(*np.nonzero(playing), strict=True):
        advantage[t, i] = playing[t:, i].sum()
        if with_baseline:
            advantage[t, i] -= np.mean([playing[t:, j].sum() for j in range(6) if playing[t, j]])
    advantage /= np.sqrt(np.mean(advantage[playing] ** 2))

    def loss():
        p = actor(states[playing])[:, 0]
        return -np.mean(advantage[playing] * np.log(np.where(push[playing], p, 1 - p)))

    gradient = policy_gradient.policy_gradient(actor, *batch, with_baseline)
    for k in range(actor.n_params):
        before = actor.params[k]
        actor.params[k] = before + 1e-6
        above = loss()
        actor.params[k] = before - 1e-6
        difference = (above - loss()) / 2e-6
        actor.params[k] = before
        assert gradient[k] == pytest.approx(difference, rel=1e-5, abs=1e-8)
