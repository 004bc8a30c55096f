"""MLPRegressor: scikit-learn's, name for name, on the core of dnn, with further options."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils.validation import column_or_1d

from .._checks import check_name
from ..data import arrays as data
from ..data.arrays import numbers
from ..losses import Huber, Loss, Quantile
from ..predictor import Decoding, MethodPredictor, first_column, unchanged
from .base import BaseMLP
from .input import conversion_settings, validated
from .parameters import are_sizes
from .partial_fit import available_for_steps

REGRESSION_LOSSES = ("squared_error", "poisson", "absolute_error", "huber", "quantile")


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A regressor: scikit-learn's `MLPRegressor` with further options.

    Parameters
    ----------
    loss : str, Huber or Quantile, default "squared_error"
        squared_error (its half), poisson (outputs are then exp), absolute_error, huber, quantile (the
        median), or an object with parameters: ``Huber(2.0)``, ``Quantile((0.1, 0.5, 0.9))``. Several
        quantiles are columns of `predict`, in rising order.
    hidden_layer_sizes : int or list of int, default (100,)
        Units of each hidden layer; an empty list is linear or logistic regression.
    activation : str, LeakyReLU, ELU or a list of these, default "relu"
        Activation of all hidden layers, or one for each: identity, logistic (or sigmoid), tanh, relu,
        leaky_relu, elu, selu, gelu, gelu_tanh, silu (or swish), mish, softplus.
    solver : str or optimizer, default "adam"
        "adam", "sgd", "lbfgs", "adamw", "rmsprop", or an object such as ``SGD(0.1, momentum=0.9)``, which
        then sets the rate and the other factors.
    alpha : float, at least 0, default 0.0001
        L2 penalty: ``alpha / (2 n) sum W^2``, where n is the number of rows of the batch.
    batch_size : int or "auto", default "auto"
        Rows per step; "auto": 200, or all rows if there are fewer.
    learning_rate : "constant", "invscaling" or "adaptive", default "constant"
        Only with "sgd": the rate stays constant, is divided by ``(rows seen + 1) ** power_t``, or is divided
        by 5, down to 1e-6, whenever the training would otherwise end.
    learning_rate_init : float above 0, default 0.001
        The first rate.
    power_t : float, at least 0, default 0.5
        Exponent of "invscaling".
    max_iter : int, at least 1, default 200
        Passes over all rows; iterations of "lbfgs".
    shuffle : bool, default True
        Visit the rows in a new random order in each pass.
    random_state : None, int or RandomState, default None
        Source of the first weights, the validation set and the order of rows, drawn as in scikit-learn.
    tol : float, at least 0, default 0.0001
        The training ends when the loss, or with early_stopping the validation score, has not improved by more
        than this in n_iter_no_change passes; with "lbfgs" when no component of the gradient is larger.
    verbose : bool or int, default False
        Print a line for each iteration.
    warm_start : bool or "optimizer", default False
        Whether `fit` continues from the present weights; "optimizer": and from the state of the solver.
    momentum : float in [0, 1], default 0.9
        Momentum of "sgd".
    nesterovs_momentum : bool, default True
        Whether it is Nesterov's momentum.
    early_stopping : bool, default False
        Let the score on a validation set end the training; its best weights are then in place. A score that
        is not finite chooses no weights; where no score is, the last weights stay, with a warning.
    validation_fraction : float in [0, 1), default 0.1
        Share of the rows that is set aside for it, above 0; ignored where `fit` is given X_val.
    beta_1, beta_2, epsilon : float, default 0.9, 0.999 and 1e-8
        Factors of "adam" and "adamw".
    n_iter_no_change : int, at least 1, or inf, default 10
        See tol.
    max_fun : int, at least 1, default 15000
        Evaluations of the loss that "lbfgs" may take.
    l1 : float, at least 0, default 0
        L1 penalty: ``l1 / n sum |W|``.
    weight_decay : float, at least 0, or None, default None
        ``W -= rate * weight_decay * W`` at each step; None: 0.01 with "adamw", otherwise none.
    dropout : float or list of float in [0, 1), default 0
        Share of the outputs of each hidden layer that is dropped in training; or one rate for the inputs of
        each layer, beginning with the inputs of the network.
    schedule : schedule or None, default None
        The rate at each step, such as ``OneCycle(0.01, epochs=20)``, in place of learning_rate and
        learning_rate_init.
    clip_norm : float above 0 or None, default None
        The gradient is scaled down to this norm where it is longer.
    init : str, initializer or list, default "auto"
        The first weights, as in `Network`; "auto": scikit-learn's.
    dtype : "auto", "float32" or "float64", default "auto"
        Precision; "auto": float32 for float32 X, otherwise, and for "lbfgs", float64.
    scoring : str, callable or None, default None
        The validation score: "loss" (the negative loss is the score), or any scorer of scikit-learn; None:
        R2, or for several quantiles the loss.
    callbacks : tuple of callables, default ()
        Each is called with an `Event` (net, epoch, history, stop()) after each pass. A function alone is an
        error: write ``[f]``.
    progress : bool, default False
        Show a progress bar (needs tqdm).
    max_seconds : float above 0 or None, default None
        Stop after the steps that this time allows.
    n_threads : int in 1 .. 64 or "auto", default "auto"
        At most this many threads train and predict; "auto": as many as the process may use and the work keeps
        busy. Their number changes no bit of the result, except with "lbfgs".

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        W (n_in, n_out) and b (n_out,) of each layer, views of the network. Writing to them, or replacing
        them, takes effect at the next call.
    loss_, best_loss_ : float
        The last loss and the lowest; the lowest is None with early_stopping.
    loss_curve_ : list of float
        The loss of each iteration, penalties included, since the last `fit` that was not a warm start.
    validation_scores_, best_validation_score_ : list of float, float
        The score of each iteration and the best finite one, -inf before; None without a validation set.
    history_ : History
        The history of the last call: loss, val_loss, rate, seconds, stopped_by.
    n_iter_, t_ : int
        Iterations of the last call; rows seen.
    n_layers_, n_outputs_ : int
        Number of layers, inputs and outputs included; units of the last layer.
    out_activation_ : str
        Activation of the last layer.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import MLPRegressor
    >>> X = np.linspace(0, 3, 50)[:, None]
    >>> reg = MLPRegressor(hidden_layer_sizes=20, solver="lbfgs", random_state=0).fit(X, np.sin(X[:, 0]))
    >>> reg.predict([[1.5]]).round(1).tolist()
    [1.0]
    """

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        l1: Any = 0.0,
        weight_decay: Any = None,
        dropout: Any = 0.0,
        schedule: Any = None,
        clip_norm: Any = None,
        init: Any = "auto",
        dtype: Any = "auto",
        scoring: Any = None,
        callbacks: Any = (),
        progress: Any = False,
        max_seconds: Any = None,
        n_threads: Any = "auto",
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.l1 = l1
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.init = init
        self.dtype = dtype
        self.scoring = scoring
        self.callbacks = callbacks
        self.progress = progress
        self.max_seconds = max_seconds
        self.n_threads = n_threads

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | float | None = None,
        resume: bool = False,
    ) -> MLPRegressor:
        """Train, and return self.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features), RowSource or Stream
            Also a table of pandas or polars. A sparse matrix is never made dense. Or a source that is read
            block by block, as in `Network.fit`.
        y : array_like (n_samples,) or (n_samples, n_targets), default None
            None with a source.
        sample_weight : array_like (n_samples,), default None
            A weight of 2 counts as two equal rows. In the loss only the ratios of the weights matter; in the
            penalties their sum stands for n, where the sum of a batch counts as at least a hundredth of that
            of an average batch, and a mean outside 2^-20 .. 2^20 as 1.
        X_val, y_val, sample_weight_val : default None
            A validation set, evaluated after each iteration: see `history_` and `validation_scores_`; arrays,
            or a source as X_val. With early_stopping it replaces the rows that would be set aside, which a
            source as X cannot.
        checkpoint, every, resume
            As in `Network.fit`: a file from which an interrupted training resumes to the same bits. Give
            random_state, because another one draws other first weights and another validation set.

        Raises
        ------
        DivergedError
            A ValueError: the loss or a weight is not finite. With early_stopping it is a warning.

        Examples
        --------
        >>> from dnn import MLPRegressor
        >>> reg = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0)
        >>> reg.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).coefs_[0].round(2).tolist()
        [[2.0]]
        """
        saving: dict[str, Any] = {"checkpoint": checkpoint, "every": every, "resume": resume}
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), **saving)
        return self

    @available_for_steps
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Do one iteration over these rows, with the state of the solver after the last call; return self.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        """
        self._fit(X, y, sample_weight, (None, None, None), incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n_samples,), or (n_samples, n_outputs) for several targets or quantiles.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)
            Fastest is an array of the network's precision in C order.

        Examples
        --------
        >>> from dnn import MLPRegressor, Quantile
        >>> reg = MLPRegressor(Quantile((0.1, 0.9)), 8, max_iter=20, tol=1.0, random_state=0)
        >>> reg.fit([[0.0], [1.0]], [0.0, 1.0]).predict([[0.5]]).shape
        (1, 2)
        """
        outputs = self._outputs(X)
        predictions: np.ndarray = self._decoder(outputs.shape[1])(outputs)
        return predictions

    def predictor(self) -> MethodPredictor:
        """Return `predict` of the present regressor as a fast function of X alone.

        It takes numeric rows (n_samples, n_features), does not check for NaN or the names of columns, and is
        fastest on an array of the network's precision in C order.

        Examples
        --------
        >>> import numpy as np
        >>> from dnn import MLPRegressor
        >>> reg = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0)
        >>> predict = reg.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).predictor()
        >>> predict(np.array([[3.0]])).round(2).tolist()
        [7.0]
        """
        net = self._current_network()
        return MethodPredictor(net, self._decoder(net.n_outputs), False)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 of `predict`; for several quantiles the mean of their D2, a share of the loss.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)
        y : array_like (n_samples,) or (n_samples, n_targets)
        sample_weight : array_like (n_samples,), default None

        Examples
        --------
        >>> from dnn import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
        >>> MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0).fit(X, y).score(X, y) > 0.99
        True
        """
        levels, sample_weight = self._levels(), data.score_weights(sample_weight)
        if len(levels) < 2:
            return float(super().score(X, y, sample_weight))
        columns = zip(levels, self.predict(X).T, strict=True)
        scores = [d2_pinball_score(y, column, sample_weight=sample_weight, alpha=a) for a, column in columns]
        return float(np.mean(scores))

    # Methods that the base class calls

    def decoding(self) -> Decoding:
        """Return what `predict` makes of the network's outputs: nothing, or several quantiles are sorted.

        Examples
        --------
        >>> from dnn import MLPRegressor
        >>> MLPRegressor().decoding().kind
        'outputs'
        """
        return Decoding("quantiles" if len(self._levels()) > 1 else "outputs", None)

    def _levels(self) -> tuple[float, ...]:
        """Return the levels of the quantiles; none for other losses."""
        levels = self.loss.levels if isinstance(self.loss, Quantile) else ()
        return levels if isinstance(levels, tuple) else (levels,)

    def _decoder(self, n_outputs: int) -> Any:
        """Return the function from outputs (N, n_outputs) to predictions."""
        if n_outputs == 1:
            return first_column
        return _sorted_quantiles if len(self._levels()) > 1 else unchanged

    def _check_parameters(self) -> list[int]:
        if isinstance(self.loss, str):
            check_name("loss", self.loss, REGRESSION_LOSSES)
        elif not isinstance(self.loss, (Huber, Quantile)):
            hint = f": did you mean {self.loss.__name__}()?" if isinstance(self.loss, type) else ""
            if are_sizes(self.loss):
                hint = f": did you mean hidden_layer_sizes={self.loss!r}?"
            raise TypeError(f"loss must be a name, Huber or Quantile, got {self.loss!r}{hint}")
        sizes: list[int] = super()._check_parameters()
        return sizes

    def _read_targets(
        self, X: Any, y: Any, first: bool, incremental: bool, dtype: Any, classes: Any
    ) -> tuple[Any, Any]:
        settings = conversion_settings(X, dtype)
        X, y = validated(self, X, y, multi_output=True, y_numeric=True, **settings, reset=first)
        return X, self._encode(y)

    def _encode(self, y: Any, name: str = "y") -> np.ndarray:
        y = np.asarray(numbers(y, name))
        if y.ndim not in (1, 2):
            raise ValueError(f"{name} must have shape (n_samples,) or (n_samples, n_targets), got {y.shape}")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if len(self._levels()) > 1 and y.ndim == 2:
            raise ValueError(f"{name} must be one target for several quantiles, got shape {y.shape}")
        targets: np.ndarray = y
        return targets

    def _output(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _n_outputs(self, y: np.ndarray) -> int:
        return max(1, len(self._levels())) if y.ndim == 1 else y.shape[1]

    def _loss(self) -> Loss:
        loss: Loss = self.loss
        return loss

    def _default_scoring(self) -> str:
        return "loss" if len(self._levels()) > 1 else "r2"

    def _score_of(
        self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None, varied: bool
    ) -> float:
        seen = y if weights is None else y[weights > 0]
        if varied and (seen == seen[:1]).all():
            return np.nan  # R2 compares with the spread of the targets, which is 0 here
        return float(r2_score(y, outputs, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = len(self._levels()) < 2
        tags.target_tags.positive_only = self.loss == "poisson"
        # Only squared_error maximizes R2
        tags.regressor_tags.poor_score = self.loss != "squared_error"
        return tags


def _sorted_quantiles(outputs: np.ndarray) -> np.ndarray:
    return np.sort(outputs, axis=1)
