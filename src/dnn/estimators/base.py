"""The base of both estimators: a network behind scikit-learn's interface, its training, its predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from operator import is_
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted

from .. import _checks as checks
from .. import _core
from .. import _threads as threads
from ..data import arrays as data
from ..exports import EstimatorExports
from ..initializers import Glorot
from ..losses import Loss, LossSpec, loss_of
from ..network import Network
from ..optimizers import LBFGS
from ..predictor import Decoding, write_outputs
from ..training import diagnosis
from ..training.history import DivergedError, History
from ..training.optimizer_state import OptimizerState
from ..training.options import FitOptions, callbacks_of
from ..training.order import SuccessiveShuffles
from ..training.problem import Problem
from . import passes
from .convergence import Convergence, TrainingRecord, TrainingSetup
from .input import conversion_settings, layers_given, network_dtype, rows_of, validated, weights_of
from .parameters import ParameterMixin, adopt, draft_of
from .stream import set_up_streamed, streamed_validation
from .validation import Examples, Validation, given_validation, validation_on

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
    "preprocessed."
)
FEW_ROWS = 16  # up to this many are predicted by the fast path of the core


@cache
def _version() -> str:
    return version("dnn-core")


class BaseMLP(EstimatorExports, ParameterMixin):
    """A network behind scikit-learn's interface, the base of `MLPClassifier` and `MLPRegressor`."""

    classes_: np.ndarray
    coefs_: list[Any]
    intercepts_: list[Any]
    loss_curve_: list[float]
    validation_scores_: Any
    best_validation_score_: Any
    best_loss_: Any
    loss_: float
    n_iter_: int
    t_: int

    # Methods that the classifier and the regressor define

    def _read_targets(
        self, X: Any, y: Any, first: bool, incremental: bool, dtype: Any, classes: Any
    ) -> tuple[Any, Any]:
        """Return X and y, checked, y as the network is trained on it; a first call learns the labels."""
        raise NotImplementedError

    def _encode(self, y: Any, name: str = "y") -> np.ndarray:
        """Return targets as the network is trained on them."""
        raise NotImplementedError

    def _output(self) -> str:
        """Return the activation of the last layer."""
        raise NotImplementedError

    def _n_outputs(self, y: np.ndarray) -> int:
        """Return the number of units of the last layer for these targets."""
        raise NotImplementedError

    def _loss(self) -> Loss:
        """Return the loss."""
        raise NotImplementedError

    def _default_scoring(self) -> str:
        """Return the name of the validation score."""
        raise NotImplementedError

    def _score_of(
        self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None, varied: bool
    ) -> float:
        """Return the default score of outputs; varied: whether the targets of the training differ."""
        raise NotImplementedError

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        """Return the classes by which a validation set is stratified, None for none."""
        return None

    def _class_weights(self, y: np.ndarray, incremental: bool) -> np.ndarray | None:
        """Return the weights (N,) of the rows that class_weight gives, None for none."""
        return None

    def _read_streamed_labels(self, stream: Any, some_y: np.ndarray, first: bool) -> Any:
        """Learn the labels of a source, and return the weights of its classes, None for none."""

    def _streamed_class_weight_val(self, stream: Any) -> Any:
        """Return the weights of the classes of a source for validation, None for none."""

    # The network

    def _network(self, sizes: list[int], dtype: Any, rng: Any) -> Network:
        """Return a fresh network."""
        activation, init = self._activations(len(sizes) - 2), self.init
        if isinstance(init, str) and init == "auto":
            # As in scikit-learn, the last layer is drawn as the last hidden one
            names = [*activation, activation[-1] if activation else self.activation]
            init = [Glorot(2.0 if name in ("logistic", "sigmoid") else 6.0) for name in names]
        return Network(
            sizes, activation=activation, output=self._output(), dropout=self.dropout, init=init, dtype=dtype,
            random_state=rng,
        )  # fmt: skip

    def _current_network(self) -> Network:
        """Return the network, after taking over what the user has written to coefs_ and intercepts_."""
        state = self.__dict__
        if "coefs_" not in state:
            check_is_fitted(self)
        net: Network | None = state.get("_net")
        own: tuple[np.ndarray, ...] = state.get("_views", ())
        coefs, intercepts = state["coefs_"], state.get("intercepts_")
        if net is not None and type(coefs) is type(intercepts) is list:
            given = (*coefs, *intercepts)
            if len(given) == len(own) and all(map(is_, given, own)):
                return net
        output, known = self._output(), (state.get("n_features_in_"), state.get("n_outputs_"))
        arrays = layers_given(coefs, intercepts, own, *known)
        if net is None or [array.shape for array in arrays] != [view.shape for view in own]:
            half = len(self.coefs_)
            sizes = [*(len(W) for W in arrays[:half]), arrays[half - 1].shape[1]]
            pairs = list(zip(arrays[:half], arrays[half:], strict=True))
            narrow = all(array.dtype == np.float32 for array in arrays)
            net = Network(
                sizes, activation=self._activations(half - 1), output=output, dropout=self.dropout,
                init=pairs, dtype="float32" if narrow else "float64",
            )  # fmt: skip
        else:
            for view, array in zip(own, arrays, strict=True):
                if view is not array:
                    view[...] = array
        self._take(net)
        return net

    @property
    def network_(self) -> Network:
        """The fitted network, with what was assigned to coefs_ and intercepts_."""
        return self._current_network()

    def decoding(self) -> Decoding:
        """Return what `predict` makes of the outputs of the network."""
        raise NotImplementedError

    def _take(self, net: Network) -> None:
        """Make a network this estimator's, with its views in coefs_ and intercepts_."""
        self._net = net
        self._views = net.weights + net.biases  # which each prediction compares with these lists
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        self._meet_skl2onnx()

    # Training

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        incremental: bool = False,
        classes: Any = None,
        **saving: Any,
    ) -> None:
        """Train, as `fit` and `partial_fit` say.

        A draft of the estimator checks everything first. The estimator adopts it once the network is locked,
        so that a call that is refused changes nothing.
        """
        draft, rng = draft_of(self), self._generator()
        draws = not incremental or "_net" not in vars(self)  # before the training begins
        before = rng.get_state(legacy=False) if draws else None
        adopted = False

        def begin() -> None:
            nonlocal adopted
            adopt(self, draft)
            adopted = True

        try:
            given = X, y, sample_weight, validation, incremental
            setup = set_up_streamed(draft, *given, rng, **saving)
            if setup is None:
                setup = draft._set_up(*given, classes, rng, **saving)
            (self._train_by_lbfgs if self._is_lbfgs() else self._train_by_steps)(setup, begin)
        except BaseException:
            if before is not None and not adopted:
                rng.set_state(before)
            raise

    def _set_up(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        incremental: bool,
        classes: Any,
        rng: Any,
        **saving: Any,
    ) -> TrainingSetup:
        """Check everything that a training needs, and return it; self is a draft that a refusal discards."""
        hidden = self._check_parameters()
        first = not (self.warm_start or incremental) or "coefs_" not in vars(self)
        dtype = self._precision(first)
        raw_X, raw_y = X, y
        X, y = self._read_targets(X, y, first, incremental, dtype, classes)
        weights = None
        if sample_weight is not None:
            weights = data.weights(weights_of(sample_weight, X), X.shape[0])
        of_classes = self._class_weights(y, incremental)
        net = self._prepare([X.shape[1], *hidden, self._n_outputs(y)], first, X.dtype, dtype, rng)
        if not first:
            X = X.astype(net.dtype, copy=False)
        early_stopping = bool(self.early_stopping) and not self._is_lbfgs()
        rows = rows_of(X, net.dtype)
        real = self._output() in ("identity", "exp")
        diagnosis.warn_of_rounding(raw_X, raw_y if real else None, net.dtype, stacklevel=5)
        spec = loss_of(self._loss(), net.layers[-1].info.name, net.n_outputs)
        examples = Examples(rows, y, raw_y, weights, of_classes, "X")
        validated_on = streamed_validation(self, net, spec, validation)
        held_out = None if validated_on is not None else given_validation(self, net, validation)
        if early_stopping and validated_on is None and held_out is None:
            examples, held_out = self._split(examples, rng)
        problem = self._problem(net, spec, examples)
        if held_out is not None:
            validated_on = validation_on(self, net, spec, held_out, not (examples.y == examples.y[:1]).all())
        n_rows = len(examples.rows)
        options = self._fit_options(1 if incremental else self.max_iter, n_rows, **saving)
        if self.shuffle and not self._is_lbfgs():
            options.order = SuccessiveShuffles(n_rows, rng)
        return self._setup(net, problem, options, validated_on, n_rows, first, incremental, rng)

    def _precision(self, first: bool) -> Any:
        """Return the precision of a training, or those that the dtype of X chooses from."""
        if not first and self.__sklearn_is_fitted__():
            return self._current_network().dtype
        if self.dtype == "auto" and not self._is_lbfgs():
            return np.float64, np.float32
        return np.float64 if self.dtype == "auto" else checks.check_dtype(self.dtype)

    def _prepare(self, sizes: list[int], first: bool, of_X: Any, allowed: Any, rng: Any) -> Network:
        """Return the network of a training, whose attributes are set; of_X: the dtype of X."""
        if first:
            net = self._network(sizes, network_dtype(of_X, allowed), rng)
            self._take(net)
        else:
            net = self._continued(sizes)
        self.n_outputs_ = net.n_outputs
        self.n_layers_ = len(sizes)
        self.out_activation_ = _SKLEARN_NAMES.get(net.layers[-1].info.name, net.layers[-1].info.name)
        return net

    def _setup(
        self, net: Network, problem: Problem, options: FitOptions, validation: Validation | None,
        n_rows: int, first: bool, incremental: bool, rng: Any,
    ) -> TrainingSetup:  # fmt: skip
        """Return a training with its optimizer and the rule that ends it."""
        early_stopping = bool(self.early_stopping) and not self._is_lbfgs()
        before = {} if first else vars(self)
        record = TrainingRecord.continued(before, early_stopping, validation is not None)
        self._copy(record)
        optimizer = self._optimizer_for(net, incremental)
        steps = optimizer if isinstance(optimizer, OptimizerState) else None
        options.stopping = rule = Convergence(
            record, net, steps, 0 if steps is None else n_rows, validation, early_stopping=early_stopping,
            tol=self.tol, n_iter_no_change=self.n_iter_no_change, verbose=self.verbose,
        )  # fmt: skip
        return TrainingSetup(net, problem, optimizer, options, rule, incremental, rng)

    def _continued(self, sizes: list[int]) -> Network:
        """Return the present network, whose training goes on, checked."""
        net = self._current_network()
        present = [len(b) for b in net.biases]
        if present != sizes[1:]:
            raise ValueError(
                f"hidden_layer_sizes and y must be as in the first call, {present[:-1]} and {present[-1]} "
                f"outputs, got {sizes[1:-1]} and {sizes[-1]}"
            )
        self._initializers(net)
        return net

    def _split(self, examples: Examples, rng: Any) -> tuple[Examples, Examples]:
        """Return the examples to train on, and those that are set aside for validation."""
        share = checks.check_real("validation_fraction", self.validation_fraction, 0.0, 1.0, above=True)
        n = len(examples.rows)
        train, val = train_test_split(
            np.arange(n), random_state=rng, test_size=share, stratify=self._stratify(examples.y)
        )
        if len(val) < 2:
            raise ValueError(
                f"The validation set is too small, {len(val)} row: validation_fraction must be larger, "
                f"got {share} of {n} rows"
            )
        return (
            examples.take(train, f"the rows that validation_fraction={share} leaves to train on"),
            examples.take(val, f"the {len(val)} rows that validation_fraction={share} sets aside"),
        )

    def _optimizer_for(self, net: Network, incremental: bool) -> OptimizerState | LBFGS:
        """Return the optimizer of a training: with a fresh state, or the one that goes on."""
        if self._is_lbfgs():
            return self._lbfgs()
        if not (incremental or self.warm_start == "optimizer") or not hasattr(self, "_optimizer"):
            self._optimizer = self._portable_optimizer()
        self._optimizer = self._optimizer.on(net)
        assert self._optimizer.state is not None
        return self._optimizer.state

    def _problem(self, net: Network, spec: LossSpec, examples: Examples, name: str = "y") -> Problem:
        """Return what a training minimizes; name: of the targets."""
        X, y, weights = examples.rows, examples.y, examples.total_weights
        X, targets = data.matched(X, data.targets(y, spec, len(X), net.n_outputs, net.dtype, name=name))
        divisor = net.n_outputs if spec.name == "squared_error" else 1
        alpha, l1 = float(self.alpha), float(self.l1)
        n_threads = threads.check_n_threads(self.n_threads)
        return Problem(net.plan, net.params, X, targets, weights, spec, alpha, l1, n_threads, divisor)

    def _fit_options(self, epochs: int, n: int, **saving: Any) -> FitOptions:
        """Return the options of a training, without its stopping rule and the order of its rows."""
        batch = None
        if not self._is_lbfgs():
            batch = min(200 if self.batch_size == "auto" else int(self.batch_size), n)
            if self.batch_size != "auto" and self.batch_size > n:
                warnings.warn(
                    f"batch_size must be at most the {n} rows, got {self.batch_size}: {n} is taken",
                    stacklevel=5,
                )
        return FitOptions(
            epochs=epochs, batch_size=batch, clip_norm=self.clip_norm, max_seconds=self.max_seconds,
            callbacks=callbacks_of(self.callbacks), progress=self.progress, **{"shuffle": False, **saving},
        )  # fmt: skip

    def _run(self, setup: TrainingSetup, begin: Callable[[], None]) -> History:
        """Train, and copy the record of the training, also where it ends by an exception."""
        net, problem, optimizer, options, rule, _, rng = setup
        if options.callbacks:  # which may look at the estimator
            options.callbacks = (lambda event: self._copy(rule.record), *options.callbacks)
        try:
            return net._train(problem, optimizer, options, rng, begin)
        finally:
            if rule.history is not None:
                self._copy(rule.record)

    def _copy(self, record: TrainingRecord) -> None:
        """Copy a record to the attributes."""
        self.__dict__.update(record.attributes())

    def _train_by_steps(self, setup: TrainingSetup, begin: Callable[[], None]) -> None:
        """Train by steps over batches."""
        net, problem, optimizer, _, rule, incremental, _ = setup
        assert isinstance(optimizer, OptimizerState)
        first_step = optimizer.n_steps
        try:
            history = self._run(setup, begin)
        except KeyboardInterrupt:
            if rule.history is None:
                raise
            history = rule.history
            history.stopped_by = "interrupt"
            warnings.warn("training was interrupted: the weights are those of the last step", stacklevel=4)
        except DivergedError as error:
            if not rule.early_stopping:
                error.args = (f"{NOT_FINITE} {error}",)
                raise
            assert rule.history is not None and rule.validation is not None
            history = rule.history
            rule.diverged(history)
            self._copy(rule.record)
            best = f"the best validation score, {self.best_validation_score_:g}, has its weights in place"
            if rule.best is None:
                best = f"there is no best validation score: {rule.validation.name} was never finite on "
                best += rule.validation.place
            warnings.warn(f"{error}\nWith early_stopping {best}.", ConvergenceWarning, stacklevel=4)
        self.history_ = history
        if history.stopped_by == "epochs" and not incremental:
            recent = history.loss[-10:]
            self._warn(
                net, problem,
                f"max_iter={self.max_iter} iterations were done before the training had converged; in the "
                f"last {len(recent)} the loss went from {recent[0]:g} to {recent[-1]:g}. Try a larger "
                f"max_iter, a {'larger' if recent[-1] < recent[0] else 'smaller'} learning_rate_init, or a "
                f"larger tol than {self.tol:g}.",
            )  # fmt: skip
        if not incremental and history.stopped_by not in ("diverged", "interrupt"):
            rule.warn(problem, history, optimizer.n_steps - first_step)

    def _warn(self, net: Network, problem: Problem, what: str) -> None:
        """Warn that a training has not converged, with what can be measured."""
        with np.errstate(all="ignore"):
            measured = diagnosis.findings(net, problem, [], 100)  # of few rows: a grid search warns often
        warnings.warn(what + diagnosis.as_list(measured), ConvergenceWarning, stacklevel=5)

    def _train_by_lbfgs(self, setup: TrainingSetup, begin: Callable[[], None]) -> None:
        """Train by L-BFGS over all rows."""
        net, problem, record = setup.net, setup.problem, setup.rule.record
        try:
            history = self._run(setup, begin)
        except DivergedError as error:
            error.args = (f"{NOT_FINITE} {error}",)
            raise
        self.history_ = history
        record.n_epochs = len(history.rate)
        loss, penalty = problem.cost_and_gradient(net.params, np.empty_like(net.params))
        record.loss = loss / problem.divisor + penalty
        record.best_loss = min(record.best_loss, record.loss)
        self._copy(record)
        tries = {
            "epochs": "a larger max_iter",
            "evaluations": f"a larger max_fun than {self.max_fun}",
            "line_search": "scaled inputs: no step along the search direction lowered the loss",
        }
        if history.stopped_by in tries:
            self._warn(
                net, problem,
                f"lbfgs failed to converge after {self.n_iter_} iteration(s), at the loss {self.loss_:g}. "
                f"Try {tries[history.stopped_by]}.",
            )  # fmt: skip
        setup.rule.warn(problem, history, len(history.rate))

    # Predictions

    def _rows(self, X: Any, net: Network) -> Any:
        """Return X as the core reads it: unchanged if possible, otherwise validated by scikit-learn."""
        if (
            type(X) is np.ndarray
            and X.dtype == net.dtype
            and X.ndim == 2
            and X.shape[1] == net.n_inputs
            and len(X)
            and X.flags.c_contiguous
            and X.flags.aligned
            and "feature_names_in_" not in self.__dict__
            and _core.all_finite(X)
        ):
            return X
        X = validated(self, X, **conversion_settings(X, "numeric"), reset=False)
        return rows_of(X, net.dtype, fits=False)

    def _forward(self, net: Network, rows: Any, logits: bool = False) -> np.ndarray:
        """Return outputs, or logits, (N, O) for rows that have been checked."""
        if len(rows) <= FEW_ROWS and not logits and isinstance(rows, np.ndarray):
            return net(rows)  # for which the core has a fast path
        out = np.empty((len(rows), net.n_outputs), net.dtype)
        write_outputs(net.plan, net.params, rows, out, logits, threads.check_n_threads(self.n_threads))
        return out

    def _outputs(self, X: Any, logits: bool = False) -> np.ndarray:
        """Return outputs, or logits, (N, O)."""
        net = self._current_network()
        return self._forward(net, self._rows(X, net), logits)

    def hidden_layer(self, X: Any, layer: int = -1) -> np.ndarray:
        """Return the outputs of a hidden layer (n_samples, units), its activation applied.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)
        layer : int, default -1
            Index of the hidden layer from 0; negative ones count from the last.
        """
        net = self._current_network()
        return passes.hidden_layer(net, self._rows(X, net), self._layer(net, layer))

    def get_feature_names_out(self, input_features: Any = None, layer: int = -1) -> np.ndarray:
        """Return names (units,) of the columns that `hidden_layer` returns.

        Parameters
        ----------
        input_features : ignored
        layer : int, default -1
            As in `hidden_layer`.
        """
        net = self._current_network()
        units = net.layers[self._layer(net, layer)].units
        name = type(self).__name__.lower()
        return np.array([f"{name}{i}" for i in range(units)], dtype=object)

    @staticmethod
    def _layer(net: Network, layer: int) -> int:
        n_hidden = len(net.layers) - 1
        if not n_hidden:
            raise ValueError(f"layer must be a hidden layer, got {layer!r}, and there is none")
        if not isinstance(layer, (int, np.integer)) or not -n_hidden <= layer < n_hidden:
            raise ValueError(f"layer must be in {-n_hidden} .. {n_hidden - 1}, got {layer!r}")
        return int(layer) % n_hidden

    def input_gradient(self, X: Any) -> np.ndarray:
        """Return the gradient of the outputs with respect to the inputs, at each row.

        For a regressor it is the gradient of `predict`, before quantiles are sorted; for a classifier that of
        `decision_function`.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_features), or (n_samples, n_outputs, n_features) with several outputs
            Dense, also for a sparse X, as almost no element is 0: pass only as many rows as memory allows.

        Raises
        ------
        MemoryError
            If the result is larger than the memory of the machine.
        """
        net = self._current_network()
        rows = self._rows(X, net)
        logits = net.layers[-1].info.name in ("softmax", "sigmoid")
        gradient = passes.input_gradient(net, rows, logits)
        return gradient[:, 0] if net.n_outputs == 1 else gradient

    def summary(self) -> str:
        """Return a table of all dimensions, parameters and flops."""
        return self._current_network().summary()

    # scikit-learn's conventions

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        if hasattr(self, "coefs_"):
            self._current_network()
        state = dict(super().__getstate__())
        if "_net" in state:  # whose views they are
            del state["coefs_"], state["intercepts_"], state["_views"]
        return {**state, "_dnn_version": _version()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        before = state.pop("_dnn_version", "another version")
        if before != _version():
            warnings.warn(
                f"this {type(self).__name__} was pickled by dnn {before} and is loaded by {_version()}: what "
                "it predicts may differ. Fit it again, or load it with the version that wrote it",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
        if "_net" in state:
            self._take(self._net)


_SKLEARN_NAMES = {"sigmoid": "logistic"}
