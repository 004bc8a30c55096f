"""The network: its layers, its parameters in one vector with views, and everything that users do with it."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np

from . import _checks as checks
from . import _core, initializers, optimizers
from .cache import Cache
from .data import arrays as data
from .exports import Exports
from .layers import Activation, Dense, Dropout, activation_of, layers_of
from .losses import Loss
from .predictor import Predictor
from .summary import draw, one_line, summary
from .training import lbfgs, loop
from .training.history import History
from .training.optimizer_state import OptimizerState, freeze
from .training.options import Callback, FitOptions, callbacks_of
from .training.order import order_of
from .training.problem import Problem, loss_and_gradient, losses
from .training.resume import checkpoint_of
from .training.stream import StreamRun, check_schedule, problem_of
from .training.validation import validation_loss
from .training.write_lock import WriteLock

_ADAM = optimizers.Adam(1e-3)
_BUILT = {"_biases", "_plan", "_predictor", "_weights", "_write_lock"}  # made by `_build`
_FIXED = {"dropout", "dtype", "frozen", "layers", "n_inputs", "n_outputs"}  # cannot be assigned to


class Network(Exports):
    """A dense network: layers of ``A = f(A_prev @ W + b)``, rows are examples.

    Parameters
    ----------
    layers : list of int, or int
        Sizes, inputs first and outputs last: ``[784, 128, 10]``; ``[n, m]`` is linear or logistic regression.
        Or the number of inputs, followed by the layers: ``Network(784, [Dense(128, "relu"), Dense(10,
        "softmax")])``.
    activation : str or list of str, default "relu"
        Activation of all hidden layers, or one for each: see `Dense`.
    output : str, default "identity"
        Activation of the last layer: identity (regression), sigmoid (yes or no, one unit or several), softmax
        (one class of several), exp or softplus (positive values), tanh.
    dropout : float or list of float in [0, 1), default 0
        Share of the outputs of each hidden layer that is dropped in training; or one rate for the inputs of
        each layer, beginning with the inputs of the network.
    init : str or initializer, default "auto"
        The first weights: "zeros", "normal" (times 0.01), "xavier", "he", "lecun", an object such as
        ``Normal(0.1)``, or a list with one for each layer; "auto" is He before relu-like activations, LeCun
        before selu, and Xavier otherwise. Biases are 0.
    dtype : "float32" or "float64", default "float32"
        Precision of parameters and of everything computed; float32 takes half the time and memory.
    random_state : None, int, Generator or RandomState, default None
        Source of the first weights, then of the order of rows in `fit`: one seed fixes everything.

    Attributes
    ----------
    params : ndarray (P,)
        All parameters in one vector, layer by layer: W (n_in, n_out) by rows, then b (n_out,). They are
        trained in place, and may be written at any time between calls, but never replaced.
    weights, biases : tuple of ndarray
        Views of params: W (n_in, n_out) and b (n_out,) of each layer.
    layers : tuple of Dense
    dropout : tuple of float
        Rate before each layer.
    frozen : tuple of bool
        Whether `fit` and `step` leave a layer unchanged; set by `freeze`.
    n_inputs, n_outputs, n_params : int
    dtype : numpy.dtype

    Raises
    ------
    TypeError, ValueError
        For sizes below 1, unknown names, or a softmax of one unit.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Network
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> y = np.array([0, 1, 1, 0])
    >>> net = Network([2, 8, 1], activation="tanh", output="sigmoid", random_state=0)
    >>> history = net.fit(X, y, optimizer="adam", epochs=2000, batch_size=None)
    >>> net.predict(X).round().ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        layers: Sequence[int] | int,
        spec: Sequence[Dense | Dropout] | None = None,
        /,
        *,
        activation: Activation | Sequence[Activation] = "relu",
        output: Activation = "identity",
        dropout: float | Sequence[float] = 0.0,
        init: str | initializers.Initializer | Iterable[Any] = "auto",
        dtype: str | np.dtype[Any] | type = "float32",
        random_state: int | checks.Random | None = None,
    ) -> None:
        self.n_inputs, self.layers, self.dropout = layers_of(layers, spec, activation, output, dropout)
        self.n_outputs = self.layers[-1].units
        self.dtype = checks.check_dtype(dtype)
        self._rng = checks.generator_of(random_state)
        self.frozen: tuple[bool, ...] = (False,) * len(self.layers)
        self._build()
        names = [layer.info.name for layer in self.layers]
        initializers.fill(init, names, self.weights, self.biases, self._rng)

    def _build(self) -> None:
        """Make the plan, the parameters and their views."""
        layers = zip(self.layers, self.dropout, strict=True)
        spec = self.n_inputs, [(dense.units, *activation_of(dense.activation), p) for dense, p in layers]
        self._plan = _core.Plan(*spec)
        self._params = _core.zeros((self._plan.n_params,), self.dtype)
        weights, biases = [], []
        for i, layer in enumerate(self.layers):
            W, b, end = self._plan.offsets(i)
            weights.append(self._params[W:b].reshape(-1, layer.units))
            biases.append(self._params[b:end])
        self._weights, self._biases = tuple(weights), tuple(biases)
        self._write_lock = WriteLock()
        self._predictor = Predictor(spec, self._plan, self._params)

    def __setattr__(self, name: str, item: Any) -> None:
        if name in _FIXED and name in vars(self):
            how = "it is set by freeze" if name == "frozen" else "make another network"
            raise AttributeError(f"{name} of a network must not be assigned to: {how}")
        super().__setattr__(name, item)

    @property
    def params(self) -> np.ndarray:
        """All parameters (P,), one vector."""
        return self._params

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """W (n_in, n_out) of each layer, views of params."""
        return self._weights

    @property
    def biases(self) -> tuple[np.ndarray, ...]:
        """b (n_out,) of each layer, views of params."""
        return self._biases

    @property
    def plan(self) -> _core.Plan:
        """The core's description of the layers, which a `Problem` needs; it is of no use to users."""
        return self._plan

    @property
    def n_params(self) -> int:
        """Number of parameters P."""
        return self._params.size

    def copy(self) -> Network:
        """Return an independent copy: parameters, frozen layers, and the state of its random numbers.

        Examples
        --------
        >>> from dnn import Network
        >>> net = Network([2, 1], random_state=0)
        >>> twin = net.copy()
        >>> twin.params[:] = 0
        >>> bool(net.params.any())
        True
        """
        return copy.deepcopy(self)

    __copy__ = copy  # a shallow copy would share the generator of random numbers

    def __getstate__(self) -> dict[str, Any]:
        return {name: item for name, item in vars(self).items() if name not in _BUILT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._build()
        self._params[:] = state["_params"]

    def predictor(self) -> Predictor:
        """Return the present network as a function of X alone: see `Predictor`.

        Examples
        --------
        >>> from dnn import Network
        >>> Network([2, 1], random_state=0).predictor()([[1, 2]]).shape
        (1, 1)
        """
        return copy.copy(self._predictor)

    def __call__(self, X: Any, *, out: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs (N, O), output activation applied, for the rows of X (N, I).

        A 1-d x (I,) is one row and gives (O,), with the same bits as that row of a batch, except where BLAS
        computes (without AVX2). NaN in a row gives NaN in that row only. Several threads may call it.

        Parameters
        ----------
        X : array_like (N, I) or (I,)
            Any real dtype; converted to the network's, a memory map in blocks. Values that are too large for
            it are an error.
        out : ndarray (N, O), default None
            Where to write: the network's dtype, C order, not overlapping X.

        Raises
        ------
        TypeError, ValueError
            For a wrong shape, complex or sparse X, values that do not fit the dtype, an unsuitable `out`.

        Examples
        --------
        >>> from dnn import Network
        >>> Network([3, 2], random_state=0)([[1, 2, 3]]).shape
        (1, 2)
        """
        return self._predictor.predict(X) if out is None else self._predictor.write(X, out)

    def predict(self, X: Any) -> np.ndarray:
        """Return the outputs (N, O) for the rows of X (N, I): the same as ``net(X)``, never labels."""
        return self(X)

    def forward(
        self, X: Any, *, logits: bool = False, training: bool = False, masks: Any = None, seed: int = 0
    ) -> tuple[np.ndarray, Cache]:
        """Return the outputs (N, O) for the rows of X (N, I), and a cache for `backward`.

        Parameters
        ----------
        X : array_like (N, I) or (I,)
            The cache keeps it, without a copy if it has the network's dtype: do not change it before
            `backward`. A memory map of another dtype is copied whole: pass batches of it.
        logits : bool, default False
            Return the last Z, before the output activation.
        training : bool, default False
            Apply dropout where the network has it.
        masks : list of array_like (N, n_in) or None, default None
            With `training`: True or 1 for the inputs of each layer that are kept; None for a layer without
            dropout. None for all layers: the masks are drawn from the seed.
        seed : int, default 0
            With `training`: the masks are a hash of seed, layer, row and unit.

        Examples
        --------
        >>> from dnn import Network
        >>> out, cache = Network([3, 4, 2], random_state=0).forward([[1, 2, 3]])
        >>> out.shape, [Z.shape for Z in cache.Z]
        ((1, 2), [(1, 4), (1, 2)])
        """
        rows = data.features(X, self.dtype, self.n_inputs, finite=False)[:]
        logits = logits if logits is False else checks.check_boolean("logits", logits)
        if training is not False and checks.check_boolean("training", training):
            seed = checks.check_integer("seed", seed, 0, 2**64 - 1)
            masks = data.masks(masks, self.dropout, [len(W) for W in self.weights], len(rows))
        elif masks is not None:
            raise ValueError("masks must come with training=True")
        cache = Cache(
            self._plan, rows, logits=logits, single=rows is not X and np.ndim(X) == 1,
            changes=self._write_lock.changes, training=training, masks=masks, seed=seed,
        )  # fmt: skip
        out = _core.forward(self._plan, cache.layout, self._params, rows, cache.block, seed, masks, logits)
        return (out[0] if cache.single else out), cache

    @overload
    def backward(
        self,
        cache: Cache,
        d_out: Any,
        *,
        wrt: Literal["both"] = ...,
        out: np.ndarray | None = ...,
        add: bool = ...,
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def backward(
        self,
        cache: Cache,
        d_out: Any,
        *,
        wrt: Literal["params"],
        out: np.ndarray | None = ...,
        add: bool = ...,
    ) -> tuple[np.ndarray, None]: ...
    @overload
    def backward(self, cache: Cache, d_out: Any, *, wrt: Literal["input"]) -> tuple[None, np.ndarray]: ...
    def backward(
        self, cache: Cache, d_out: Any, *, wrt: str = "both", out: np.ndarray | None = None, add: bool = False
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the gradients of the parameters (P,) and of the inputs (N, I).

        It is the plain vector-Jacobian product: it sums over rows, without 1/N and without penalties. The
        parameters must be those of `forward`: a `step` or a `fit` in between is an error, but writing to the
        views is not noticed.

        Parameters
        ----------
        cache : Cache
            From `forward`. May be used again.
        d_out : array_like (N, O), or (N,) where O is 1
            Gradient of the cost with respect to the array that `forward` returned: the outputs after their
            activation, or the logits with ``logits=True``.
        wrt : "both", "params" or "input", default "both"
            Which gradients are computed; the other one is None.
        out : ndarray (P,), default None
            Where the gradient of the parameters is written, which is then returned; None: a new array.
        add : bool, default False
            Add it to what `out` holds, as the gradient of a sum of several losses needs.

        Raises
        ------
        ValueError
            For a d_out of another shape, a cache of another network or from before a step, an unsuitable
            `out`, or `add` without `out`.

        Examples
        --------
        >>> import numpy as np
        >>> from dnn import Network
        >>> net = Network([2, 1], init="zeros")
        >>> out, cache = net.forward([[1.0, 2.0], [3.0, 4.0]])
        >>> grad, dX = net.backward(cache, np.ones((2, 1)))
        >>> grad.tolist()
        [4.0, 6.0, 2.0]
        """
        if not isinstance(cache, Cache) or cache.plan is not self._plan:
            raise ValueError("cache must come from this network's forward")
        if cache.changes != self._write_lock.changes:
            raise ValueError("cache must come from a forward after the last step or fit, got one from before")
        if not isinstance(wrt, str) or wrt not in ("both", "params", "input"):
            checks.check_name("wrt", wrt, ("both", "params", "input"))
        rows, d = cache.X, cache._d_out(d_out)
        if out is not None and wrt == "input":
            raise ValueError("out must come with wrt='params' or 'both', got 'input'")
        if add is not False and checks.check_boolean("add", add) and out is None:
            raise ValueError("add=True must come with out, to which the gradient is added")
        grad = None if wrt == "input" else np.empty(self.n_params, self.dtype) if out is None else out
        if out is not None:
            data.writable(out, self._params.shape, self.dtype, rows)
        dX = np.empty(rows.shape, self.dtype) if wrt != "params" else None
        _core.backward(
            self._plan, cache.layout, self._params, rows, cache.block, cache.seed, cache.masks, d,
            cache.logits, grad, dX, add,
        )  # fmt: skip
        return grad, (dX[0] if dX is not None and cache.single else dX)

    def polyak_update(self, source: Network, tau: float) -> None:
        """Move towards another network, in place: ``params = (1 - tau) params + tau source.params``.

        So a target network follows an online one: by a small tau after each step, or by a tau of 1, which
        copies, after many steps.

        Parameters
        ----------
        source : Network
            With layers of the same sizes and the same dtype; it is only read.
        tau : float in [0, 1]

        Raises
        ------
        TypeError, ValueError
            For a source that is no network, or has other sizes or another dtype; for a tau outside [0, 1].
        RuntimeError
            If this network is in training in another thread.

        References
        ----------
        Lillicrap et al. (2016), Continuous control with deep reinforcement learning, algorithm 1; named after
        the averages of Polyak and Juditsky (1992).

        Examples
        --------
        >>> from dnn import Network
        >>> online, target = Network([2, 1], init="zeros"), Network([2, 1], init="zeros")
        >>> online.params[:] = 1
        >>> target.polyak_update(online, 0.25)
        >>> target.params.tolist()
        [0.25, 0.25, 0.25]
        """
        if not isinstance(source, Network):
            raise TypeError(f"source must be a Network, got {source!r}")
        sizes = [[net.n_inputs, *(layer.units for layer in net.layers)] for net in (self, source)]
        if sizes[0] != sizes[1] or source.dtype != self.dtype:
            wanted, got = (f"{size} in {net.dtype}" for size, net in zip(sizes, (self, source), strict=True))
            raise ValueError(f"source must have layers {wanted}, got {got}")
        if checks.check_real("tau", tau, 0.0) > 1:
            raise ValueError(f"tau must be at most 1, got {checks.shown(tau)}")
        with self._write_lock.writing("polyak_update"):
            if source is not self:
                _core.average(self._params, source.params, float(tau))

    def optimizer(self, spec: str | optimizers.Optimizer) -> OptimizerState:
        """Return an optimizer with a fresh state for these parameters, whose ``step(grad)`` updates them.

        Parameters
        ----------
        spec : str or optimizer
            "sgd", "adam", or an object such as ``SGD(0.1, momentum=0.9)``.

        Examples
        --------
        >>> from dnn import Network
        >>> net = Network([2, 1], init="zeros")
        >>> adam = net.optimizer("adam")
        >>> cost, grad = net.loss_and_gradient([[1, 2]], [3])
        >>> adam.step(grad)
        >>> net.params.round(4).tolist()
        [0.0010000000474974513, 0.0010000000474974513, 0.0010000000474974513]
        """
        kind = optimizers.optimizer_of(spec)
        if isinstance(kind, optimizers.LBFGS):
            raise ValueError("optimizer must be one that takes steps, got LBFGS, which fit alone can use")
        return OptimizerState(kind, self, self._write_lock)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        loss: Loss = "auto",
        optimizer: str | optimizers.Optimizer | optimizers.LBFGS | OptimizerState = _ADAM,
        epochs: int = 20,
        batch_size: int | None = 128,
        sample_weight: Any = None,
        class_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        alpha: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        ema: float | None = None,
        patience: int | None = None,
        min_delta: float = 0.0,
        max_seconds: float | None = None,
        shuffle: bool = True,
        order: Callable[[int], Any] | None = None,
        record: str = "epoch",
        callbacks: Iterable[Callback] = (),
        n_threads: int | str = "auto",
        random_state: int | checks.Random | None = None,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | float | None = None,
        resume: bool = False,
    ) -> History:
        """Train from the present parameters, in place, and return what happened.

        Each step lowers, over the rows of a batch, ``1/n (sum loss + alpha/2 sum W^2 + l1 sum |W|)``; with
        sample weights w, ``1/sum w (sum w loss + alpha/2 sum W^2 + l1 sum |W|)``.

        Parameters
        ----------
        X : array_like (N, I), RowSource or Stream
            Examples in rows, any real dtype; copied where it must be converted, a memory map in blocks only.
            Or a source that is read block by block, of `dnn.sources` or your own.
        y : array_like, default None
            Targets; None with a source. For squared_error (N, O). For log_loss with sigmoid (N, O) in [0, 1];
            with softmax classes (N,) in 0 .. O-1, or probabilities (N, O). (N,) will do where O is 1.
        loss : str, Huber, Quantile, LogLoss or callable, default "auto"
            squared_error (``1/2 sum_k (out_k - y_k)^2``), absolute_error, huber, quantile (the median),
            poisson (outputs exp and softplus), log_loss (sigmoid and softmax), summed over outputs; objects
            have parameters. "auto": log_loss and poisson where they fit the output, otherwise squared_error.
            A function ``f(y, logits) -> (losses (n,), d_logits (n, O))`` is called once per step, with the
            targets of the batch and the last Z.
        optimizer : str, optimizer or OptimizerState, default Adam(1e-3)
            "sgd", "adam", "adamw", "rmsprop", "lbfgs", or an object. A state continues; with everything else
            the training starts with a fresh state.
        epochs : int, at least 1, default 20
            Passes over all rows.
        batch_size : int or None, default 128
            Rows per step; the last batch may be shorter. None: all rows, in their order. More than N counts
            as N.
        sample_weight : array_like (N,), default None
            Weights of the rows, not negative; only their ratios matter. A batch of weight 0 is skipped. In
            the penalties the sum of a batch counts as at least 0.01 of that of an average batch, and a mean
            outside 2^-20 .. 2^20 as 1.
        class_weight : dict, "balanced" or None, default None
            For integer classes: a weight for each class, which multiplies those of the rows; "balanced":
            n / (number of classes x rows of the class).
        X_val, y_val, sample_weight_val : default None
            A validation set, evaluated after each epoch: arrays, or a source as X_val. The weights of the
            epoch with the lowest val_loss are in place when `fit` ends, however it ends.
        alpha, l1 : float, at least 0, default 0
            L2 and L1 penalty on W, never on b.
        clip_norm : float above 0, default None
            The gradient, penalties included, is scaled down to this norm where it is longer.
        ema : float in [0, 1), default None
            Keep a running average of the parameters, ``mean = ema mean + (1 - ema) params`` after each step;
            val_loss is computed with it, and it is in place at the end.
        patience, min_delta : int, at least 1, or None, default None; float, at least 0, default 0
            Stop after so many epochs in a row in which val_loss did not fall by more than min_delta.
        max_seconds : float above 0, default None
            Stop after the steps that this time allows, also within an epoch.
        shuffle, order : bool, default True; callable, default None
            Visit the rows in a new random order each epoch, or in that of ``order(epoch)``, row numbers (N,).
        record : "epoch" or "step", default "epoch"
            "step": the cost of each step too, in ``history.step_loss``.
        callbacks : iterable of callables, default ()
            Each is called with an `Event` (net, epoch, history, stop()) at the end of each epoch. A function
            alone is an error: write ``[f]``.
        n_threads : int in 1 .. 64, or "auto", default "auto"
            At most this many threads; "auto": as many as the process may use and the work keeps busy. The
            results have the same bits for any number.
        random_state : None, int, Generator or RandomState, default None
            Source of the orders and of dropout; None: the network's own generator.
        progress : bool, default False
            Show a progress bar (needs tqdm).
        checkpoint, every : path, default None; int (epochs) or float (seconds), default None (60 seconds)
            A file that is written so often, and at the end, for `resume`.
        resume : bool, default False
            Continue from the checkpoint, if there is one, to the same bits as without an interruption; other
            data or options than before are an error that says what differs.

        Returns
        -------
        History; with a source StreamHistory

        Raises
        ------
        DivergedError
            If a loss or a weight is no longer finite; the last good weights are then in place.
        ValueError, TypeError
            For wrong shapes, NaN, labels out of range, a loss that does not fit the output.
        RuntimeError
            If the network is in training in another thread.

        Examples
        --------
        >>> import numpy as np
        >>> from dnn import SGD, Network
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> net = Network([1, 1], init="zeros")
        >>> history = net.fit(X, 2 * X + 1, optimizer=SGD(0.5), epochs=100, batch_size=None)
        >>> net.params.round(3).tolist()
        [2.0, 1.0]
        """
        problem, streamed = problem_of(
            self, X, y, loss, sample_weight, class_weight, alpha=alpha, l1=l1, n_threads=n_threads
        )
        options = FitOptions(
            epochs=epochs, batch_size=batch_size, clip_norm=clip_norm, ema=ema, patience=patience,
            min_delta=min_delta, max_seconds=max_seconds, shuffle=shuffle, order=order, record=record,
            callbacks=callbacks_of(callbacks), progress=progress, checkpoint=checkpoint, every=every,
            resume=resume, validate=validation_loss(self, loss, X_val, y_val, sample_weight_val),
            streamed=streamed,
        )  # fmt: skip
        if not isinstance(optimizer, OptimizerState):
            optimizer = optimizers.optimizer_of(optimizer)
            if not isinstance(optimizer, optimizers.LBFGS):
                optimizer = self.optimizer(optimizer)
        rng = self._rng if random_state is None else checks.generator_of(random_state)
        if order is not None and isinstance(optimizer, OptimizerState):
            options.first_order = order_of(order, 0, len(problem.X))
        return self._train(problem, optimizer, options, rng)

    def _train(
        self,
        problem: Problem,
        optimizer: OptimizerState | optimizers.LBFGS,
        options: FitOptions,
        rng: checks.Random,
        begin: Callable[[], None] | None = None,
    ) -> History:
        """Lock the network, train its parameters in place, and return what happened.

        All training goes through this method; the estimators call it too. begin: called when the network is
        locked and nothing can be refused any more, before anything is changed.
        """
        if isinstance(optimizer, optimizers.LBFGS):
            lbfgs.refuse(self, problem, options)
        elif optimizer.params is not self._params:
            raise ValueError("optimizer must be a state of this network, got one of another")
        else:
            check_schedule(optimizer.schedule, options.streamed)
        file, saved = checkpoint_of(self, problem, optimizer, options, rng)
        with self._write_lock.writing("fit"):
            if begin is not None:
                begin()
            if isinstance(optimizer, optimizers.LBFGS):
                return lbfgs.minimize(self, problem, optimizer, options)
            run = loop.Run if options.streamed is None else StreamRun
            return loop.train(run(self, problem, optimizer, options, rng), file, saved)

    # Methods that are defined in training and summary.py
    freeze = freeze
    loss_and_gradient = loss_and_gradient
    losses = losses
    __repr__ = one_line
    draw = draw
    summary = summary
