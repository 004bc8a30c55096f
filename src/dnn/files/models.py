"""Networks and estimators as a document and arrays, and back."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import ELU, Dense, Dropout, LeakyReLU, layers_of
from ..training.history import History
from . import ModelFormatError
from .container import Arrays
from .encoding import Decoder, Encoder, listed, members, shown, whole

if TYPE_CHECKING:
    from ..network import Network

FORMAT = 1
ESTIMATORS = ("MLPClassifier", "MLPRegressor")
KINDS = ("Network", *ESTIMATORS)
PROBE_ROWS = 4
TOLERANCE = {"float32": 1e-3, "float64": 1e-6}  # of the outputs on another processor

# What a fitted estimator knows apart from its parameters, its network, labels and optimizer.
_COUNTS = ("n_features_in_", "n_outputs_", "n_layers_", "n_iter_", "t_", "_no_improvement_count")
_REALS = ("loss_", "best_loss_", "best_validation_score_")
_CURVES = ("loss_curve_", "validation_scores_")
ATTRIBUTES = (*_COUNTS, *_REALS, *_CURVES, "out_activation_", "history_")
_OTHERS = {
    "_net",
    "_labels",
    "_optimizer",
    "_dnn_version",
    "_sklearn_version",
    "classes_",
    "feature_names_in_",
}


@cache
def version_here() -> str:
    """Return the version of dnn; "unknown" where a program was bundled without the metadata of packages."""
    try:
        found: str = import_module("dnn").__version__
    except ModuleNotFoundError:
        return "unknown"
    return found


def describe(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a network or an estimator as a document and arrays.

    Raises
    ------
    TypeError
        For what a file cannot hold, by its name.

    Examples
    --------
    >>> from dnn import Network
    >>> document, arrays = describe(Network([2, 1], random_state=0))
    >>> document["kind"], sorted(arrays)[:2]
    ('Network', ['layers.0.W', 'layers.0.b'])
    """
    kind = type(model).__name__
    if kind not in KINDS or type(model) is not getattr(import_module("dnn"), kind):
        raise TypeError(
            f"save must be called on a {', '.join(KINDS)}, got {type(model).__module__}.{kind}: pickle it"
        )
    encoder = Encoder()
    document: dict[str, Any] = {"format": FORMAT, "kind": kind, "dnn": version_here()}
    state = model.__getstate__()
    if kind == "Network":
        document["network"] = _describe_network(model, state, encoder)
    else:
        document |= _describe_estimator(model, state, encoder)
    return document, encoder.arrays


def restore(document: Any, arrays: Arrays) -> Any:
    """Return the network or the estimator of a document and arrays, checked."""
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        raise ModelFormatError("the entry 'dnn' must be an object with the format's version")
    version, kind = document["format"], document.get("kind")
    by = f"it was written by dnn {document.get('dnn')}, and this is {version_here()}: upgrade dnn"
    if version > FORMAT:
        raise ModelFormatError(f"the format must be at most {FORMAT}, got {version} ({by})")
    if version < 1:
        raise ModelFormatError(f"the format must be at least 1, got {version}")
    if kind not in KINDS:
        raise ModelFormatError(f"the kind must be one of {', '.join(KINDS)}, got {kind!r} ({by})")
    decoder = Decoder(arrays)
    try:
        if kind == "Network":
            item = members(document, "the document", "format", "kind", "dnn", "network")[3]
            model = _restore_network(item, decoder)
        else:
            model = _restore_estimator(document, kind, decoder)
    except ModelFormatError:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # of what is made of the values
        raise ModelFormatError(f"the {kind} cannot be made: {error}") from None
    arrays.end()
    return model


