"""Models of PyTorch: `dnn.from_torch` reads them, `Network.to_torch` writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._optional import need
from ..layers import ELU, LeakyReLU, activation_of
from ..network import Network
from .chain import Chain, kind_of, refuse

if TYPE_CHECKING:
    from ..estimators.base import BaseMLP

_ACTIVATIONS = {
    "Mish": "mish",
    "ReLU": "relu",
    "SELU": "selu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
}
_SUPPORTED = (
    *("Sequential", "Linear", "BatchNorm1d", "Dropout", "Flatten", "Identity"),
    *("ELU", "GELU", "LeakyReLU", "Softmax", "Softplus", *_ACTIVATIONS),
)


def from_torch(module: Any) -> Network:
    """Return a network that computes what a module of PyTorch computes in evaluation mode.

    Only attributes of the module are read; none of its code is run, and it is not changed.

    Parameters
    ----------
    module : torch.nn.Sequential, or another module that is named here
        Of Linear, with or without bias, BatchNorm1d, Dropout, Identity, Sequential, Flatten, and the
        activations ELU, GELU (both forms), LeakyReLU, Mish, ReLU, SELU, SiLU, Sigmoid, Softmax, Softplus and
        Tanh, in any order.

    Returns
    -------
    Network
        In float64 if a weight of the module is, otherwise in float32; independent of the module.
        BatchNorm1d is folded into a Linear beside it; dropout between the two then drops the inputs of the
        normalization. A part that no Linear can take, such as a ReLU at the end, gets an additional layer,
        whose W is diagonal.

    Raises
    ------
    ValueError
        For a module that cannot become a part of a network; the error begins with its path, such as
        ``module[3].act``. LogSoftmax is not supported; Softmax can replace it, because dnn computes log_loss
        from the logits. Modules with hooks or parametrizations are refused, because these may change what a
        module computes.
    TypeError
        For anything that is not a module.

    Examples
    --------
    >>> from torch import nn  # doctest: +SKIP
    >>> import dnn
    >>> module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))  # doctest: +SKIP
    >>> dnn.from_torch(module)  # doctest: +SKIP
    Network([4, 8, 1], activation=['relu'], output='identity', dropout=[0.0, 0.2], dtype='float32')
    """
    if not hasattr(module, "forward"):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    chain = Chain()
    _append(chain, module, "module")
    return chain.network("module")


def _append(chain: Chain, module: Any, where: str) -> None:
    """Append a module, with all that is in it, to a chain."""
    for hooks in ("_forward_hooks", "_forward_pre_hooks", "parametrizations"):
        if getattr(module, hooks, None):
            refuse(where, f"{type(module).__name__} must not have {hooks.strip('_').replace('_', ' ')}")
    kind = kind_of(module, "forward")
    if kind == "Sequential":
        # Not children(), which leaves out a module that is there for the second time
        for name, child in module._modules.items():
            _append(chain, child, f"{where}[{name}]" if name.isdigit() else f"{where}.{name}")
    elif kind == "Linear":
        bias = None if module.bias is None else _array(module.bias, where)
        chain.affine(_array(module.weight, where).T, bias, where)
    elif kind in ("BatchNorm1d", "_BatchNorm"):
        chain.scale(*_normalization(module, where), where)
    elif kind == "Dropout":
        chain.dropout(module.p, where)
    elif kind != "Identity" and not _is_flat(module, kind):
        chain.activation(_activation(module, kind, where), where)


def _activation(module: Any, kind: str, where: str) -> Any:
    """Return the activation of dnn that a module is."""
    try:
        if kind == "LeakyReLU":
            return LeakyReLU(module.negative_slope)
        if kind == "ELU":
            return ELU(module.alpha)
    except (TypeError, ValueError) as error:
        refuse(where, f"{kind}: {error}")
    if kind == "GELU":
        return "gelu_tanh" if module.approximate == "tanh" else "gelu"
    # Above the threshold PyTorch returns z, which differs by exp(-threshold)
    if kind == "Softplus" and module.beta == 1 and module.threshold >= 20:
        return "softplus"
    # None is the axis of the columns for inputs with two axes
    if kind == "Softmax" and module.dim in (1, -1, None):
        return "softmax"
    if kind not in _ACTIVATIONS:
        hint = "; use Softmax: dnn computes log_loss from the logits" if kind == "LogSoftmax" else ""
        what = f"{module!r}".partition("\n")[0] if kind in _SUPPORTED else type(module).__name__
        refuse(where, f"{what} is not supported, only {', '.join(_SUPPORTED)}{hint}")
    return _ACTIVATIONS[kind]


def _is_flat(module: Any, kind: str) -> bool:
    """Return whether a module is a Flatten that leaves rows as they are."""
    return kind == "Flatten" and {module.start_dim, module.end_dim} <= {1, -1}


def _normalization(module: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift of a BatchNorm1d in evaluation mode."""
    if module.running_mean is None or module.running_var is None:
        refuse(where, "BatchNorm1d must have running statistics, got track_running_stats=False")
    mean, var = (_array(each, where) for each in (module.running_mean, module.running_var))
    scale = 1 / np.sqrt(var.astype(np.float64) + module.eps)
    if module.weight is not None:
        scale = scale * _array(module.weight, where)
    shift = -mean * scale
    if module.bias is not None:
        shift = shift + _array(module.bias, where)
    return scale, shift


def _array(tensor: Any, where: str) -> np.ndarray:
    """Return a tensor, from any device, as an array: float64 stays, all else becomes float32."""
    if not hasattr(tensor, "detach") or type(tensor).__name__ == "UninitializedParameter":
        refuse(where, f"parameters must be tensors with a shape, got a {type(tensor).__name__}")
    tensor = tensor.detach().cpu()
    array: np.ndarray = (tensor if tensor.itemsize == 8 else tensor.float()).numpy()
    return array


def to_torch(model: Network | BaseMLP) -> Any:
    """Return a module of PyTorch, which `Network.to_torch` describes."""
    torch = need("torch", "to_torch", "torch")
    net = model if isinstance(model, Network) else model.network_
    modules = []
    for i, (dense, rate, W, b) in enumerate(
        zip(net.layers, net.dropout, net.weights, net.biases, strict=True)
    ):
        if rate:
            modules.append(torch.nn.Dropout(rate))
        # "meta": without memory, and without weights drawn from PyTorch's random numbers
        linear = torch.nn.Linear(*W.shape, device="meta")
        linear.weight = torch.nn.Parameter(torch.from_numpy(W.T.copy()))
        linear.bias = torch.nn.Parameter(torch.from_numpy(b.copy()))
        modules.append(linear)
        name, par = activation_of(dense.activation)
        if name == "exp":
            raise ValueError(
                f"to_torch does not support the activation exp of layers[{i}]: torch.nn has none"
            )
        modules += _MODULES[name](torch.nn, *par)
    return torch.nn.Sequential(*modules).eval()


_MODULES: dict[str, Callable[..., list[Any]]] = {
    "identity": lambda nn: [],
    "leaky_relu": lambda nn, slope: [nn.LeakyReLU(slope)],
    "elu": lambda nn, alpha: [nn.ELU(alpha)],
    "gelu": lambda nn: [nn.GELU()],
    "gelu_tanh": lambda nn: [nn.GELU("tanh")],
    # Above the threshold PyTorch returns z; above its default of 20 that is wrong in float64
    "softplus": lambda nn: [nn.Softplus(threshold=40)],
    "softmax": lambda nn: [nn.Softmax(dim=-1)],
    **{name: lambda nn, kind=kind: [getattr(nn, kind)()] for kind, name in _ACTIVATIONS.items()},
}
