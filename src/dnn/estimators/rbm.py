"""A restricted Boltzmann machine with scikit-learn's interface, trained in the core."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import _checks as checks
from .. import _core
from .. import _threads as threads
from ..network import Network
from ..sampler import Sampler
from .input import validated
from .parameters import adopt, draft_of

SECONDS = 0.1  # of a call of the core, about
FLOPS_FIRST = 1e8  # of the first call, whose speed is not known yet


class BernoulliRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A restricted Boltzmann machine: binary hidden units model features with values between 0 and 1.

    The parameters and attributes are those of `sklearn.neural_network.BernoulliRBM`; after them are four of
    dnn's own. The probability of visible units v and hidden units h is proportional to ``exp(h W v + c h +
    b v)``. Given one kind of unit, those of the other kind are independent, so that inference is one matrix
    product. The gradient of the log likelihood is the mean of h v' over the data, minus its mean over the
    model, which Markov chains estimate.

    Parameters
    ----------
    n_components : int, default 256
        Number of hidden units.
    learning_rate : float, default 0.1
        Step length of the gradient, averaged over a batch. Values from 0.01 to 0.1 are usual.
    batch_size : int, default 10
        Rows per update, and number of Markov chains.
    n_iter : int, default 10
        Passes over the rows, in their order: shuffle sorted rows before.
    verbose : int, default 0
        Not 0: the mean of `score_samples` is printed after each pass.
    random_state : int, RandomState or None, default None
        Source of the first weights, which are normal with a standard deviation of 0.01, and of the seed of
        all draws.
    n_steps : int, default 1
        Gibbs steps of the chains per update, the k of CD-k.
    persistent : bool, default True
        True: chains continue from update to update (persistent contrastive divergence, as in scikit-learn).
        False: each update starts them at its rows (contrastive divergence), which reconstructs better and
        models worse.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Precision. "auto": float32 if X is, otherwise float64, as scikit-learn does.
    n_threads : int in 1 .. 64 or "auto", default "auto"
        Number of threads; the result is the same with any. "auto": as many as make an update faster.

    Attributes
    ----------
    components_ : ndarray (n_components, n_features)
        The weights W.
    intercept_hidden_ : ndarray (n_components,)
        The biases c of the hidden units.
    intercept_visible_ : ndarray (n_features,)
        The biases b of the visible units.
    h_samples_ : ndarray (batch_size, n_components)
        Hidden units of the persistent chains.
    network_ : Network
        A new network that computes `transform`: to save or to export, or to begin a deep network with.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had names of columns.

    Notes
    -----
    Differences from scikit-learn: an update has as many chains as its batch has rows, also the last,
    shorter one of a pass. `partial_fit` cuts its rows into batches. `score_samples` chooses the feature
    that it flips by a hash of the row, so that the score of a row is always the same. `gibbs` returns zeros
    and ones in the precision of the model.

    References
    ----------
    Hinton (2002), "Training products of experts by minimizing contrastive divergence", Neural Computation
    14, section 6. Tieleman (2008), "Training restricted Boltzmann machines using approximations to the
    likelihood gradient", ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import BernoulliRBM
    >>> X = np.repeat([[0, 0, 1, 1], [1, 1, 0, 0]], 50, axis=0)[np.random.default_rng(0).permutation(100)]
    >>> rbm = BernoulliRBM(n_components=2, learning_rate=0.5, n_iter=100, random_state=0).fit(X)
    >>> rbm.transform(X).shape
    (100, 2)
    >>> float(rbm.score_samples(X).mean()) > float(rbm.score_samples(1 - X[:, [0, 2, 1, 3]]).mean())
    True
    """

    components_: np.ndarray
    intercept_hidden_: np.ndarray
    intercept_visible_: np.ndarray
    h_samples_: np.ndarray
    _sampler: Sampler

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        verbose: int = 0,
        random_state: Any = None,
        n_steps: int = 1,
        persistent: bool = True,
        dtype: Any = "auto",
        n_threads: Any = "auto",
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state
        self.n_steps = n_steps
        self.persistent = persistent
        self.dtype = dtype
        self.n_threads = n_threads

    # Training

    def fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """Fit the model to the rows of X, from new weights, and return self.

        Ctrl-C ends a training within 0.2 s, and leaves the weights that it has reached.

        Parameters
        ----------
        X : array_like or sparse matrix (N, n_features)
            Values between 0 and 1. The rows of a sparse matrix are made dense in pieces.
        y : None
            Ignored.

        Returns
        -------
        BernoulliRBM

        Raises
        ------
        TypeError, ValueError
            If a parameter or X is refused; the estimator is then as before.

        Examples
        --------
        >>> from dnn import BernoulliRBM
        >>> BernoulliRBM(n_components=2, random_state=0).fit([[0, 1], [1, 0]]).components_.shape
        (2, 2)
        """
        return self._train(X, first=True, n_iter=checks.check_integer("n_iter", self.n_iter, 0))

    def partial_fit(self, X: Any, y: Any = None) -> BernoulliRBM:
        """Pass over the rows of X once, with the weights and chains as they are, and return self.

        The rows are cut into batches of batch_size rows.

        Parameters
        ----------
        X : array_like or sparse matrix (N, n_features)
            Values between 0 and 1.
        y : None
            Ignored.

        Returns
        -------
        BernoulliRBM

        Raises
        ------
        TypeError, ValueError
            If a parameter or X is refused; the estimator is then as before.

        Examples
        --------
        >>> from dnn import BernoulliRBM
        >>> rbm = BernoulliRBM(n_components=2, random_state=0)
        >>> for _ in range(3):
        ...     _ = rbm.partial_fit([[0, 1], [1, 0]])
        >>> rbm.h_samples_.shape
        (10, 2)
        """
        return self._train(X, first=not hasattr(self, "components_"), n_iter=1)

    def _train(self, X: Any, first: bool, n_iter: int) -> BernoulliRBM:
        """Pass over the rows of X n_iter times; first: from new weights."""
        n_components = checks.check_integer("n_components", self.n_components, 1)
        batch = checks.check_integer("batch_size", self.batch_size, 1)
        rate = checks.check_real("learning_rate", self.learning_rate, 0.0, above=True)
        n_steps = checks.check_integer("n_steps", self.n_steps, 1, 2**31 - 1)
        persistent = checks.check_boolean("persistent", self.persistent)
        n_threads = threads.check_n_threads(self.n_threads)
        if not isinstance(self.verbose, (bool, np.bool_)):
            checks.check_integer("verbose", self.verbose, 0)
        dtype: Any = [np.float64, np.float32]
        if not first:
            dtype = self._parameters()[0].dtype
        elif not (isinstance(self.dtype, str) and self.dtype == "auto"):
            dtype = checks.check_dtype(self.dtype)
        draft = draft_of(self)
        X = validated(draft, X, accept_sparse="csr", dtype=dtype, order="C", reset=first)
        if first:
            draft._initialize(X, n_components, batch)
        elif self.h_samples_.shape != (batch, n_components):
            raise ValueError(
                f"n_components and batch_size must be as in the first call, {self.h_samples_.shape[::-1]}, "
                f"got {(n_components, batch)}"
            )
        else:
            draft._take_over()
        trainer = _core.RbmTrainer(
            draft.components_, draft.intercept_hidden_, draft.intercept_visible_, draft.h_samples_,
            batch=batch, rate=rate, n_gibbs=n_steps, persistent=persistent, seed=draft._sampler.seed,
            call=draft._sampler.counter, n_threads=n_threads,
        )  # fmt: skip
        adopt(self, draft)
        try:
            self._passes(trainer, X, n_iter)
        finally:
            self._sampler.counter = trainer.call
            trainer.close()
        return self

    def _initialize(self, X: Any, n_components: int, batch: int) -> None:
        """Draw the first weights, and the seed of all draws to come."""
        try:
            rng = check_random_state(self.random_state)
        except (TypeError, ValueError):
            raise ValueError(
                "random_state must be None, a whole number in 0 .. 2**32 - 1, or a numpy.random.RandomState, "
                f"got {self.random_state!r}"
            ) from None
        n_features = X.shape[1]
        self.components_ = rng.normal(0, 0.01, (n_components, n_features)).astype(X.dtype)
        self.intercept_hidden_ = np.zeros(n_components, X.dtype)
        self.intercept_visible_ = np.zeros(n_features, X.dtype)
        self.h_samples_ = np.zeros((batch, n_components), X.dtype)
        self._sampler = Sampler(rng)
        self._n_features_out = n_components

    def _take_over(self) -> None:
        """Copy the arrays in the form that the core trains, so that a copy of the estimator keeps its own."""
        W, c, b = self._parameters()
        self.components_, self.intercept_hidden_, self.intercept_visible_ = W.copy(), c.copy(), b.copy()
        self.h_samples_ = np.array(self.h_samples_, W.dtype, order="C")
        self._sampler = copy.copy(self._sampler)

    def _parameters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return W, c and b as they are now, contiguous and of one dtype, checked."""
        check_is_fitted(self)
        W = np.asarray(self.components_)
        dtype = np.float32 if W.dtype == np.float32 else np.float64
        arrays = []
        for name, shape in (
            ("components_", (self._n_features_out, self.n_features_in_)),
            ("intercept_hidden_", (self._n_features_out,)),
            ("intercept_visible_", (self.n_features_in_,)),
        ):
            array = np.ascontiguousarray(getattr(self, name), dtype)
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
            arrays.append(array)
        return arrays[0], arrays[1], arrays[2]

    def _passes(self, trainer: Any, X: Any, n_iter: int) -> None:
        """Pass over the rows of X n_iter times, in calls of the core of about SECONDS."""
        n_rows, batch = X.shape[0], self.h_samples_.shape[0]
        flops = 2.0 * self.components_.size * (3 + 2 * self.n_steps)  # per row
        rows_per_call = max(batch, int(FLOPS_FIRST / flops) // batch * batch)
        for iteration in range(1, n_iter + 1):
            begin, first_row = time.perf_counter(), 0
            while first_row < n_rows:
                piece = X[first_row : first_row + rows_per_call]
                started = time.perf_counter()
                trainer.steps(piece.toarray() if hasattr(piece, "toarray") else piece)
                took = time.perf_counter() - started
                first_row += piece.shape[0]
                if piece.shape[0] == rows_per_call:
                    rows_per_call = max(batch, int(rows_per_call * min(8.0, SECONDS / took)) // batch * batch)
            if not all(
                map(_core.all_finite, (self.components_, self.intercept_hidden_, self.intercept_visible_))
            ):
                raise ValueError(
                    f"the weights are not finite after pass {iteration}: X must be between 0 and 1, and "
                    f"learning_rate small enough, got {self.learning_rate!r}"
                )
            if self.verbose:
                score, took = self.score_samples(X).mean(), time.perf_counter() - begin
                scored = f"pseudo-likelihood = {score:.2f}, time = {took:.2f}s"
                print(f"[{type(self).__name__}] Iteration {iteration}, {scored}")

    # Use

    @property
    def network_(self) -> Network:
        """A new network that computes `transform`."""
        return self._network("sigmoid")

    def _rows(self, X: Any, name: str = "X", sparse: bool = True) -> Any:
        """Return rows in the precision of the model, checked."""
        check_is_fitted(self)
        dtype = np.float32 if np.asarray(self.components_).dtype == np.float32 else np.float64
        accepted = "csr" if sparse else False
        return validated(self, X, name=name, accept_sparse=accepted, dtype=dtype, order="C", reset=False)

    def _network(self, output: str) -> Network:
        """Return the network from the visible to the hidden units, as they are now."""
        W, c, _ = self._parameters()
        return Network([W.shape[1], W.shape[0]], output=output, init=[(W.T, c)], dtype=W.dtype)

    def transform(self, X: Any) -> np.ndarray:
        """Return the probabilities of the hidden units, sigmoid(X W' + c).

        Parameters
        ----------
        X : array_like or sparse matrix (N, n_features)

        Returns
        -------
        ndarray (N, n_components)

        Examples
        --------
        >>> from dnn import BernoulliRBM
        >>> BernoulliRBM(n_components=2, n_iter=0, random_state=0).fit([[0, 0]]).transform([[0, 0]])
        array([[0.5, 0.5]])
        """
        rows, net = self._rows(X), self._network("sigmoid")
        out = np.empty((rows.shape[0], net.n_outputs), net.dtype)
        for piece, V in _dense(rows, net):
            net(V, out=out[piece])
        return out

    def gibbs(self, v: Any) -> np.ndarray:
        """Return visible units after one Gibbs step: hidden units are drawn, then visible units given them.

        Parameters
        ----------
        v : array_like (N, n_features)
            Visible units to start from.

        Returns
        -------
        ndarray (N, n_features)
            Zeros and ones.

        Examples
        --------
        >>> from dnn import BernoulliRBM
        >>> rbm = BernoulliRBM(n_components=2, random_state=0).fit([[0, 1], [1, 0]])
        >>> rbm.gibbs([[0, 1]]).shape
        (1, 2)
        """
        W, _, b = self._parameters()
        rows = self._rows(v, "v", sparse=False)
        h = self._network("identity")(rows)
        self._sampler.bernoulli(h, out=h)
        v_logits = Network([W.shape[0], W.shape[1]], init=[(W, b)], dtype=W.dtype)(h)
        return self._sampler.bernoulli(v_logits, out=v_logits)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the pseudo-likelihood of each row, estimated from one of its features.

        It is n_features times the log probability of one feature given the others. The feature is chosen by
        a hash of the row. The mean over many rows estimates the sum over all features of log P(v_i | the
        other features), which can be computed, as the likelihood cannot. A feature with another value than
        0 or 1 is compared with 1 minus it, as in scikit-learn.

        Parameters
        ----------
        X : array_like or sparse matrix (N, n_features)
            Values between 0 and 1.

        Returns
        -------
        ndarray (N,)
            At most 0; higher is better.

        Examples
        --------
        >>> from dnn import BernoulliRBM
        >>> rbm = BernoulliRBM(n_components=2, n_iter=0, random_state=0).fit([[0, 0]])
        >>> rbm.score_samples([[0, 0]]).round(1)  # 2 log(1/2): it has not been trained
        array([-1.4])
        """
        rows = self._rows(X)
        net, b = self._network("softplus"), self._parameters()[2]
        scores = np.empty(rows.shape[0], rows.dtype)
        for piece, V in _dense(rows, net):
            each, i = np.arange(len(V)), _features_of(V)
            flipped = V.copy()
            flipped[each, i] = 1 - V[each, i]
            # P(v_i | others) = sigmoid(F(flipped) - F(v)); the free energy is
            # F(v) = -b v - sum softplus(v W' + c)
            difference = b[i] * (V - flipped)[each, i] + net(V).sum(axis=1) - net(flipped).sum(axis=1)
            scores[piece] = -V.shape[1] * np.logaddexp(0, -difference)
        return scores

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        auto = isinstance(self.dtype, str) and self.dtype == "auto"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"] if auto else []
        return tags


def _dense(rows: Any, net: Network) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield pieces of rows that are moderate in size, dense, and where they are."""
    length = max(1, 2**20 // max(net.n_inputs, net.n_outputs))
    for begin in range(0, rows.shape[0], length):
        piece = slice(begin, begin + length)
        yield piece, rows[piece].toarray() if hasattr(rows, "toarray") else rows[piece]


def _features_of(V: np.ndarray) -> np.ndarray:
    """Return a feature (N,) for each row, by a hash of its values."""
    factors = np.random.default_rng(0).integers(0, 2**64, V.shape[1], np.uint64) | np.uint64(1)
    bits = np.ascontiguousarray(V + 0, np.float64).view(np.uint64)  # + 0: -0 becomes 0
    hashes: np.ndarray = ((bits ^ (bits >> np.uint64(29))) * factors).sum(axis=1, dtype=np.uint64)
    hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
    return (hashes * np.uint64(V.shape[1]) >> np.uint64(32)).astype(np.intp)
