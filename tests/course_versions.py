"""The three versions of dnn.course, called with the arguments that each of them takes."""

from itertools import pairwise

import numpy as np

from dnn.course import compiled, loops, vectorized

VERSIONS = {"loops": loops, "vectorized": vectorized, "compiled": compiled}


def given(version, value):
    """Return arrays, also in dicts, tuples and lists, as this version takes them: the loops take lists."""
    if isinstance(value, dict):
        return {name: given(version, each) for name, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(given(version, each) for each in value)
    return value.tolist() if version is loops and isinstance(value, np.ndarray) else value


class WithArrays:
    """A version whose functions convert their arguments from arrays."""

    def __init__(self, version):
        self.version = version

    def __getattr__(self, name):
        function = getattr(self.version, name)
        return lambda *args, **settings: function(*given(self.version, args), **given(self.version, settings))


def same(found, expected, **close):
    """Compare nested results element by element."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            same(found[name], expected[name], **close)
    elif isinstance(expected, (tuple, list)) and not np.isscalar(expected[0]):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other, **close)
    else:
        np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), **close)


def example(sizes, output, m=6, seed=1):
    """Return parameters, X and Y as arrays in the shapes of the course."""
    rng = np.random.default_rng(seed)
    parameters = {}
    for layer, (n_prev, n) in enumerate(pairwise(sizes), 1):
        parameters[f"W{layer}"] = rng.normal(size=(n, n_prev))
        parameters[f"b{layer}"] = rng.normal(size=(n, 1))
    X = rng.normal(size=(sizes[0], m))
    if output == "softmax":
        return parameters, X, np.eye(sizes[-1])[:, rng.integers(sizes[-1], size=m)]
    return parameters, X, rng.integers(2, size=(sizes[-1], m)).astype(float)
