"""Initializers: the initial weights of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _core
from ._checks import Random, check_name, check_real
from ._frozen import value
from .data import arrays as data


class Initializer:
    """Base class of initializers: ``draw(rng, n_in, n_out)`` returns W; biases are 0 by default.

    A subclass with its own `draw`, and `draw_biases` for biases other than 0, can be used as an initializer.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Initializer, Network
    >>> class Identity(Initializer):
    ...     def draw(self, rng, n_in, n_out):
    ...         return np.eye(n_in, n_out)
    >>> Network([2, 2], init=Identity())([[3.0, 4.0]]).tolist()
    [[3.0, 4.0]]
    """

    __slots__ = ()

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        raise NotImplementedError(f"{type(self).__name__} must have a method draw(rng, n_in, n_out)")

    def draw_biases(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return b (n_out,), drawn after W of the same layer."""
        return np.zeros(n_out)

    def _write(self, rng: Random, W: np.ndarray) -> None:
        """Draw W in place."""
        W[...] = self.draw(rng, *W.shape)


@value
class Zeros(Initializer):
    """Weights of zero, for networks of one layer only: units of a hidden layer would stay equal.

    Examples
    --------
    >>> from dnn import Network, Zeros
    >>> float(abs(Network([3, 1], init=Zeros()).params).max())
    0.0
    """

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return np.zeros((n_in, n_out))


@value
class Full(Initializer):
    """Weights that all have the same value, as in `numpy.full`; `Zeros` tells when to use them.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> from dnn import Full, Network
    >>> Network([2, 1], init=Full(0.5)).params.tolist()
    [0.5, 0.5, 0.0]
    """

    value: float

    def __post_init__(self) -> None:
        check_real("value", self.value, -math.inf)

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return np.full((n_in, n_out), float(self.value))


@value
class Normal(Initializer):
    """Weights from a normal distribution, drawn unit by unit: n_in values for each unit.

    Parameters
    ----------
    scale : float, default 0.01
        Standard deviation; the default is a common choice for shallow networks.

    Examples
    --------
    >>> from dnn import Network, Normal
    >>> Network([2, 4, 1], activation="tanh", init=Normal(0.01), random_state=3).n_params
    17
    """

    scale: float = 0.01

    def __post_init__(self) -> None:
        check_real("scale", self.scale, 0.0)

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return rng.standard_normal((n_out, n_in)).T * float(self.scale)


@value
class Uniform(Initializer):
    """Weights from a uniform distribution between -limit and limit, drawn unit by unit.

    Parameters
    ----------
    limit : float, at least 0, default 0.05, as in Keras

    Examples
    --------
    >>> from dnn import Network, Uniform
    >>> bool(abs(Network([30, 10], init=Uniform(0.2), random_state=0).params).max() <= 0.2)
    True
    """

    limit: float = 0.05

    def __post_init__(self) -> None:
        check_real("limit", self.limit, 0.0)

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        limit = float(self.limit)
        return rng.uniform(-limit, limit, (n_out, n_in)).T


def _scaled(rng: Random, n_in: int, n_out: int, variance: float, distribution: str) -> np.ndarray:
    if distribution == "normal":
        return Normal(math.sqrt(variance)).draw(rng, n_in, n_out)
    # A uniform distribution between -c and c has the variance c^2 / 3
    return Uniform(math.sqrt(3 * variance)).draw(rng, n_in, n_out)


@value
class LeCun(Initializer):
    """Weights of variance 1 / n_in: pre-activations have the variance of the inputs. selu needs this.

    Parameters
    ----------
    distribution : "normal" or "uniform", default "normal", as in the paper of selu

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient backprop, equation 16. Klambauer, Unterthiner, Mayr and
    Hochreiter (2017), Self-normalizing neural networks, section 2, "Initialization".

    Examples
    --------
    >>> from dnn import LeCun, Network
    >>> Network([3, 8, 1], activation="tanh", init=LeCun("uniform"), random_state=0).n_params
    41
    """

    distribution: str = "normal"

    def __post_init__(self) -> None:
        check_name("distribution", self.distribution, ("normal", "uniform"))

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return _scaled(rng, n_in, n_out, 1 / n_in, self.distribution)


