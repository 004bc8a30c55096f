"""Models as ONNX graphs: written from a stack of layers, and what skl2onnx asks of our estimators."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import need
from ..files.writing import replacing
from ..network import Network
from .formulas import PAR, Formula, Op, written
from .stack import Stack, stack_of

if TYPE_CHECKING:
    from ..estimators.base import BaseMLP

# ONNX Runtime has read both since 1.12 (2022), and nothing newer is needed.
OPSET, IR_VERSION = 17, 8
INT64, STRING = 7, 8  # members of onnx.TensorProto
MOST_BYTES = 2**31 - 2**20  # a protocol buffer has at most 2^31 bytes; the rest is for names and nodes


def to_onnx(model: Network | BaseMLP, path: str | os.PathLike[str] | None = None) -> Any:
    """Return a network or a fitted estimator as an `onnx.ModelProto`, and write it to a file.

    Parameters
    ----------
    model : Network, MLPClassifier or MLPRegressor
    path : path, default None
        Where the model is written; None: nowhere. The file appears as a whole: until it is complete and on
        the disk, a file that was there stays as it is.

    Raises
    ------
    ImportError
        Without the package onnx.
    OSError
        If the file cannot be written.
    ValueError
        For labels that are neither whole numbers nor strings, or more than 2 GB of parameters.

    Examples
    --------
    >>> from dnn import Network
    >>> model = to_onnx(Network([4, 8, 3], output="softmax"))
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Relu', 'Gemm', 'Softmax']
    """
    onnx = need("onnx", "to_onnx", "onnx")
    stack = stack_of(model)
    if sum(layer.W.nbytes + layer.b.nbytes for layer in stack.layers) > MOST_BYTES:
        raise ValueError(
            "the model must have at most 2 GB of parameters, which is the most that ONNX can hold"
        )
    graph = Graph(stack.dtype)
    outputs = write(graph, stack, "X")
    helper = onnx.helper
    real = helper.np_dtype_to_tensor_dtype(stack.dtype)
    declared = []
    for name, value in outputs.items():
        if name == "outputs" and not isinstance(model, Network):
            name = "variable"  # skl2onnx's name for what a regressor predicts
        graph.rename(value, name)
        kind = real
        if name == "label":
            kind = INT64 if stack.kind == "multilabel" or labels_of(stack).dtype == np.int64 else STRING
        declared.append(helper.make_tensor_value_info(name, kind, ["N", *shape_of(stack, name)]))
    inputs = [helper.make_tensor_value_info("X", real, ["N", stack.n_inputs])]
    found = helper.make_model(
        helper.make_graph(graph.nodes, "dnn", inputs, declared, graph.initializers),
        producer_name="dnn", producer_version=version("dnn-core"), ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )  # fmt: skip
    helper.set_model_props(found, _names(model, stack))
    if path is not None:
        with replacing(path) as (file,):
            file.write(found.SerializeToString())
    return found


def _names(model: Any, stack: Stack) -> dict[str, str]:
    """Return the names of the features and classes, as far as they are known, as lists in JSON."""
    found = {}
    features = getattr(model, "feature_names_in_", None)
    if features is not None:
        found["feature_names"] = json.dumps([str(name) for name in features])
    if stack.classes is not None:
        found["class_names"] = json.dumps([str(label) for label in stack.classes.tolist()])
    return found


def labels_of(stack: Stack) -> np.ndarray:
    """Return the labels of a classifier as ONNX has them: int64, or an array of str.

    Bools are 0 and 1, and floats, which are whole numbers in every classifier, are integers, as in skl2onnx.
    """
    labels = stack.classes
    assert labels is not None
    values = labels.tolist()
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    try:
        numbers = [int(value) for value in values]
        if any(isinstance(value, str) for value in values) or numbers != values:
            raise TypeError
        return np.array(numbers, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"the labels must be strings or whole numbers below 2^63 for ONNX, got {repr(values)[:200]}"
        ) from None


def shape_of(stack: Stack, name: str) -> list[int]:
    """Return the shape of an output of `write`, without the rows."""
    if stack.classes is None:
        return [stack.n_outputs]
    if name == "label" and stack.kind != "multilabel":
        return []
    return [len(stack.classes)]


class Graph:
    """The nodes and constants of a graph that is being written."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._numbers: dict[float, str] = {}

    def name(self, hint: str) -> str:
        """Return a name that is not in use."""
        return f"{hint}_{len(self.nodes)}_{len(self.initializers)}"

    def op(self, kind: str, *inputs: str, **attrs: Any) -> str:
        """Add a node, and return the name of its output."""
        helper = need("onnx.helper", "to_onnx", "onnx")
        output = self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attrs))
        return output

    def constant(self, array: np.ndarray, hint: str) -> str:
        """Add a constant, and return its name."""
        numpy_helper = need("onnx.numpy_helper", "to_onnx", "onnx")
        name = self.name(hint)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        """Return the name of a number of the graph's precision, as a scalar."""
        if value not in self._numbers:
            self._numbers[value] = self.constant(np.array(value, self.dtype), "number")
        return self._numbers[value]

    def formula(self, formula: Formula, z: str, par: tuple[float, ...] = ()) -> str:
        """Write a formula, of z and of the activation's parameter, and return the name of its value."""
        done: dict[Formula, str] = {}

        def value(part: Formula) -> str:
            if part not in done:
                if isinstance(part, Op):
                    attrs: dict[str, Any] = {key: par[0] if item is PAR else item for key, item in part.attrs}
                    done[part] = self.op(part.type, *map(value, part.args), **attrs)
                elif isinstance(part, float):
                    done[part] = self.number(part)
                else:
                    done[part] = self.number(par[0]) if part is PAR else z
            return done[part]

        return value(formula)

    def rename(self, value: str, name: str) -> None:
        """Give the output of a node another name."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if each == value else each for each in names]


def write(graph: Graph, stack: Stack, X: str, raw_scores: bool = False) -> dict[str, str]:
    """Write a stack, and return the names of its outputs and of their values.

    Parameters
    ----------
    graph : Graph
    stack : Stack
    X : str
        The name of the input (N, I), of the graph's precision.
    raw_scores : bool, default False
        Of a classifier the logits in place of the probabilities.
    """
    if stack.kind == "one_class":
        return _one_class(graph, stack, X)
    formulas = written(graph.dtype.name)
    value = X
    for i, layer in enumerate(stack.layers):
        W = graph.constant(layer.W.astype(graph.dtype, copy=False), f"W{i}")
        logits = graph.op("Gemm", value, W, graph.constant(layer.b.astype(graph.dtype, copy=False), f"b{i}"))
        if layer is stack.layers[-1] and stack.classes is not None:
            break
        value = graph.formula(formulas[layer.activation], logits, layer.par)
    if stack.kind == "outputs":
        return {"outputs": value}
    if stack.kind == "quantiles":
        return {"outputs": _sorted_rows(graph, value, stack.n_outputs)}
    if stack.kind == "binary":
        # Not 1 - p, which is 0 where p is nearly 1
        logits = graph.op("Concat", graph.op("Neg", logits), logits, axis=1)
    last = stack.layers[-1]
    scores = logits if raw_scores else graph.formula(formulas[last.activation], logits, last.par)
    if stack.kind == "multilabel":
        above = graph.op("Greater", scores, graph.number(0.0 if raw_scores else 0.5))
        return {"label": graph.op("Cast", above, to=INT64), "probabilities": scores}
    classes = graph.constant(labels_of(stack), "classes")
    best = graph.op("ArgMax", scores, axis=1, keepdims=0)
    return {"label": graph.op("Gather", classes, best), "probabilities": scores}


def _sorted_rows(graph: Graph, value: str, n: int) -> str:
    """Sort each row of n values; NaN in a row becomes NaN in several of its values.

    TopK would be one node, but with 0 rows ONNX Runtime 1.24 and earlier end the process in it.
    """
    for pairs in exchanges(n):
        partner, is_lower = np.arange(n), np.ones(n, bool)
        for low, high in pairs:
            partner[low], partner[high], is_lower[high] = high, low, False
        other = graph.op("Gather", value, graph.constant(partner, "partner"), axis=1)
        smaller, larger = graph.op("Min", value, other), graph.op("Max", value, other)
        value = graph.op("Where", graph.constant(is_lower, "is_lower"), smaller, larger)
    return value


def exchanges(n: int) -> Iterator[list[tuple[int, int]]]:
    """Yield lists of pairs that sort n values, if in each the smaller value goes to the first of the two.

    The pairs of a list have no position in common.

    References
    ----------
    Knuth, The art of computer programming, volume 3, algorithm 5.2.2M (merge exchange, by Batcher).

    Examples
    --------
    >>> list(exchanges(3))
    [[(0, 2)], [(0, 1)], [(1, 2)]]
    """
    top = 1 << max(n - 1, 0).bit_length() >> 1
    p = top
    while p:
        q, r, d = top, 0, p
        while d:
            if pairs := [(i, i + d) for i in range(n - d) if i & p == r]:
                yield pairs
            d, q, r = q - p, q >> 1, p
        p >>= 1


def _one_class(graph: Graph, stack: Stack, X: str) -> dict[str, str]:
    """Write the only label, and the probability 1, for each row."""
    n = graph.op("Gather", graph.op("Shape", X), graph.constant(np.array([0]), "first"))
    classes = graph.constant(labels_of(stack), "classes")
    shape = graph.op("Concat", n, graph.constant(np.array([1]), "one"), axis=0)
    return {
        "label": graph.op("Expand", classes, n),
        "probabilities": graph.op("Expand", graph.number(1.0), shape),
    }


# For skl2onnx

_registered: set[str] = set()


def register() -> bool:
    """Make the estimators known to skl2onnx, also in pipelines; return whether they were not before.

    Estimators do so themselves when they are fitted or unpickled after skl2onnx was imported. Options of a
    classifier are zipmap, output_class_labels, nocl and raw_scores: see skl2onnx.

    Raises
    ------
    ImportError
        Without the package skl2onnx: ``pip install 'dnn-core[skl2onnx]'``.

    Examples
    --------
    >>> first = register()
    >>> register()
    False
    """
    if _registered:
        return False
    skl2onnx = need("skl2onnx", "register", "skl2onnx")
    from ..estimators.classifier import MLPClassifier
    from ..estimators.regressor import MLPRegressor

    options: dict[str, list[Any]] = {
        name: [True, False] for name in ("output_class_labels", "nocl", "raw_scores")
    }
    options["zipmap"] = [True, False, "columns"]
    add = skl2onnx.update_registered_converter
    add(MLPClassifier, "DnnMLPClassifier", _classifier_shapes, _convert_classifier, options=options)
    add(MLPRegressor, "DnnMLPRegressor", _regressor_shapes, _convert_regressor)
    _registered.add("skl2onnx")
    return True


class _ContainerGraph(Graph):
    """A graph that is written into what skl2onnx has so far."""

    def __init__(self, scope: Any, container: Any, dtype: np.dtype[Any]) -> None:
        super().__init__(dtype)
        self.scope, self.container = scope, container

    def name(self, hint: str) -> str:
        found: str = self.scope.get_unique_variable_name(hint)
        return found

    def op(self, kind: str, *inputs: str, **attrs: Any) -> str:
        output, name = self.name(kind.lower()), self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, list(inputs), [output], name=name, **attrs)
        return output

    def constant(self, array: np.ndarray, hint: str) -> str:
        onnx = need("onnx", "to_onnx", "onnx")
        name = self.name(hint)
        if array.dtype == object:
            content = [label.encode() for label in array]
            self.container.add_initializer(name, onnx.TensorProto.STRING, array.shape, content)
        else:
            self.container.add_initializer(name, None, None, onnx.numpy_helper.from_array(array, name))
        return name


def _precision(operator: Any) -> tuple[np.dtype[Any], Any]:
    """Return the precision in which an operator is computed, float64 for such inputs only, and its type."""
    types = need("skl2onnx.common.data_types", "register", "skl2onnx")
    double = isinstance(operator.inputs[0].type, types.DoubleTensorType)
    return (
        (np.dtype(np.float64), types.DoubleTensorType)
        if double
        else (np.dtype(np.float32), types.FloatTensorType)
    )


def _stack_for(scope: Any, model: Any) -> Stack:
    """Return the stack of an estimator, with the labels that the options of skl2onnx ask for."""
    stack = stack_of(model)
    if stack.classes is None:
        return stack
    found = need("skl2onnx.common.utils_classifier", "register", "skl2onnx").get_label_classes(scope, model)
    return replace(stack, classes=found)


def _classifier_shapes(operator: Any) -> None:
    types = need("skl2onnx.common.data_types", "register", "skl2onnx")
    stack = _stack_for(operator.scope_inst, operator.raw_operator)
    n = operator.inputs[0].get_first_dimension()
    whole = stack.kind == "multilabel" or labels_of(stack).dtype == np.int64
    kinds = [types.Int64TensorType if whole else types.StringTensorType, _precision(operator)[1]]
    for output, kind, name in zip(operator.outputs, kinds, ("label", "probabilities"), strict=True):
        output.set_type(kind([n, *shape_of(stack, name)]))


def _regressor_shapes(operator: Any) -> None:
    n, stack = operator.inputs[0].get_first_dimension(), stack_of(operator.raw_operator)
    operator.outputs[0].set_type(_precision(operator)[1]([n, stack.n_outputs]))


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    raw = container.get_options(operator.raw_operator, {"raw_scores": False})["raw_scores"]
    _convert(scope, operator, container, raw)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    _convert(scope, operator, container, False)


def _convert(scope: Any, operator: Any, container: Any, raw_scores: bool) -> None:
    """Write an estimator into a container, and its outputs under the names that are declared."""
    onnx = need("onnx", "to_onnx", "onnx")
    graph = _ContainerGraph(scope, container, _precision(operator)[0])
    to = onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)
    X = graph.op("Cast", operator.inputs[0].full_name, to=to)
    values = write(graph, _stack_for(scope, operator.raw_operator), X, raw_scores)
    for value, output in zip(values.values(), operator.outputs, strict=True):
        name = scope.get_unique_operator_name("Identity")
        container.add_node("Identity", [value], [output.full_name], name=name)