def _describe_network(
    net: Network, state: dict[str, Any], encoder: Encoder, rng: Any = None
) -> dict[str, Any]:
    """Return the entry of a network, its parameters and its outputs for some inputs.

    rng: random_state of its estimator; where that is the generator of the network too, it remains one object.
    """
    known = {"n_inputs", "layers", "dropout", "n_outputs", "dtype", "frozen", "_rng", "_params"}
    others = sorted(state.keys() - known)
    if others:
        raise TypeError(
            f"{others[0]} cannot be saved: it is an attribute of your own, got {shown(state[others[0]])}"
        )
    layers = []
    for i, (dense, dropout, frozen) in enumerate(zip(net.layers, net.dropout, net.frozen, strict=True)):
        encoder.array(net.weights[i], f"layers.{i}.W")
        encoder.array(net.biases[i], f"layers.{i}.b")
        activation = encoder.value(dense.activation, f"the activation of layer {i}")
        layers.append({"units": dense.units, "activation": activation, "dropout": dropout, "frozen": frozen})
    X = np.random.default_rng(0).standard_normal((PROBE_ROWS, net.n_inputs)).astype(net.dtype)
    encoder.array(X, "probe.X")
    encoder.array(net(X), "probe.outputs")
    return {
        "n_inputs": net.n_inputs, "dtype": net.dtype.name, "layers": layers,
        "random": None if state["_rng"] is rng else encoder.generator(state["_rng"], "random"),
    }  # fmt: skip


def _restore_network(item: Any, decoder: Decoder, rng: Any = None) -> Network:
    """Return a network; every size is compared with the arrays before any memory is taken."""
    from ..network import Network

    n_inputs, dtype, layers, random = members(item, "the network", "n_inputs", "dtype", "layers", "random")
    n_inputs = n_in = whole(n_inputs, "n_inputs", 1)
    if dtype not in ("float32", "float64"):
        raise ModelFormatError(f"the dtype of the network must be float32 or float64, got {dtype!r}")
    spec: list[Dense | Dropout] = []
    frozen_layers = []
    for i, layer in enumerate(listed(layers, "layers")):
        name = f"layer {i}"
        units, activation, dropout, frozen = members(layer, name, "units", "activation", "dropout", "frozen")
        units, activation = (
            whole(units, f"units of {name}", 1),
            decoder.value(activation, f"activation of {name}"),
        )
        if (
            type(activation) not in (str, LeakyReLU, ELU)
            or type(frozen) is not bool
            or type(dropout) is not float
        ):
            raise ModelFormatError(f"{name} must have an activation, a rate of dropout, and be frozen or not")
        decoder.arrays.check(f"layers.{i}.W", dtype, (n_in, units))
        decoder.arrays.check(f"layers.{i}.b", dtype, (units,))
        spec += [Dropout(dropout), Dense(units, activation)] if dropout else [Dense(units, activation)]
        frozen_layers += [i] if frozen else []
        n_in = units
    layers_of(n_inputs, spec, "relu", "identity", 0.0)
    decoder.arrays.check("probe.X", dtype, (PROBE_ROWS, n_inputs))
    decoder.arrays.check("probe.outputs", dtype, (PROBE_ROWS, n_in))
    if random is not None:
        if not isinstance(random, dict) or random.get("type") not in ("Generator", "RandomState"):
            raise ModelFormatError(f"random must be a generator of NumPy, got {random!r}")
        rng = decoder.value(random, "random")
    elif not isinstance(rng, np.random.RandomState):
        raise ModelFormatError("random must be a generator of NumPy, got none")
    net = Network(n_inputs, spec, init="zeros", dtype=dtype, random_state=rng)
    for i, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        decoder.arrays.take_into(f"layers.{i}.W", W)
        decoder.arrays.take_into(f"layers.{i}.b", b)
    if frozen_layers:
        net.freeze(*frozen_layers)
    _check_probe(net, decoder.arrays.take("probe.X"), decoder.arrays.take("probe.outputs"))
    return net


