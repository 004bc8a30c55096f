"""Network = spec + one parameter vector + views: the public face of the core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np

from . import _core, data, specs, training

_DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name) for name in ("float32", "float64")}


class Network:
    """A dense network: layers of ``A = f(A_prev @ W + b)``, rows are examples.

    Parameters
    ----------
    layers : list of int, or int
        Sizes, inputs first and outputs last: ``[784, 128, 10]``; ``[n, m]`` is linear or logistic regression.
        Or the number of inputs, followed by the layers: ``Network(784, [Dense(128, "relu"), Dense(10,
        "softmax")])``.
    activation : str or list of str, default "relu"
        Of all hidden layers, or one for each: identity, sigmoid (or logistic), tanh, relu, leaky_relu.
    output : str, default "identity"
        Activation of the last layer: identity (regression), sigmoid (yes or no, one unit or several), softmax
        (one class of several), tanh.
    init : str or initializer, default "auto"
        The first weights: "zeros", "normal" (times 0.01), "xavier", "he", or an object such as
        ``Normal(0.1)``; "auto" is He before relu-like activations and Xavier otherwise. Biases are 0.
    dtype : "float32" or "float64", default "float32"
        Precision of parameters and of everything computed; float32 takes half the time and memory.
    random_state : None, int, Generator or RandomState, default None
        Source of the first weights, then of the order of rows in `fit`: one seed fixes everything.

    Attributes
    ----------
    params : ndarray (P,)
        All parameters in one vector, layer by layer: W (n_in, n_out) by rows, then b (n_out,). Trained in
        place; may be written at any time between calls, never replaced.
    weights, biases : tuple of ndarray
        Views of params: W (n_in, n_out) and b (n_out,) of each layer.
    layers : tuple of Dense
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
        spec: Sequence[specs.Dense] | None = None,
        /,
        *,
        activation: str | Sequence[str] = "relu",
        output: str = "identity",
        init: str | specs.Initializer = "auto",
        dtype: str | np.dtype[Any] | type = "float32",
        random_state: int | specs.Random | None = None,
    ) -> None:
        self.n_inputs, self.layers = specs.layers_of(layers, spec, activation, output)
        self.n_outputs = self.layers[-1].units
        try:
            self.dtype: np.dtype[Any] = _DTYPES[np.dtype(dtype).name]
        except (KeyError, TypeError):
            raise ValueError(f"dtype must be float32 or float64, got {dtype!r}") from None
        self._rng = specs.generator_of(random_state)
        initializers = [specs.initializer_of(init, layer.activation) for layer in self.layers]
        self._build()
        for W, initializer in zip(self.weights, initializers, strict=True):
            W[...] = initializer.draw(self._rng, *W.shape)

    def _build(self) -> None:
        """Make the plan, the parameters and their views."""
        rows = [_core.ACTIVATIONS[layer.activation] for layer in self.layers]
        self._plan = _core.Plan(
            self.n_inputs,
            [
                (l.units, l.activation, (row.par0,) * row.n_par)
                for l, row in zip(self.layers, rows, strict=True)
            ],
        )
        self._params: np.ndarray = np.zeros(self._plan.n_params, self.dtype)
        weights, biases = [], []
        begin, n_in = 0, self.n_inputs
        for layer in self.layers:
            end = begin + n_in * layer.units
            weights.append(self._params[begin:end].reshape(n_in, layer.units))
            biases.append(self._params[end : end + layer.units])
            begin, n_in = end + layer.units, layer.units
        self._weights, self._biases = tuple(weights), tuple(biases)
        self._guard = training.Guard()

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
    def n_params(self) -> int:
        """Number of parameters P."""
        return self._params.size

    def __repr__(self) -> str:
        sizes = [self.n_inputs, *(layer.units for layer in self.layers)]
        hidden = [layer.activation for layer in self.layers[:-1]]
        output = self.layers[-1].activation
        return f"Network({sizes}, activation={hidden}, output={output!r}, dtype={self.dtype.name!r})"

    # Prediction

    def __call__(self, X: Any, *, out: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs (N, O), output activation applied, for the rows of X (N, I).

        A 1-d x (I,) is one row and gives (O,). NaN in a row gives NaN in that row only. Any number of threads
        may call this on one network.

        Parameters
        ----------
        X : array_like (N, I) or (I,)
            Any real dtype; converted to the network's. Numbers too large for it are an error.
        out : ndarray (N, O), default None
            Where to write: the network's dtype, C order, not overlapping X.

        Raises
        ------
        TypeError, ValueError
            For a wrong shape, complex or sparse X, numbers that do not fit the dtype, an unfit `out`.

        Examples
        --------
        >>> from dnn import Network
        >>> Network([3, 2], random_state=0)([[1, 2, 3]]).shape
        (1, 2)
        """
        rows = data.features(X, self.dtype, self.n_inputs, finite=False)
        shape: tuple[int, ...] = (len(rows), self.n_outputs)
        if np.ndim(X) == 1:
            shape = shape[1:]
        out = np.empty(shape, self.dtype) if out is None else data.writable(out, shape, self.dtype, rows)
        _core.predict(self._plan, self._params, rows, out.reshape(len(rows), self.n_outputs))
        return out

    def predict(self, X: Any) -> np.ndarray:
        """Return the outputs (N, O) for the rows of X (N, I): the same as ``net(X)``, never labels."""
        return self(X)

    def losses(self, X: Any, y: Any, *, loss: str = "auto") -> np.ndarray:
        """Return the loss of each example (N,), float64, without penalties. Its mean is the cost.

        Parameters
        ----------
        X : array_like (N, I)
        y : array_like
            Targets, as in `fit`.
        loss : str, default "auto"
            As in `fit`.

        Examples
        --------
        >>> from dnn import Network
        >>> Network([2, 1], init="zeros").losses([[1, 2], [3, 4]], [1, 2]).tolist()
        [0.5, 2.0]
        """
        kind, rows, targets = self._examples(X, y, loss)
        return self._losses(kind, rows, targets)

    def _losses(self, loss: _core.Loss, X: np.ndarray, targets: data.Targets) -> np.ndarray:
        out = np.empty(len(X))
        _core.losses(self._plan, self._params, X, loss.row, (), targets.Y, targets.classes, out)
        return out

    def _examples(
        self, X: Any, y: Any, loss: str, suffix: str = ""
    ) -> tuple[_core.Loss, np.ndarray, data.Targets]:
        """Return the loss, rows and targets, checked."""
        kind = specs.loss_of(loss, self.layers[-1].activation)
        rows = data.features(X, self.dtype, self.n_inputs, name="X" + suffix)
        if not len(rows):
            raise ValueError(f"X{suffix} must have at least one row, got shape {rows.shape}")
        targets = data.targets(y, kind, len(rows), self.n_outputs, self.dtype, name="y" + suffix)
        return kind, rows, targets

    # Forward and backward: what a loop of one's own is built from

    def forward(self, X: Any, *, scores: bool = False) -> tuple[np.ndarray, Cache]:
        """Return the outputs (N, O) for the rows of X (N, I), and a cache for `backward`.

        Parameters
        ----------
        X : array_like (N, I) or (I,)
            Kept by the cache, not copied where it has the network's dtype: do not change it before
            `backward`.
        scores : bool, default False
            Return the last Z, before the output activation.

        Examples
        --------
        >>> from dnn import Network
        >>> out, cache = Network([3, 4, 2], random_state=0).forward([[1, 2, 3]])
        >>> out.shape, [Z.shape for Z in cache.Z]
        ((1, 2), [(1, 4), (1, 2)])
        """
        rows = data.features(X, self.dtype, self.n_inputs, finite=False)
        cache = Cache(self._plan, rows, scores, np.ndim(X) == 1, self._guard.changes)
        _core.forward(self._plan, cache._schedule, self._params, rows, cache._kept)
        out = cache._view(len(self.layers), scores).copy()
        return (out[0] if cache._single else out), cache

    @overload
    def backward(
        self, cache: Cache, d_out: Any, *, wrt: Literal["both"] = ...
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def backward(self, cache: Cache, d_out: Any, *, wrt: Literal["params"]) -> tuple[np.ndarray, None]: ...
    @overload
    def backward(self, cache: Cache, d_out: Any, *, wrt: Literal["input"]) -> tuple[None, np.ndarray]: ...
    def backward(
        self, cache: Cache, d_out: Any, *, wrt: str = "both"
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the gradients of the parameters (P,) and of the inputs (N, I).

        The plain vector-Jacobian product: it sums over rows, no 1/N, no penalties. The parameters must be
        those of `forward`: a `step` or a `fit` since is an error, a write of one's own is not noticed.

        Parameters
        ----------
        cache : Cache
            From `forward`. May be used again.
        d_out : array_like (N, O), or (N,) where O is 1
            Gradient of what is minimised with respect to what `forward` returned: the outputs after their
            activation, or the scores if they were asked for.
        wrt : "both", "params" or "input", default "both"
            What is wanted; the other is None, and not computed.

        Raises
        ------
        ValueError
            For a d_out of another shape, a cache of another network, or one from before a step.

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
        if not isinstance(cache, Cache) or cache._plan is not self._plan:
            raise ValueError("cache must come from this network's forward")
        if cache._changes != self._guard.changes:
            raise ValueError("cache must come from a forward after the last step or fit, got one from before")
        specs.check_name("wrt", wrt, ("both", "params", "input"))
        rows = cache._X
        shape = (len(rows), self.n_outputs)
        d = d_out if isinstance(d_out, np.ndarray) else np.asarray(d_out)
        if d.ndim == 1 and (cache._single or self.n_outputs == 1) and d.size == shape[0] * shape[1]:
            d = d.reshape(shape)
        if d.shape != shape:
            hint = ": did you mean y[:, None]?" if d.shape == shape[:1] * 2 and self.n_outputs == 1 else ""
            raise ValueError(f"d_out must have shape {shape}, got {d.shape}{hint}")
        if d.dtype != self.dtype or not d.flags.c_contiguous or not d.flags.aligned:
            d = np.ascontiguousarray(data.numbers(d, "d_out"), dtype=self.dtype)
        grad = np.empty(self.n_params, self.dtype) if wrt != "input" else None
        dX = np.empty(rows.shape, self.dtype) if wrt != "params" else None
        _core.backward(
            self._plan, cache._schedule, self._params, rows, cache._kept, d, cache._scores, grad, dX
        )
        return grad, (dX[0] if dX is not None and cache._single else dX)

    def loss_and_gradient(
        self, X: Any, y: Any, *, loss: str = "auto", sample_weight: Any = None, alpha: float = 0.0
    ) -> tuple[float, np.ndarray]:
        """Return the cost of all rows, penalties included, and its gradient (P,).

        Parameters
        ----------
        X : array_like (N, I)
        y : array_like
            Targets, as in `fit`.
        loss, sample_weight, alpha
            As in `fit`.

        Examples
        --------
        >>> from dnn import Network
        >>> cost, grad = Network([2, 1], init="zeros").loss_and_gradient([[1, 2]], [3])
        >>> cost, grad.tolist()
        (4.5, [-3.0, -6.0, -3.0])
        """
        kind, rows, targets = self._examples(X, y, loss)
        weights = data.weights(sample_weight, len(rows))
        alpha = specs.check_real("alpha", alpha, 0.0)
        grad = np.empty(self.n_params, self.dtype)
        cost = _core.cost_and_gradient(
            self._plan, self._params, rows, kind.row, (), targets.Y, targets.classes, weights, alpha, grad
        )
        return cost, grad

    def optimizer(self, spec: str | specs.Optimizer) -> training.OptimizerState:
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
        return training.OptimizerState(specs.optimizer_of(spec), self._params, self._guard)

    # Training

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        loss: str = "auto",
        optimizer: str | specs.Optimizer | training.OptimizerState = specs.Adam(1e-3),
        epochs: int = 20,
        batch_size: int | None = 128,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        alpha: float = 0.0,
        patience: int | None = None,
        min_delta: float = 0.0,
        shuffle: bool = True,
        order: Callable[[int], Any] | None = None,
        callbacks: Iterable[training.Callback] = (),
        random_state: int | specs.Random | None = None,
        progress: bool = False,
    ) -> training.History:
        """Train from the present parameters, in place, and return what happened.

        Each step minimises, over the rows of a batch, ``1/n sum loss + alpha/(2n) sum W^2``; with sample
        weights w, ``1/sum w (sum w loss + alpha/2 sum W^2)``.

        Parameters
        ----------
        X : array_like (N, I)
            Examples in rows, any real dtype; not copied where it has the network's dtype and contiguous rows.
        y : array_like
            Targets. For squared_error (N, O). For log_loss with sigmoid (N, O) in [0, 1]; with softmax
            integer classes (N,) in 0 .. O-1, or probabilities (N, O). (N,) will do where O is 1.
        loss : "auto", "squared_error" or "log_loss", default "auto"
            "auto": log_loss for sigmoid and softmax outputs, otherwise squared_error, ``1/2 sum_k (out_k -
            y_k)^2``.
        optimizer : str, optimizer or OptimizerState, default Adam(1e-3)
            A state goes on where it was; everything else starts afresh.
        epochs : int, at least 1, default 20
            Passes over all rows.
        batch_size : int or None, default 128
            Rows a step; the last batch may be shorter. None: all rows, as they stand. More than N counts as
            N.
        sample_weight : array_like (N,), default None
            Weights of the rows, not negative. A batch whose weights sum to 0 is skipped.
        X_val, y_val, sample_weight_val : default None
            A validation set, looked at after each epoch. The weights of the epoch with the lowest val_loss
            are in place when `fit` ends, however it ends.
        alpha : float, at least 0, default 0
            L2 penalty on W, never on b.
        patience : int, at least 1, or None, default None
            Stop after so many epochs in a row in which val_loss did not fall by more than min_delta.
        min_delta : float, at least 0, default 0
        shuffle : bool, default True
            Visit rows in a new random order each epoch; False: as they stand.
        order : callable, default None
            ``order(epoch)`` returns the row numbers (N,) of an epoch, in place of a random order.
        callbacks : iterable of callables, default ()
            Each is called with an `Event` (net, epoch, history, stop()) at the end of each epoch.
        random_state : None, int, Generator or RandomState, default None
            Source of the orders; None goes on with the network's own.
        progress : bool, default False
            Show a progress bar (needs tqdm).

        Returns
        -------
        History

        Raises
        ------
        DivergedError
            If a loss or a weight is not finite any more; the last good weights are then in place.
        ValueError, TypeError
            For wrong shapes, NaN or infinity, labels out of range, a loss that does not fit the output.
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
        kind, rows, targets = self._examples(X, y, loss)
        if isinstance(optimizer, training.OptimizerState):
            if optimizer.params is not self._params:
                raise ValueError("optimizer must be a state of this network, got one of another")
            state = optimizer
        else:
            state = self.optimizer(optimizer)
        epochs = specs.check_integer("epochs", epochs, 1)
        if batch_size is not None:
            batch_size = specs.check_integer("batch_size", batch_size, 1)
        weights = data.weights(sample_weight, len(rows))
        alpha = specs.check_real("alpha", alpha, 0.0)
        min_delta = specs.check_real("min_delta", min_delta, 0.0)
        validate = self._validation(kind, X_val, y_val, sample_weight_val)
        if patience is not None:
            patience = specs.check_integer("patience", patience, 1)
            if validate is None:
                raise ValueError("patience must come with X_val and y_val, got none")
        if order is not None and not callable(order):
            raise TypeError(f"order must be a function of the epoch, got {order!r}")
        rng = self._rng if random_state is None else specs.generator_of(random_state)
        with self._guard.writing("fit"):
            return training.train(
                self._plan, self._params, rows, targets,
                net=self, loss=kind, optimizer=state, epochs=epochs, batch_size=batch_size, weights=weights,
                alpha=alpha, rng=rng, shuffle=shuffle, order=order, validate=validate, patience=patience,
                min_delta=min_delta, callbacks=callbacks, progress=progress,
            )  # fmt: skip

    def _validation(
        self, loss: _core.Loss, X_val: Any, y_val: Any, sample_weight_val: Any
    ) -> Callable[[], float] | None:
        """Return a function that computes val_loss, or None without a validation set."""
        if X_val is None and y_val is None and sample_weight_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError(f"{'X_val' if X_val is None else 'y_val'} must be given with the validation set")
        _, rows, targets = self._examples(X_val, y_val, loss.name, "_val")
        weights = data.weights(sample_weight_val, len(rows), name="sample_weight_val")
        return lambda: float(np.average(self._losses(loss, rows, targets), weights=weights))

    # Looking at it

    def summary(self) -> str:
        """Return a table of all dimensions: W, b, Z and A of each layer, parameters, flops an example.

        Examples
        --------
        >>> from dnn import Network
        >>> print(Network([3, 4, 1], output="sigmoid").summary())  # doctest: +NORMALIZE_WHITESPACE
        layer  W       b     Z, A    activation  parameters  flops
            1  (3, 4)  (4,)  (N, 4)  relu                16     24
            2  (4, 1)  (1,)  (N, 1)  sigmoid              5      8
        total                                            21     32
        <BLANKLINE>
        3 inputs, 1 output, float32, 84 bytes of parameters; flops of the products forward,
        for one example: a training step takes three times as many.
        """
        head = ("layer", "W", "b", "Z, A", "activation", "parameters", "flops")
        lines = [head]
        for number, (W, b, layer) in enumerate(zip(self.weights, self.biases, self.layers, strict=True), 1):
            lines.append(
                (str(number), str(W.shape), str(b.shape), f"(N, {b.size})", layer.activation,
                 f"{W.size + b.size:,}", f"{2 * W.size:,}")
            )  # fmt: skip
        flops = sum(2 * W.size for W in self.weights)
        lines.append(("total", "", "", "", "", f"{self.n_params:,}", f"{flops:,}"))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = (0, 5, 6)
        table = "\n".join(
            "  ".join(
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )
        outputs = "1 output" if self.n_outputs == 1 else f"{self.n_outputs} outputs"
        inputs = "1 input" if self.n_inputs == 1 else f"{self.n_inputs} inputs"
        return (
            f"{table}\n\n{inputs}, {outputs}, {self.dtype.name}, {self._params.nbytes:,} bytes of parameters"
            "; flops of the products forward,\nfor one example: a training step takes three times as many."
        )


class Cache:
    """What `Network.forward` keeps for `Network.backward`. Opaque but for Z and A, which are to be read.

    Attributes
    ----------
    Z : tuple of ndarray (N, units)
        Scores of each layer, ``A_prev @ W + b``.
    A : tuple of ndarray (N, units)
        Outputs of each layer, f(Z).
    """

    def __init__(self, plan: _core.Plan, X: np.ndarray, scores: bool, single: bool, changes: int) -> None:
        self._plan = plan
        self._X = X
        self._scores = bool(scores)
        self._single = single
        self._changes = changes  # of the parameters, when it was made
        self._schedule = _core.cache_schedule(plan, X.itemsize, len(X))
        block = np.empty(self._schedule.kept + 64, np.uint8)
        skip = -block.ctypes.data % 64  # a cache line: rows that begin on one are read and written faster
        self._kept = block[skip : skip + self._schedule.kept]

    def _view(self, slot: int, Z: bool) -> np.ndarray:
        """Z or A (N, units) of layer number slot, from 1."""
        z, a, stride = self._schedule.place(slot)
        return np.ndarray(
            (len(self._X), self._plan.units(slot)),
            self._X.dtype,
            self._kept,
            z if Z else a,
            (stride, self._X.itemsize),
        )

    @property
    def Z(self) -> tuple[np.ndarray, ...]:
        """Scores of each layer."""
        return tuple(self._view(slot, True) for slot in range(1, self._plan.n_ops + 1))

    @property
    def A(self) -> tuple[np.ndarray, ...]:
        """Outputs of each layer."""
        return tuple(self._view(slot, False) for slot in range(1, self._plan.n_ops + 1))