@value
class Xavier(Initializer):
    """Weights of variance 2 / (n_in + n_out), which keep the variance through tanh, forward and backward.

    Parameters
    ----------
    distribution : "uniform" or "normal", default "uniform", as in the paper

    References
    ----------
    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks,
    equations 12 and 16.

    Examples
    --------
    >>> from dnn import Network, Xavier
    >>> bool(abs(Network([3, 3], init=Xavier(), random_state=0).weights[0]).max() <= 1)
    True
    """

    distribution: str = "uniform"

    def __post_init__(self) -> None:
        check_name("distribution", self.distribution, ("uniform", "normal"))

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return _scaled(rng, n_in, n_out, 2 / (n_in + n_out), self.distribution)


@value
class He(Initializer):
    """Weights of variance 2 / n_in, which keep the variance through relu, as it sets half of the values to 0.

    Parameters
    ----------
    distribution : "normal" or "uniform", default "normal", as in the paper

    References
    ----------
    He, Zhang, Ren and Sun (2015), Delving deep into rectifiers, equation 10.

    Examples
    --------
    >>> from dnn import He, Network
    >>> Network([2, 10, 5, 1], init=He(), random_state=3).n_params
    91
    """

    distribution: str = "normal"

    def __post_init__(self) -> None:
        check_name("distribution", self.distribution, ("normal", "uniform"))

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return _scaled(rng, n_in, n_out, 2 / n_in, self.distribution)


# Number of weights that are drawn at a time in float64 before conversion to the network's dtype
DRAWN = 1 << 17