def _check_probe(net: Network, X: np.ndarray, expected: np.ndarray) -> None:
    """Raise if a network does not give the outputs (4, O) for X (4, I) that it gave when it was saved.

    Another processor sums in another order, so that an error may be as large as that of the terms of the last
    sums, |A| |W| + |b|; exp multiplies it by its value. Outputs that are not finite are not compared.
    """
    found, cache = net.forward(X)
    A = cache.A[-2] if len(net.layers) > 1 else X
    with np.errstate(all="ignore"):
        terms = np.abs(A, dtype=np.float64) @ np.abs(net.weights[-1]) + np.abs(net.biases[-1])
        if net.layers[-1].info.name == "exp":
            terms *= np.maximum(1, np.abs(expected))
        right = np.abs(found - expected) <= TOLERANCE[net.dtype.name] * terms
    right |= ~np.isfinite(expected)
    if not right.all():
        row, column = np.argwhere(~right)[0].tolist()
        raise ModelFormatError(
            f"the network must give the outputs that are stored with it, {expected[row, column]:g} in row "
            f"{row}, column {column}, got {found[row, column]:g}: the file was damaged, or changed"
        )


def _describe_estimator(est: Any, state: dict[str, Any], encoder: Encoder) -> dict[str, Any]:
    """Return the entries of an estimator."""
    names = est._get_param_names()
    others = sorted(state.keys() - {*names, *ATTRIBUTES, *_OTHERS})
    if others:
        raise TypeError(
            f"{others[0]} cannot be saved: dnn knows no such attribute, got {shown(state[others[0]])}"
        )
    found: dict[str, Any] = {
        "parameters": {name: encoder.value(state[name], name) for name in names},
        "attributes": {name: encoder.value(state[name], name) for name in ATTRIBUTES if name in state},
        "feature_names": None, "labels": None, "optimizer": None, "network": None,
    }  # fmt: skip
    if "feature_names_in_" in state:
        found["feature_names"] = encoder.labels(state["feature_names_in_"], "feature_names_in_")
    labels = state.get("_labels")
    if labels is not None:
        known: Any = getattr(est, "classes_", None)
        if known is not labels.classes and not np.array_equal(known, labels.classes):
            raise TypeError("classes_ cannot be saved: they must be those that fit has seen, got others")
        found["labels"] = {"kind": labels.kind, "classes": encoder.labels(labels.classes, "classes_")}
    if "_optimizer" in state:
        found["optimizer"] = _describe_optimizer(state["_optimizer"], encoder)
    if "_net" in state:
        net = state["_net"]
        found["network"] = _describe_network(net, net.__getstate__(), encoder, state["random_state"])
    return found


def _describe_optimizer(optimizer: Any, encoder: Encoder) -> dict[str, Any]:
    """Return the entry of the optimizer of an estimator and its state."""
    state = optimizer.portable()
    found = {
        "spec": encoder.value(optimizer.spec, "the optimizer"),
        "weight_decay": encoder.value(optimizer.weight_decay, "weight_decay"), "state": None,
    }  # fmt: skip
    if state:
        # scikit-learn's rate learns, and is one object in both places
        own = state["schedule"] is not optimizer.spec.rate
        found["state"] = {
            "slots": encoder.array(state["slots"], "optimizer.slots"),
            "n_steps": int(state["n_steps"]), "seed": None if state["seed"] is None else int(state["seed"]),
            "schedule": encoder.value(state["schedule"], "the schedule") if own else None,
        }  # fmt: skip
    return found


def _restore_estimator(document: dict[str, Any], kind: str, decoder: Decoder) -> Any:
    """Return an estimator."""
    of_estimator = ("parameters", "attributes", "feature_names", "labels", "optimizer", "network")
    given = members(document, "the document", "format", "kind", "dnn", *of_estimator)[3:]
    parameters, attributes, feature_names, labels, optimizer, network = given
    cls = getattr(import_module("dnn"), kind)
    est = cls()
    state = vars(est).copy()
    for part, known in ((parameters, _parameters_of(cls)), (attributes, ATTRIBUTES)):
        if not isinstance(part, dict) or part.keys() - set(known):
            raise ModelFormatError(
                f"the document must have parameters and attributes of {kind}, got {part!r}"
            )
        # A parameter that is younger than the file has its default
        state |= {name: decoder.value(item, name) for name, item in part.items()}
    for name in attributes:
        _check_attribute(name, state[name])
    if labels is not None and kind == "MLPClassifier":
        state["_labels"] = _restore_labels(labels, decoder)
        state["classes_"] = state["_labels"].classes
    elif labels is not None:
        raise ModelFormatError("labels must belong to a classifier")
    if network is not None:
        state["_net"] = net = _restore_network(network, decoder, state["random_state"])
        if state.get("n_features_in_", net.n_inputs) != net.n_inputs:
            raise ModelFormatError(f"n_features_in_ must be {net.n_inputs}, got {state['n_features_in_']}")
        if kind == "MLPClassifier" and (labels is None or state["_labels"].n_outputs != net.n_outputs):
            raise ModelFormatError(f"the labels must be those of a network of {net.n_outputs} outputs")
    if feature_names is not None:
        n_features = whole(state.get("n_features_in_"), "n_features_in_", 1)
        state["feature_names_in_"] = decoder.labels(feature_names, "feature_names_in_", (n_features,))
    if optimizer is not None:
        state["_optimizer"] = _restore_optimizer(optimizer, decoder)
    state["_dnn_version"] = version_here()  # the format is not that of pickle, and does not depend on it
    est.__setstate__(state)
    return est


