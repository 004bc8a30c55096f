"""An optimizer with its state for the parameters of one network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks as checks
from .. import _core, optimizers, schedules
from ..data import arrays as data
from .write_lock import WriteLock

if TYPE_CHECKING:
    from ..network import Network


class OptimizerState:
    """An optimizer with its state for one network, made by `Network.optimizer`, for custom training loops.

    Attributes
    ----------
    spec : SGD or Adam
    slots : ndarray (n_slots, P)
        The state: no vector for plain gradient descent, one with momentum, two for Adam.
    n_steps : int
        Number of updates done.
    params : ndarray (P,)
        The parameters of the network, which it updates.
    net : Network
        The network. If both are pickled or copied together, as ``pickle.dumps((net, state))``, they stay
        together; a state alone takes its network with it, and ``copy.copy(state)`` keeps the same network.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import SGD, Network
    >>> net = Network([2, 1], init="zeros")
    >>> descent = net.optimizer(SGD(0.5))
    >>> out, cache = net.forward([[1.0, 2.0]])
    >>> grad, _ = net.backward(cache, out - 1, wrt="params")
    >>> descent.step(grad)
    >>> net.params.tolist()
    [0.5, 1.0, 0.5]
    """

    def __init__(self, spec: optimizers.Optimizer, net: Network, lock: WriteLock) -> None:
        self.spec = spec
        self.net = net
        # What a step needs of the network; looking it up takes as long as a small step
        self._target: tuple[_core.Plan, np.ndarray, WriteLock] | None = (net.plan, net.params, lock)
        self.info = _core.OPTIMIZERS[spec.kernel]
        self.hyper = spec.hyper
        self.weight_decay = float(getattr(spec, "weight_decay", 0.0))
        self.slots = _core.zeros((self.info.n_slots, net.n_params), net.dtype)
        self.n_steps = 0
        self.schedule = schedules.schedule_of(spec.rate).start()
        # A rate that never changes is kept, as calling its schedule takes as long as a small step
        self._fixed = self.schedule.rate if isinstance(self.schedule, schedules.Constant) else None
        # Of dropout: drawn by the first fit, so that a run in pieces has the same masks
        self.seed: int | None = None

    @property
    def params(self) -> np.ndarray:
        """The parameters (P,) of the network, which it updates."""
        return self.net.params

    def __copy__(self) -> OptimizerState:
        return copy.deepcopy(self, {id(self.net): self.net})

    def __getstate__(self) -> dict[str, Any]:
        return {name: item for name, item in vars(self).items() if name not in ("info", "_target")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.info = _core.OPTIMIZERS[self.spec.kernel]
        self._target = None  # a network that holds this state is not complete yet
        self.slots = _core.zeros(state["slots"].shape, state["slots"].dtype)  # aligned
        self.slots[:] = state["slots"]

    def step(self, grad: np.ndarray, rate: float | None = None) -> None:
        """Do one update of the network's parameters, in place.

        Parameters
        ----------
        grad : ndarray (P,)
            The gradient, as `backward` and `loss_and_gradient` return it.
        rate : float, default None
            The rate of this step; None: that of the spec, whose schedule counts each step as an epoch here.

        Raises
        ------
        RuntimeError
            If the network is in training in another thread.
        """
        plan, params, lock = self._target or self._find_target()
        if type(grad) is not np.ndarray or grad.shape != params.shape:
            if np.shape(grad) != params.shape:
                raise ValueError(f"grad must have shape {params.shape}, got {np.shape(grad)}")
            grad = data.converted(grad, params.dtype, "grad")
        elif grad.dtype != params.dtype or not (grad.flags.c_contiguous and grad.flags.aligned):
            grad = data.converted(grad, params.dtype, "grad")
        if rate is None and self._fixed is not None:
            rate = self._fixed
        elif rate is None:
            rate = float(self.schedule.rates(self.n_steps, 1, 1)[0])
        else:
            rate = checks.check_real("rate", rate, 0.0)
        with lock.writing("step"):
            args = optimizer_args(self, frozen_of(self.net))
            _core.update(plan, params, grad, args, rate, self.n_steps + 1)
            self.n_steps += 1

    def _find_target(self) -> tuple[_core.Plan, np.ndarray, WriteLock]:
        """Return what a step needs of the network, which a state that was unpickled does not know yet."""
        target = self.net.optimizer(self.spec)._target
        assert target is not None
        self._target = target
        return target


def lock_of(optimizer: OptimizerState) -> WriteLock:
    """Return the lock of the network of a state."""
    return (optimizer._target or optimizer._find_target())[2]


def optimizer_args(
    optimizer: OptimizerState,
    frozen: np.ndarray | None,
    clip_norm: float = 0.0,
    mean: np.ndarray | None = None,
    mean_rate: float = 0.0,
) -> _core.OptimizerArgs:
    """Return an optimizer and its state as the core takes them."""
    # By position: with names it takes 0.3 us more, a tenth of a small step
    return _core.OptimizerArgs(
        optimizer.info.index, optimizer.hyper, optimizer.slots, optimizer.weight_decay, clip_norm, mean,
        mean_rate, frozen,
    )  # fmt: skip


def freeze(self: Network, *layers: int) -> None:
    """Exclude these layers, and no others, from training; without arguments train all layers.

    Gradients flow through frozen layers, and `backward` and `loss_and_gradient` include them.

    Parameters
    ----------
    *layers : int
        Indices of layers from 0; negative ones count from the end.

    Examples
    --------
    >>> from dnn import Network
    >>> net = Network([4, 8, 8, 1])
    >>> net.freeze(0, 1)
    >>> net.frozen
    (True, True, False)
    """
    n, given = len(self.layers), list[Any](layers)
    for layer in given:
        whole = isinstance(layer, (int, np.integer)) and not isinstance(layer, bool)
        if not whole or layer not in range(-n, n):
            raise ValueError(f"freeze must be given layers 0 .. {n - 1}, got {layer!r}")
    vars(self)["frozen"] = tuple(i in layers or i - n in layers for i in range(n))


def frozen_of(net: Network) -> np.ndarray | None:
    """Return which layers are frozen (L,), as the core reads it, or None for none."""
    return np.array(net.frozen, np.uint8) if any(net.frozen) else None