@value
class Glorot(Initializer):
    """scikit-learn's initial weights and biases: uniform in +-sqrt(factor / (n_in + n_out)).

    Parameters
    ----------
    factor : float
        6, or 2 for logistic units.

    References
    ----------
    Glorot and Bengio (2010), as in `Xavier`.

    Examples
    --------
    >>> import numpy as np
    >>> Glorot(6.0).draw(np.random.RandomState(0), 3, 2).round(2).tolist()
    [[0.11, 0.47], [0.23, 0.1], [-0.17, 0.32]]
    """

    factor: float = 6.0

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        W = np.empty((n_in, n_out))
        self._write(rng, W)
        return W

    def _write(self, rng: Random, W: np.ndarray) -> None:
        """Draw some rows at a time, because a wide W in float64 would take most of the memory of a fit."""
        bound = np.sqrt(self.factor / sum(W.shape))
        some = max(1, DRAWN // W.shape[1])
        for begin in range(0, len(W), some):
            rows = W[begin : begin + some]
            rows[...] = rng.uniform(-bound, bound, rows.shape)

    def draw_biases(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return b (n_out,), drawn after W of the same layer."""
        bound = np.sqrt(self.factor / (n_in + n_out))
        b: np.ndarray = rng.uniform(-bound, bound, n_out)
        return b


INITIALIZERS: dict[str, Initializer] = {
    "zeros": Zeros(),
    "normal": Normal(),
    "uniform": Uniform(),
    "lecun": LeCun(),
    "lecun_normal": LeCun(),
    "lecun_uniform": LeCun("uniform"),
    "xavier": Xavier(),
    "xavier_uniform": Xavier(),
    "xavier_normal": Xavier("normal"),
    "he": He(),
    "he_normal": He(),
    "he_uniform": He("uniform"),
}


class _Given(Initializer):
    """Weights and biases given by a caller."""

    def __init__(self, W: Any, b: Any, layer: int) -> None:
        self.layer = layer
        self.W = data.numbers(W, f"W of layer {layer} in init")
        self.b = None if b is None else data.numbers(b, f"b of layer {layer} in init")

    def check(self, n_in: int, n_out: int) -> None:
        """Raise unless W and b have the shapes of a layer of this size."""
        self.W = self._checked("W", self.W, (n_in, n_out))
        self.b = np.zeros(n_out) if self.b is None else self._checked("b", self.b, (n_out,))

    def draw(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return W (n_in, n_out)."""
        return self.W

    def draw_biases(self, rng: Random, n_in: int, n_out: int) -> np.ndarray:
        """Return b (n_out,)."""
        assert self.b is not None
        return self.b

    def _checked(self, name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if array.shape != shape:
            hint = ""
            if array.shape == shape[::-1]:
                hint = f": did you mean {name}.T?"
            elif len(shape) == 1 and array.size == shape[0]:
                hint = f": did you mean {name}.ravel()?"
            elif array.shape == shape[:1] and shape[1:] == (1,):
                hint = f": did you mean {name}[:, None]?"
            raise ValueError(
                f"{name} of layer {self.layer} in init must have shape {shape}, got {array.shape}{hint}"
            )
        exact = np.ascontiguousarray(array, dtype=np.float64)
        data.refuse_nonfinite(exact, f"{name} of layer {self.layer} in init")
        return exact


def initializer_of(init: Any, activation: str) -> Initializer:
    """Return the initializer for a name or an object, in a layer with this activation."""
    if isinstance(init, Initializer):
        return init
    init = check_name("init", init, ["auto", *INITIALIZERS])
    if init == "auto":
        init = _core.ACTIVATIONS[activation].init
    return INITIALIZERS[init]


def initializers_of(
    init: Any, activations: Sequence[str], shapes: Sequence[tuple[int, ...]] | None = None
) -> list[Initializer]:
    """Return an initializer for each layer.

    Parameters
    ----------
    init : name or Initializer, or an iterable with one entry for each layer
        An entry is a name, an Initializer, an array W, or a pair (W, b).
    activations : sequence of str
        The activations of the layers.
    shapes : sequence of (n_in, n_out), default None
        The required shapes of arrays, which are checked before any weights are drawn.

    Examples
    --------
    >>> initializers_of("auto", ["relu", "tanh"])
    [He(distribution='normal'), Xavier(distribution='uniform')]
    """
    one = isinstance(init, (str, bytes, Initializer)) or not isinstance(init, Iterable)
    if one:
        return [initializer_of(init, activation) for activation in activations]
    if isinstance(init, np.ndarray) and init.ndim < 3:
        raise TypeError(
            f"init must have one entry for each layer, got an array {init.shape}: did you mean [W]?"
        )
    entries, n_layers = list(init), len(activations)
    if len(entries) != n_layers:
        pairs = n_layers and len(entries) == 2 * n_layers and not any(isinstance(e, str) for e in entries)
        hint = ": did you mean pairs, [(W, b), ...]?" if pairs else ""
        raise ValueError(f"init must have one entry for each of {n_layers} layers, got {len(entries)}{hint}")
    found = [
        initializer_of(entry, activation)
        if isinstance(entry, (str, Initializer)) or not isinstance(entry, Iterable)
        else _given(entry, layer)
        for layer, (entry, activation) in enumerate(zip(entries, activations, strict=True), 1)
    ]
    for given, (n_in, n_out) in zip(found, shapes or (), strict=False):
        if isinstance(given, _Given):
            given.check(n_in, n_out)
    return found


def _given(entry: Any, layer: int) -> _Given:
    """Return an entry that is W (n_in, n_out), which has 1-d items, or a pair (W, b)."""
    pair = not isinstance(entry, np.ndarray) and len(entry) == 2 and np.ndim(entry[0]) != 1
    W, b = entry if pair else (entry, None)
    return _Given(W, b, layer)


def fill(
    init: Any,
    activations: Sequence[str],
    weights: Sequence[np.ndarray],
    biases: Sequence[np.ndarray],
    rng: Random,
) -> None:
    """Write the initial weights W (n_in, n_out) and biases b (n_out,) of each layer, drawn layer by layer.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, a wrong number of entries, a wrong shape, or values that are not finite in the
        dtype.
    """
    initializers = initializers_of(init, activations, [W.shape for W in weights])
    for layer, (W, b, initializer) in enumerate(zip(weights, biases, initializers, strict=True), 1):
        with np.errstate(over="ignore"):  # reported below
            initializer._write(rng, W)
            b[...] = initializer.draw_biases(rng, *W.shape)
        if not (_core.all_finite(W) and _core.all_finite(b)):
            raise ValueError(f"init must give finite weights in {W.dtype}, got others in layer {layer}")