@cache
def _parameters_of(cls: Any) -> frozenset[str]:
    """Return the names of the parameters of an estimator, which scikit-learn reads from its signature."""
    return frozenset(cls._get_param_names())


def _check_attribute(name: str, value: Any) -> None:
    """Raise if a fitted attribute is not of its type."""
    if name in _COUNTS:
        fits = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < 2**63
    elif name in _REALS:
        fits = isinstance(value, (int, float, np.floating)) or (value is None and name != "loss_")
    elif name in _CURVES:
        reals = type(value) is list and all(isinstance(item, (int, float, np.floating)) for item in value)
        fits = reals or (value is None and name == "validation_scores_")
    else:
        fits = type(value) is (History if name == "history_" else str)
    if not fits:
        raise ModelFormatError(f"{name} must be what fit sets, got {value!r}")


def _restore_labels(item: Any, decoder: Decoder) -> Any:
    """Return the labels of a classifier."""
    from ..estimators.labels import Labels

    kind, classes = members(item, "labels", "kind", "classes")
    if kind not in ("binary", "multiclass", "multilabel-indicator"):
        raise ModelFormatError(f"labels must be binary, multiclass or multilabel-indicator, got {kind!r}")
    found = decoder.labels(classes, "classes_")
    if found.ndim != 1 or not 1 <= len(found) or (kind == "binary" and len(found) > 2):
        raise ModelFormatError(f"classes_ must be those of {kind} labels, got shape {found.shape}")
    labels = object.__new__(Labels)
    labels.kind, labels.classes = kind, found
    labels.n_outputs = 1 if kind == "binary" else len(found)
    return labels


def _restore_optimizer(item: Any, decoder: Decoder) -> Any:
    """Return the optimizer of an estimator and its state."""
    from ..estimators.optimizer import PortableOptimizer
    from ..optimizers import Optimizer
    from ..schedules import Schedule

    spec, weight_decay, state = members(item, "the optimizer", "spec", "weight_decay", "state")
    spec, weight_decay = decoder.value(spec, "the optimizer"), decoder.value(weight_decay, "weight_decay")
    if not isinstance(spec, Optimizer) or not (
        weight_decay is None or isinstance(weight_decay, (int, float))
    ):
        raise ModelFormatError(f"the optimizer must be one that takes steps, got {spec!r}")
    optimizer = PortableOptimizer(spec, weight_decay)
    if state is not None:
        slots, n_steps, seed, schedule = members(
            state, "the optimizer's state", "slots", "n_steps", "seed", "schedule"
        )
        schedule = spec.rate if schedule is None else decoder.value(schedule, "the schedule")
        slots = decoder.take(slots, "the optimizer's slots")
        if not isinstance(schedule, Schedule) or slots.ndim != 2 or slots.dtype.name not in TOLERANCE:
            raise ModelFormatError(
                f"the optimizer's state must have slots (n, P) and a schedule, got {schedule!r}"
            )
        optimizer.kept = {
            "slots": slots, "n_steps": whole(n_steps, "n_steps"),
            "seed": None if seed is None else whole(seed, "seed", 0, 2**64 - 1), "schedule": schedule,
        }  # fmt: skip
    return optimizer
