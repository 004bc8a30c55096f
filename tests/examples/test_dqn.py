"""The deep Q-network of examples/dqn.py reaches its figure; its steps, memory and values are right."""

import dqn
import numpy as np
import pytest
from cartpole import CartPole

import dnn
from dnn import Adam, Network

KINDS = {"probability": dqn.Settings(), "Huber": dqn.Settings(probability=False)}


@pytest.mark.long
def test_dqn_balances_the_pole(monkeypatch):
    """Over ten seeds the quick run reached 202 to 500 steps; drawn pushes hold the pole for 22."""
    monkeypatch.setenv("DNN_NUM_THREADS", "1")  # tests run side by side
    found = dqn.main(seed=0)
    (run,) = found.values()
    assert run["best"] >= 150
    assert run["trials"].shape == (12, 4) and (run["trials"][:, 2:] <= 1).all()
    assert f"{run['best']:.1f}" in dqn.tell(found)
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'dnn-core[plot]'")
    lengths, values = dqn.draw(found).axes
    assert len(lengths.lines) == 1 and lengths.lines[0].get_ydata().max() == run["trials"][:, 1].max()
    assert len(values.lines) == 4  # predicted and true, and two for the legend


@pytest.mark.parametrize("kind", KINDS)
def test_targets_and_losses(kind):
    settings, rng = KINDS[kind], np.random.default_rng(0)
    output = "sigmoid" if settings.probability else "identity"
    net, target = (
        Network([3, 5, 2], activation="tanh", output=output, dtype="float64", random_state=rng) for _ in "12"
    )
    target.biases[-1][:] = [2, -2]  # so that errors are on both sides of the bend of Huber's loss
    reward = rng.uniform(0, 0.01, 12)
    seen, reached = rng.normal(size=(2, 12, 3))
    action, fell = rng.integers(2, size=(2, 12))
    found = dqn.targets(target, reward, reached, fell, 0.99)
    expected = reward + 0.99 * np.where(fell, 0, target(reached).max(axis=1))
    np.testing.assert_allclose(found, expected)
    y, q = np.column_stack([action, found]), net(seen)[np.arange(12), action]
    if settings.probability:
        losses = -(found * np.log(q) + (1 - found) * np.log(1 - q))
    else:
        error = abs(q - found)
        assert (error < 1).any() and (error > 1).any()
        losses = np.where(error < 1, error**2 / 2, error - 0.5)
    loss = dqn.loss_of(settings)
    np.testing.assert_allclose(net.losses(seen, y, loss=loss), losses)
    assert dnn.check_gradient(net, seen, y, loss=loss) < 1e-7


def test_values_of_a_chain():
    """Three states, one after the other; the pole falls from the last one, whatever is done."""
    rng, states = np.random.default_rng(0), np.eye(4, dtype="float32")
    net = Network([4, 2], output="sigmoid", random_state=0)
    target, adam, settings = net.copy(), net.optimizer(Adam(0.03)), dqn.Settings()
    for _ in range(20):
        target.polyak_update(net, 1)
        at, action = rng.integers([3, 2], size=(6400, 2)).T
        y = np.column_stack([action, dqn.targets(target, 0.01, states[at + 1], at == 2, 0.99)])
        net.fit(states[at], y, loss=dqn.loss_of(settings), optimizer=adam, epochs=1, batch_size=64)
    expected = 1 - 0.99 ** np.array([3, 2, 1])  # the share of the rewards that are to come
    np.testing.assert_allclose(net(states[:3]), expected[:, None].repeat(2, axis=1), rtol=0.02)


def test_the_memory_forgets_the_oldest_moves(monkeypatch):
    monkeypatch.setattr(dqn, "CAPACITY", 5)
    memory, rng = dqn.Memory(2), np.random.default_rng(0)
    for first in (0, 3):
        at = np.arange(first, first + 3.0)
        memory.add(np.column_stack([at, -at]), at, at, np.column_stack([at + 1, -at - 1]), at == 3)
        drawn = memory.draw(200, rng)
        seen, action, reward, reached, fell = drawn
        assert set(action) == ({0, 1, 2} if first == 0 else {1, 2, 3, 4, 5})
        assert (seen == np.column_stack([action, -action])).all() and (reward == action).all()
        assert (reached[:, 0] == action + 1).all() and (fell == (action == 3)).all()


def test_learning_is_drawn_from_the_seed(monkeypatch):
    monkeypatch.setattr(dqn, "N_TRIALS", 3)
    runs = [dqn.learn(dqn.Settings(), 8, 8, seed) for seed in (1, 1, 2)]
    assert runs[0][1].params.tobytes() == runs[1][1].params.tobytes() != runs[2][1].params.tobytes()
    assert runs[0][2].tobytes() == runs[1][2].tobytes()


def test_the_network_of_the_best_trial_is_kept(monkeypatch):
    monkeypatch.setattr(dqn, "TRIAL_ROUNDS", 1)
    monkeypatch.setattr(dqn, "WARM_UP", 0)
    lengths, seen = iter([30, 50, 20, 50, 40]), []

    def play(net, carts, scale):
        seen.append(net.copy())
        return np.full(carts.n, next(lengths))

    monkeypatch.setattr(dqn, "play", play)
    best, last, trials = dqn.learn(dqn.Settings(), 5, 8, 0)
    assert trials[:, 1].tolist() == [30, 50, 20, 50, 40]
    assert best.params.tobytes() == seen[3].params.tobytes() != last.params.tobytes()


def test_play_chooses_the_larger_value():
    """A linear network that pushes to the side to which the pole leans and turns keeps it up."""
    net = Network([4, 2], init="zeros")
    net.weights[0][:, 1] = np.array([0.02, 0.1, 1.0, 0.5]) / dqn.SCALE
    assert dqn.play(net, CartPole(20, np.random.default_rng(0))).mean() > 400
    net.params[:] *= -1
    assert dqn.play(net, CartPole(20, np.random.default_rng(0))).mean() < 20
