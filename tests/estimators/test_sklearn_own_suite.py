"""scikit-learn's own tests of its perceptrons, on ours: its module as installed, two names changed.

`test_gradient` calls a replicated method of scikit-learn's, and is left out.
"""

import importlib.util
from unittest import mock

import pytest
import sklearn.neural_network

import dnn

# What it lets warn is its own affair.
pytestmark = pytest.mark.filterwarnings("default")


def theirs():
    """The tests of scikit-learn, in a module of their own that knows our classes by its names."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    module = importlib.util.module_from_spec(spec)
    ours = {name: getattr(dnn, name) for name in ("MLPClassifier", "MLPRegressor")}
    with mock.patch.multiple(sklearn.neural_network, **ours):
        spec.loader.exec_module(module)
    return {
        name: test
        for name, test in vars(module).items()
        if name.startswith("test_") and name != "test_gradient"
    }


globals().update(theirs())


@pytest.fixture
def global_random_seed():
    """The seed that scikit-learn's own configuration gives to some tests."""
    return 42
