"""Networks from ONNX graphs: stacks of dense layers and activations, read from the output to the input."""

from __future__ import annotations

import math
import os
from itertools import permutations, product
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .._optional import need
from ..files import ModelFormatError
from ..layers import ELU, OUTPUTS, Activation, Dense, LeakyReLU, activation_of
from ..network import Network
from .formulas import PAR, Formula, Leaf, Op, Z, op, recognized

# What an attribute means that is not there
DEFAULTS: dict[tuple[str, str], Any] = {
    ("Elu", "alpha"): 1.0,
    ("Gelu", "approximate"): "none",
    ("LeakyRelu", "alpha"): 0.01,
    ("Selu", "alpha"): 1.6732632423543772,
    ("Selu", "gamma"): 1.0507009873554805,
    ("Softmax", "axis"): 1,
    ("Swish", "alpha"): 1.0,
}
KINDS: dict[str, Any] = {"leaky_relu": LeakyReLU, "elu": ELU}
OLDEST_OPSET = 7  # from which on Add and Gemm broadcast as NumPy does
COMMUTE = {"Add", "Mul", "Max", "Min"}
FLOATS = {1: np.float32, 11: np.float64}  # members of onnx.TensorProto
# The two probabilities of a binary classifier, from the second or from its logit
BOTH = op("Concat", op("Sub", 1.0, Z), Z, axis=1)
BOTH_LOGITS = op("Sigmoid", op("Concat", op("Neg", Z), Z, axis=1))
UNKNOWN = "is not a dense layer or an activation that dnn has"
REASONS = {
    "LogSoftmax": "gives logarithms of probabilities, which no network of dnn does: export the model with "
    "softmax, or without it",
}


def from_onnx(source: Any) -> Network:
    """Return the network that an ONNX model describes: a stack of dense layers and activations.

    Layers may be written as Gemm, as MatMul with or without Add, and each activation of dnn as `to_onnx`,
    skl2onnx, PyTorch and Keras write it. Cast, Dropout, Flatten, Identity and Reshape that change nothing are
    left out. Of a classifier the outputs are the probabilities; of a binary one with two columns the network
    has one output, the probability of the second class.

    Parameters
    ----------
    source : path or onnx.ModelProto
        Weights that are stored apart from the model must be in a file in the same folder.

    Returns
    -------
    Network
        float64 if a weight is float64, otherwise float32.

    Raises
    ------
    ImportError
        Without the package onnx: ``pip install 'dnn-core[onnx]'``.
    ModelFormatError
        A ValueError: if the file is no valid ONNX model, is damaged, or of an opset before 7.
    ValueError
        If it is not such a stack; names the node, its operator and the reason.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Network, from_onnx
    >>> net = Network([4, 8, 3], activation="gelu", output="softmax", random_state=0)
    >>> same = from_onnx(net.to_onnx())
    >>> same.layers == net.layers, np.array_equal(same.params, net.params)
    (True, True)
    """
    onnx = need("onnx", "from_onnx", "onnx")
    if isinstance(source, onnx.ModelProto):
        model = source
    elif isinstance(source, (str, os.PathLike)):
        model = _load(onnx, Path(source))
    else:
        raise TypeError(f"source must be a path or an onnx.ModelProto, got {type(source).__name__}")
    try:
        onnx.checker.check_model(model)  # the graph has no circles after this
        opset = min(
            (each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0
        )
        if opset < OLDEST_OPSET:
            raise ModelFormatError(f"source must be of opset {OLDEST_OPSET} or newer, got opset {opset}")
        return _Reader(onnx, model.graph).network()
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"source must be a valid ONNX model: {str(error).strip()}") from None
    except RecursionError:
        raise ValueError(
            "source must be a stack of dense layers, got a graph that is nested too deeply"
        ) from None


def _load(onnx: Any, path: Path) -> Any:
    """Return the model in a file, with weights from other files of its folder, and from nowhere else."""
    content = path.read_bytes()
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # of protobuf, which may be another package's
        raise ModelFormatError(f"{path} is not an ONNX model: {error}") from None
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        name = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        place = path.parent / name
        if Path(name).name != name or place.is_symlink() or not place.is_file():
            raise ModelFormatError(f"{path} has weights in {name!r}, which must be a file in the same folder")
        try:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT  # its values are in raw_data now
            del tensor.external_data[:]
            onnx.numpy_helper.to_array(tensor)  # raises where the file is too short
        except Exception as error:
            raise ModelFormatError(f"{path} has weights in {name!r}, which cannot be read: {error}") from None
    return model


