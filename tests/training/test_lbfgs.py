"""L-BFGS: the minimum that SciPy finds, callbacks, and the options that it refuses."""

import numpy as np
import pytest
from networks import small_examples, small_network
from scipy import optimize

from dnn import LBFGS


def test_lbfgs_finds_the_minimum_that_scipy_finds():
    X, y = small_examples()
    net = small_network()
    history = net.fit(X, y, optimizer=LBFGS(), alpha=1.0, epochs=200)
    twin = small_network()

    def cost(params):
        twin.params[:] = params
        return twin.loss_and_gradient(X, y, alpha=1.0)

    found = optimize.minimize(
        cost, small_network().params.copy(), jac=True, method="L-BFGS-B",
        options={"maxiter": 200, "maxcor": 10, "gtol": 1e-5, "ftol": 1e-12, "maxfun": 20000, "maxls": 50},
    )  # fmt: skip
    np.testing.assert_allclose(net.params, found.x, atol=1e-12)
    assert history.stopped_by in ("converged", "epochs") and history.loss == sorted(
        history.loss, reverse=True
    )


def test_lbfgs_in_float32_with_frozen_layers_and_callbacks():
    X, y = small_examples()
    net = small_network("float32")
    net.freeze(0)
    before = net.weights[0].copy()
    seen = []
    history = net.fit(
        X, y, optimizer="lbfgs", epochs=30, X_val=X, y_val=y,
        callbacks=[lambda event: seen.append(event.epoch) or (event.epoch == 5 and event.stop())],
    )  # fmt: skip
    assert seen == list(range(6)) and history.stopped_by == "callback" and len(history.val_loss) == 6
    np.testing.assert_array_equal(net.weights[0], before)
    assert history.loss[-1] < history.loss[0]
    for options in ({"clip_norm": 1.0}, {"ema": 0.9}, {"order": np.arange}):
        with pytest.raises(ValueError, match="must not be given with L-BFGS"):
            net.fit(X, y, optimizer="lbfgs", **options)
    with pytest.raises(ValueError, match="dropout must have an optimizer that takes steps"):
        small_network(dropout=0.1).fit(X, y, optimizer="lbfgs")
    with pytest.raises(ValueError, match="takes steps, got LBFGS"):
        net.optimizer("lbfgs")
