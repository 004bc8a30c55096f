"""The results of a type checker for code that uses dnn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dnn

SOURCE = Path(__file__).parents[2] / "src"

USER = """
import numpy as np

import dnn
from dnn import {names}
from dnn.demos import demo

X = np.zeros((10, 4))
net = Network([4, 8, 1], activation="swish", output="sigmoid", random_state=0)
history: History = net.fit(X, np.zeros(10), optimizer=Adam(Cosine(1e-3, 20)), epochs=2, callbacks=[print])
losses: list[float] = history.loss
out, cache = net.forward(X)
grad, nothing = net.backward(cache, out, wrt="params")
state: OptimizerState = net.optimizer("adam")
state.step(grad)
same: Network = state.net
labels: np.ndarray = MLPClassifier(8, max_iter=2).fit(X, np.arange(10) % 2).predict(X)
values: np.ndarray = dnn.MLPRegressor(hidden_layer_sizes=8).fit(X, X[:, 0]).predict(X)
predict: Predictor = net.predictor()


def first(event: Event) -> None:
    event.stop()


class Halved(Schedule):
    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        return np.full(n, 0.5)
"""

WRONG = """
from dnn import MLPClassifier, Network

Network([4, 1]).fit([[0.0]], [0.0], epoch=3)
MLPClassifier(hidden_layers=3)
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """Return a function that returns the output of ``mypy --strict`` for a user's file."""
    pytest.importorskip("mypy", reason="needs mypy, of the extra dev")
    folder = tmp_path_factory.mktemp("user")

    def check(code):
        (folder / "user.py").write_text(code)
        # mypy reports no errors in installed packages, but it would in dnn, which is found by MYPYPATH.
        (folder / "mypy.ini").write_text(
            "[mypy]\nstrict = true\n[mypy-dnn.*]\nfollow_imports = silent\n"
            "[mypy-sklearn.*,scipy.*,matplotlib.*,tqdm.*]\nignore_missing_imports = true\n"
        )
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), "user.py"]
        environment = {**os.environ, "MYPYPATH": str(SOURCE)}
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
        )
        return ran.stdout + ran.stderr

    return check


@pytest.mark.long
def test_user_code_passes_strict_checks(strict):
    names = ", ".join([*dnn.__all__, "MLPClassifier", "MLPRegressor"])
    said = strict(USER.format(names=names))
    assert "Success: no issues found in 1 source file" in said, said


@pytest.mark.long
def test_wrong_user_code_is_noticed(strict):
    """This shows that mypy sees the types of dnn."""
    said = strict(WRONG)
    for name in ("epoch", "hidden_layers"):
        assert f'Unexpected keyword argument "{name}"' in said, said
