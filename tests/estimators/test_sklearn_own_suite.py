"""scikit-learn's own tests of its MLP run on dnn's: its installed module, in which two names are replaced.

`test_gradient` calls a private method of scikit-learn's MLP, and is left out.
"""

import importlib.util
from unittest import mock

import pytest
import sklearn.neural_network

import dnn

# Warnings are errors in dnn's own tests only.
pytestmark = pytest.mark.filterwarnings("default")


def sklearn_tests():
    """Return the tests of scikit-learn's module, in which scikit-learn's names denote dnn's classes."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    module = importlib.util.module_from_spec(spec)
    classes = {name: getattr(dnn, name) for name in ("MLPClassifier", "MLPRegressor")}
    with mock.patch.multiple(sklearn.neural_network, **classes):
        spec.loader.exec_module(module)
    return {
        name: test
        for name, test in vars(module).items()
        if name.startswith("test_") and name != "test_gradient"
    }


globals().update(sklearn_tests())


@pytest.fixture
def global_random_seed():
    """Return the seed that scikit-learn's test configuration passes to some tests."""
    return 42