def _refuse(node: Any, why: str) -> NoReturn:
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    name = repr(node.name) if node.name else f"of {node.output[0]!r}"
    raise ValueError(f"the ONNX model has no counterpart in dnn: node {name} ({kind}) {why}")


class _Reader:
    """A valid graph, read from its output to its input.

    Parameters
    ----------
    onnx : module
    graph : onnx.GraphProto
    """

    def __init__(self, onnx: Any, graph: Any) -> None:
        self.onnx, self.graph = onnx, graph
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.nodes = {name: node for node in graph.node for name in node.output}
        self.inputs = {each.name: each for each in graph.input if each.name not in self.tensors}
        self.known: dict[tuple[int, str], set[tuple[str | None, float | None]]] = {}
        self.reshaped: list[tuple[int, Any]] = []  # features that a Reshape asks for

    def network(self) -> Network:
        """Return the network."""
        value = self._through(self._output())
        layers: list[tuple[np.ndarray, np.ndarray, Activation, Any]] = []
        activation: Activation
        second = self._bindings(BOTH, value) | self._bindings(BOTH_LOGITS, value)
        is_logit = not self._bindings(BOTH, value)
        n_next = 1 if second else None
        for z, _ in second:
            value = z or value
        while value not in self.inputs:
            if second and is_logit and not layers:
                z, activation, node = value, "sigmoid", self.nodes.get(value)
            else:
                z, activation, node = self._activation(value)
            source, W, b, dense = self._dense(self._through(z), node)
            self._check_width(len(b))
            if n_next not in (None, len(b)):
                _refuse(dense, f"must give {n_next} columns, which is what follows takes, got {len(b)}")
            layers.insert(0, (W, b, activation, node))
            value, n_next = self._through(source), len(W)
        return self._built(layers, value)

    def _built(self, layers: list[tuple[np.ndarray, np.ndarray, Activation, Any]], value: str) -> Network:
        """Return the network of layers that begin with an input of the graph."""
        if not layers:
            raise ValueError("the ONNX model must have a dense layer, found none before its output")
        n_inputs = len(layers[0][0])
        self._check_width(n_inputs)
        if self.inputs[value].type.tensor_type.HasField("shape"):
            shape = [dim.dim_value for dim in self.inputs[value].type.tensor_type.shape.dim]
            if len(shape) != 2 or shape[1] not in (0, n_inputs):  # 0: any number
                raise ValueError(
                    f"the ONNX model must take (N, {n_inputs}), its input {value!r} has the shape {shape}"
                )
        for *_, activation, node in layers[:-1]:
            if activation == "softmax":
                _refuse(node, "is a softmax between layers, which dnn does not have")
        if Dense(1, layers[-1][2]).info.name not in OUTPUTS:
            _refuse(layers[-1][3], f"is the output activation, which must be one of {', '.join(OUTPUTS)}")
        if layers[-1][2] == "softmax" and len(layers[-1][1]) == 1:
            _refuse(layers[-1][3], "is a softmax of one unit, which is always 1")
        wide = any(array.dtype == np.float64 for W, b, *_ in layers for array in (W, b))
        return Network(
            n_inputs, [Dense(len(b), activation) for _, b, activation, _ in layers],
            init=[(W, b) for W, b, *_ in layers], dtype="float64" if wide else "float32",
        )  # fmt: skip

    def _output(self) -> str:
        """Return the name of the only output of real numbers; of ZipMap of what it is made of."""
        found = []
        for output in self.graph.output:
            node = self.nodes.get(output.name)
            if node is not None and node.op_type == "ZipMap":
                found.append(node.input[0])
            elif output.type.tensor_type.elem_type in FLOATS:
                found.append(output.name)
        if len(found) != 1:
            names = [output.name for output in self.graph.output]
            raise ValueError(
                f"the ONNX model must have one output of real numbers, found {len(found)} among {names}"
            )
        name: str = self._same(found[0])
        return name

    # Nodes that change nothing

    def _same(self, name: str) -> str:
        """Return the name of the value before Identity, Dropout and Cast to a real type."""
        while (node := self.nodes.get(name)) is not None:
            kind = node.op_type
            training = kind == "Dropout" and len(node.input) > 2 and node.input[2]
            if name != node.output[0] or training or node.domain not in ("", "ai.onnx"):
                break
            if kind not in ("Identity", "Dropout") and not (
                kind == "Cast" and self._attrs(node)["to"] in FLOATS
            ):
                break
            name = node.input[0]
        return name

    def _through(self, name: str) -> str:
        """Return the name of the value before these, and before Flatten and Reshape to (N, features)."""
        while (node := self.nodes.get(name := self._same(name))) is not None:
            if node.op_type == "Flatten" and self._attrs(node).get("axis", 1) in (1, -1):
                name = node.input[0]
                continue
            shape = self._constant(node.input[1]) if node.op_type == "Reshape" else None
            if shape is None:
                break
            if shape.shape != (2,) or shape[0] not in (0, -1) or (shape[1] < 1 and shape[0] == -1):
                _refuse(node, f"must be to (N, features), got {shape.tolist()}")
            if shape[1] > 0:
                self.reshaped.append((int(shape[1]), node))
            name = node.input[0]
        return name

    def _check_width(self, n: int) -> None:
        """Raise if a Reshape of a value of n features asks for another number."""
        for features, node in self.reshaped:
            if features != n:
                _refuse(node, f"must keep the {n} features, got {features}")
        self.reshaped.clear()

    # Layers

    def _activation(self, value: str) -> tuple[str, Activation, Any]:
        """Return the pre-activations of a value, the activation, and the last node that computes it."""
        node = self.nodes.get(value)
        if node is None:
            raise ValueError(f"the ONNX model must compute its output, {value!r} is a constant")
        for name, form in recognized():
            for z, par in self._bindings(form, value):
                if z is None:
                    continue
                try:
                    default = activation_of(name)[1]
                    return z, name if par is None or (par,) == default else KINDS[name](par), node
                except ValueError as error:
                    _refuse(node, f"has a parameter that dnn does not take: {error}")
        return value, "identity", node

    def _dense(self, value: str, after: Any) -> tuple[str, np.ndarray, np.ndarray, Any]:
        """Return the input of a dense layer, W (n_in, n_out), b (n_out,) and its node."""
        node = self.nodes.get(value)
        if node is None:
            _refuse(after, "must follow a dense layer")
        if node.domain not in ("", "ai.onnx"):
            _refuse(node, UNKNOWN)
        if node.op_type == "Gemm":
            attrs = self._attrs(node)
            if attrs.get("transA", 0):
                _refuse(node, "must not have transA")
            W = self._weights(node, node.input[1])
            W = attrs.get("alpha", 1.0) * (W.T if attrs.get("transB", 0) else W)
            bias = node.input[2] if len(node.input) > 2 else ""
            b = attrs.get("beta", 1.0) * self._weights(node, bias) if bias else np.zeros(1, W.dtype)
            return node.input[0], *self._pair(node, W, b), node
        matmul, b = node, np.zeros(1, np.float32)
        if node.op_type == "Add":
            for name, other in permutations(node.input):
                inner = self.nodes.get(self._same(name))
                if inner is not None and inner.op_type == "MatMul" and self._constant(other) is not None:
                    matmul, b = inner, self._weights(node, other)
        if matmul.op_type != "MatMul":
            _refuse(node, REASONS.get(node.op_type, UNKNOWN))
        W = self._weights(matmul, matmul.input[1])
        return matmul.input[0], *self._pair(matmul, W, b), matmul

    def _weights(self, node: Any, name: str) -> np.ndarray:
        found = self._constant(name)
        if found is None:
            _refuse(node, f"must have constant weights, {name!r} is computed or not in the file")
        if found.dtype not in (np.float32, np.float64):
            _refuse(node, f"must have weights of float32 or float64, got {found.dtype}")
        if not np.isfinite(found).all():
            _refuse(node, f"must have finite weights, {name!r} has others")
        return found

    def _pair(self, node: Any, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return W and b (n_out,), with the shapes checked."""
        if W.ndim != 2 or not W.size:
            _refuse(node, f"must have a matrix of weights, got shape {W.shape}")
        n = W.shape[1]
        if b.shape not in ((), (1,), (n,), (1, 1), (1, n)):
            _refuse(node, f"must have a bias of shape ({n},), got {b.shape}")
        return W, np.broadcast_to(b.ravel(), (n,))

    # Values

    def _attrs(self, node: Any) -> dict[str, Any]:
        """Return the attributes of a node; strings as str."""
        found = {each.name: self.onnx.helper.get_attribute_value(each) for each in node.attribute}
        return {name: item.decode() if isinstance(item, bytes) else item for name, item in found.items()}

    def _constant(self, name: str) -> np.ndarray | None:
        """Return the value of a constant, or None where it is none."""
        node = self.nodes.get(name)
        if name in self.tensors:
            return self._array(self.tensors[name])
        if node is None or node.domain not in ("", "ai.onnx"):
            return None
        attrs = self._attrs(node)
        if node.op_type == "Constant":
            for key, item in attrs.items():
                if key == "value":
                    return self._array(item)
                if key in ("value_float", "value_floats"):
                    return np.array(item, np.float32)
                if key in ("value_int", "value_ints"):
                    return np.array(item, np.int64)
        if node.op_type in ("Identity", "Cast", "Transpose"):
            found = self._constant(node.input[0])
            if found is None or node.op_type == "Identity":
                return found
            if node.op_type == "Cast":
                return found.astype(FLOATS[attrs["to"]]) if attrs["to"] in FLOATS else None
            return found.transpose(attrs.get("perm"))
        return None

    def _array(self, tensor: Any) -> np.ndarray:
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            raise ValueError(f"the weights {tensor.name!r} are in another file: give the path of the model")
        try:
            found: np.ndarray = self.onnx.numpy_helper.to_array(tensor)
        except Exception as error:
            raise ModelFormatError(f"the weights {tensor.name!r} are damaged: {error}") from None
        return found

    def _bindings(self, formula: Formula, name: str) -> set[tuple[str | None, float | None]]:
        """Return the pairs (z, parameter) with which a value is that of a formula."""
        name = self._same(name)
        if (id(formula), name) not in self.known:
            self.known[id(formula), name] = self._find_bindings(formula, name)
        return self.known[id(formula), name]

    def _find_bindings(self, formula: Formula, name: str) -> set[tuple[str | None, float | None]]:
        if formula is Z:
            return {(name, None)}
        if not isinstance(formula, Op):
            value = self._constant(name)
            if value is None or value.size != 1:
                return set()
            number = float(value.ravel()[0])
            if isinstance(formula, Leaf):
                return {(None, number)}
            return {(None, None)} if math.isclose(number, formula, rel_tol=1e-6) else set()
        node = self.nodes.get(name)
        if node is None or node.op_type != formula.type or node.domain not in ("", "ai.onnx"):
            return set()
        start = self._attribute_binding(formula, node)
        names = [each for each in node.input if each]
        if start is None or len(names) != len(formula.args):
            return set()
        found: set[tuple[str | None, float | None]] = set()
        for order in {tuple(names), tuple(reversed(names)) if formula.type in COMMUTE else tuple(names)}:
            sets = [self._bindings(part, each) for part, each in zip(formula.args, order, strict=True)]
            for pairs in product({start}, *sets):
                zs, pars = (
                    {item for item in column if item is not None} for column in zip(*pairs, strict=True)
                )
                if len(zs) <= 1 and len(pars) <= 1:
                    found.add((next(iter(zs), None), next(iter(pars), None)))
        return found

    def _attribute_binding(self, formula: Op, node: Any) -> tuple[None, float | None] | None:
        """Return (None, parameter) if the attributes of a node are those of a formula, and None otherwise."""
        attrs, par = self._attrs(node), None
        wanted = dict(formula.attrs)
        if not set(attrs) <= set(wanted):
            return None
        for key, item in wanted.items():
            value = attrs.get(key, DEFAULTS.get((formula.type, key)))
            if item is PAR:
                par = None if value is None else float(str(np.float32(value)))  # 0.7, not 0.69999998
            elif isinstance(item, float):
                if value is None or not math.isclose(value, item, rel_tol=1e-6):
                    return None
            elif value != item and not (key == "axis" and value == item - 2):
                return None
        return None, par
