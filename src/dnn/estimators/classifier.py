"""MLPClassifier: scikit-learn's, name for name, on the core of dnn, with further options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from .._checks import check_name, check_real
from ..data import arrays as data
from ..data.classes import class_counts
from ..data.streams import Stream
from ..losses import LogLoss, Loss
from ..predictor import Decoding, MethodPredictor, first_column, unchanged
from .base import BaseMLP
from .input import conversion_settings, validated
from .labels import Labels
from .partial_fit import available_for_steps
from .stream import labels_of_source, streamed_class_weight


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A classifier: scikit-learn's `MLPClassifier` with further options.

    Parameters
    ----------
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
        the accuracy.
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
    class_weight : dict, "balanced" or None, default None
        A weight for each class, which multiplies those of the rows; "balanced": n / (number of classes x rows
        of the class). For several labels at once a list of dicts, as everywhere in scikit-learn.
    label_smoothing : float in [0, 1), default 0
        Targets are moved towards equal probabilities by this share.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        The labels, sorted.
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
    >>> from dnn import MLPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["no", "yes", "yes", "no"]
    >>> clf = MLPClassifier((8,), activation="tanh", solver="lbfgs", random_state=0).fit(X, y)
    >>> clf.predict(X).tolist()
    ['no', 'yes', 'yes', 'no']
    """

    def __init__(
        self,
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
        class_weight: Any = None,
        label_smoothing: Any = 0.0,
    ) -> None:
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
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing

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
    ) -> MLPClassifier:
        """Train, and return self.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features), RowSource or Stream
            Also a table of pandas or polars. A sparse matrix is never made dense. Or a source that is read
            block by block, as in `Network.fit`; its targets are read once before, to know the labels.
        y : array_like, default None
            Labels (n_samples,), or for several at once an array (n_samples, n_classes) of 0 and 1; None with
            a source.
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
        >>> from dnn import MLPClassifier
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
        >>> clf = MLPClassifier(8, max_iter=500, learning_rate_init=0.05, random_state=0)
        >>> clf.fit(X, y, X_val=[[0.5], [2.5]], y_val=[0, 1]).validation_scores_[-1]
        1.0
        """
        saving: dict[str, Any] = {"checkpoint": checkpoint, "every": every, "resume": resume}
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), **saving)
        return self

    @available_for_steps
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """Do one iteration over these rows, with the state of the solver after the last call; return self.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array_like (n_classes,), default None
            All labels that will ever come; must be given in the first call.
        """
        self._fit(X, y, sample_weight, (None, None, None), incremental=True, classes=classes)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return labels (n_samples,), or for several labels at once 0 and 1 (n_samples, n_classes).

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)
            Fastest is an array of the network's precision in C order.

        Examples
        --------
        >>> from dnn import MLPClassifier
        >>> clf = MLPClassifier((), solver="lbfgs").fit([[0.0], [1.0]], ["left", "right"])
        >>> clf.predict([[-1.0], [2.0]]).tolist()
        ['left', 'right']
        """
        return self._fitted_labels().decode(self._outputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class (n_samples, n_classes), columns as in `classes_`.

        If `fit` has seen only one class, there is one column of ones, as in scikit-learn's trees and
        neighbors; its `MLPClassifier` has two columns then, of which the second belongs to no class.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)

        Examples
        --------
        >>> from dnn import MLPClassifier
        >>> clf = MLPClassifier((), solver="lbfgs", alpha=1.0, random_state=0).fit([[-1.0], [1.0]], [0, 1])
        >>> clf.predict_proba([[0.0]]).round(2).tolist()
        [[0.5, 0.5]]
        """
        labels = self._fitted_labels()
        if labels.kind != "binary":
            return self._outputs(X)
        proba = _two_probabilities if len(labels.classes) == 2 else _one_probability
        return proba(self._outputs(X, logits=True))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of each probability (n_samples, n_classes), finite where that is 0.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)

        Examples
        --------
        >>> from dnn import MLPClassifier
        >>> clf = MLPClassifier((), solver="lbfgs").fit([[-1.0], [1.0]], [0, 1])
        >>> bool((clf.predict_log_proba([[0.0], [1e3]]) <= 0).all())
        True
        """
        proba = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            log_proba: np.ndarray = np.log(proba)
        if (proba <= np.finfo(proba.dtype).tiny).any():
            logits = self._outputs(X, logits=True)
            kind = self._fitted_labels().kind
            if kind == "binary":
                logits = np.hstack([-logits, logits])
            exact = log_softmax(logits, axis=1) if kind == "multiclass" else log_expit(logits)
            log_proba = np.where(proba > np.finfo(proba.dtype).tiny, log_proba, exact)
        return log_proba

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits before the last activation (n_samples, n_classes).

        For two classes (n_samples,), the log-odds of the second.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)

        Examples
        --------
        >>> from dnn import MLPClassifier
        >>> clf = MLPClassifier((), solver="lbfgs", alpha=1.0, random_state=0).fit([[-1.0], [1.0]], [0, 1])
        >>> clf.decision_function([[-1.0], [1.0]]).round(1).tolist()
        [-0.7, 0.7]
        """
        logits = self._outputs(X, logits=True)
        return logits[:, 0] if self._fitted_labels().kind == "binary" else logits

    def predictor(self, method: str = "predict") -> MethodPredictor:
        """Return a method of the present classifier as a fast function of X alone.

        It takes numeric rows (n_samples, n_features), does not check for NaN or the names of columns, and is
        fastest on an array of the network's precision in C order.

        Parameters
        ----------
        method : "predict", "predict_proba" or "decision_function", default "predict"

        Examples
        --------
        >>> import numpy as np
        >>> from dnn import MLPClassifier
        >>> clf = MLPClassifier((), solver="lbfgs").fit([[0.0], [1.0]], ["left", "right"])
        >>> clf.predictor()(np.array([[2.0]])).tolist()
        ['right']
        """
        check_name("method", method, ("predict", "predict_proba", "decision_function"))
        net, labels = self._current_network(), self._fitted_labels()
        if method == "predict":
            return MethodPredictor(net, labels.decode, False)
        if labels.kind != "binary":
            return MethodPredictor(net, unchanged, method != "predict_proba")
        both = _two_probabilities if len(labels.classes) == 2 else _one_probability
        return MethodPredictor(net, both if method == "predict_proba" else first_column, True)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows whose labels `predict` gives; of several labels at once all must agree.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)
        y : array_like
            Labels, as in `fit`.
        sample_weight : array_like (n_samples,), default None

        Examples
        --------
        >>> from dnn import MLPClassifier
        >>> X, y = [[0.0], [1.0]], ["left", "right"]
        >>> MLPClassifier((), solver="lbfgs").fit(X, y).score(X, y)
        1.0
        """
        return float(super().score(X, y, data.score_weights(sample_weight)))

    # Methods that the base class calls

    def decoding(self) -> Decoding:
        """Return what `predict` makes of the network's outputs, by the labels that `fit` has seen.

        Examples
        --------
        >>> from dnn import MLPClassifier
        >>> clf = MLPClassifier((), solver="lbfgs").fit([[0.0], [1.0]], ["left", "right"])
        >>> clf.decoding().kind, clf.decoding().classes.tolist()
        ('binary', ['left', 'right'])
        """
        labels = self._fitted_labels()
        kind = {"multilabel-indicator": "multilabel"}.get(labels.kind, labels.kind)
        return Decoding("one_class" if len(labels.classes) == 1 else kind, labels.classes)

    def _fitted_labels(self) -> Labels:
        """Return the labels that the classifier has been fitted to."""
        labels: Labels | None = self.__dict__.get("_labels")
        if labels is None:
            hint = " coefs_ are set, but do not say which labels there are." if "coefs_" in vars(self) else ""
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate "
                f"arguments before using this estimator.{hint}"
            )
        return labels

    def __sklearn_is_fitted__(self) -> bool:
        return "_labels" in vars(self) and "coefs_" in vars(self)

    def _check_parameters(self) -> list[int]:
        check_real("label_smoothing", self.label_smoothing, 0.0, 1.0)
        sizes: list[int] = super()._check_parameters()
        return sizes

    def _read_targets(
        self, X: Any, y: Any, first: bool, incremental: bool, dtype: Any, classes: Any
    ) -> tuple[Any, Any]:
        fresh = first or "_labels" not in vars(self)
        if fresh and incremental and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        X, y = validated(self, X, y, multi_output=True, **conversion_settings(X, dtype), reset=first)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if fresh:
            several = incremental and not type_of_target(y).startswith("multilabel")
            self._labels = Labels(_labels_given(classes) if several else y)
            self.classes_ = self._labels.classes
        elif incremental:
            if classes is not None and not np.array_equal(self.classes_, _labels_given(classes)):
                raise ValueError(f"classes must be those of the first call, {self.classes_}, got {classes!r}")
        else:
            classes = unique_labels(y)
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to "
                    f"fit. Previously got {self.classes_}, `y` has {classes}"
                )
        return X, self._encode(y)

    def _read_streamed_labels(self, stream: Stream, some_y: np.ndarray, first: bool) -> Any:
        labels, counts = labels_of_source(stream, some_y)
        if first or "_labels" not in vars(self):
            self._labels, self.classes_ = labels, labels.classes
        elif set(labels.classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where the source has the same classes as in the previous call "
                f"to fit. Previously got {self.classes_}, the source has {labels.classes}"
            )
        return streamed_class_weight(self, counts)

    def _streamed_class_weight_val(self, stream: Stream) -> Any:
        counts = np.zeros(len(self.classes_), np.int64)
        if isinstance(self.class_weight, str):
            found, n = class_counts(stream, "y_val")
            self._labels.encode(found, "y_val")  # refuses others
            counts[np.searchsorted(self.classes_, found)] = n
        return streamed_class_weight(self, counts)

    def _encode(self, y: Any, name: str = "y") -> np.ndarray:
        if not hasattr(y, "toarray"):
            y = data.array_of(y, name)
        if y.ndim == 2 and y.shape[1] == 1 and self._labels.kind != "multilabel-indicator":
            y = column_or_1d(y)
        return self._labels.encode(y, name)

    def _output(self) -> str:
        return self._fitted_labels().output

    def _n_outputs(self, y: np.ndarray) -> int:
        return self._labels.n_outputs

    def _loss(self) -> Loss:
        # scikit-learn clips probabilities to eps in the losses that it prints; with several labels at once it
        # clips each of them, which the core does not
        plain = self.label_smoothing == 0 and self._labels.kind != "multilabel-indicator"
        return LogLoss(self.label_smoothing, float(-np.log(np.finfo(self._net.dtype).eps)) if plain else None)

    def _default_scoring(self) -> str:
        return "accuracy"

    def _score_of(
        self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None, varied: bool
    ) -> float:
        right = self._labels.class_indices(outputs) == (y[:, 0] if self._labels.kind == "binary" else y)
        return float(np.average(right.all(axis=1) if right.ndim == 2 else right, weights=weights))

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        # As in scikit-learn, only for two classes
        return np.where(y[:, 0] > 0, "True", "False") if self._labels.kind == "binary" else None

    def _class_weights(self, y: np.ndarray, incremental: bool) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if self._labels.kind == "multilabel-indicator":
            of_rows = compute_sample_weight(self.class_weight, y.astype(np.int64))
            return data.weights(of_rows, len(y), name="class_weight")
        indices = y[:, 0].astype(np.int64) if y.ndim == 2 else y
        weights: Any = self.class_weight
        if isinstance(weights, str):
            check_name("class_weight", weights, ("balanced",))
            if incremental:
                raise ValueError(
                    "class_weight must be a dict for partial_fit, got 'balanced': one call does not know how "
                    "many rows of a class there are"
                )
        elif not isinstance(weights, Mapping):
            raise TypeError(
                f"class_weight must be 'balanced', None, or a dict {{class: weight}}, got {weights!r}"
            )
        else:
            known = self.classes_.tolist()
            for label, weight in weights.items():
                if label not in known:
                    raise ValueError(f"class_weight must be of classes {known}, got {label!r}")
                check_real(f"class_weight of {label!r}", weight, 0.0)
            weights = {known.index(label): weight for label, weight in weights.items()}
        n_classes = max(2, len(self.classes_))
        return data.class_weights(weights, data.Targets(None, indices), n_classes)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _two_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, 2) of two classes."""
    # Not 1 - p, which is 0 where p is nearly 1
    proba: np.ndarray = expit(np.hstack([-logits, logits]))
    return proba


def _one_probability(logits: np.ndarray) -> np.ndarray:
    """Return the probability (N, 1) of a single class."""
    return np.ones((len(logits), 1), logits.dtype)


def _labels_given(classes: Any) -> np.ndarray:
    """Return the labels that a caller lists, sorted, or one clear error."""
    if isinstance(classes, str) or not hasattr(classes, "__len__") or not len(classes):
        raise ValueError(f"classes must be a list of all labels, got {classes!r}")
    try:
        labels: np.ndarray = unique_labels(classes)
    except (TypeError, ValueError) as error:
        raise ValueError(f"classes must be a list of all labels, got {classes!r}: {error}") from None
    return labels
