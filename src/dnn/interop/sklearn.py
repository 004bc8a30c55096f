"""Fitted networks of scikit-learn: `dnn.from_sklearn` reads them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..estimators.base import BaseMLP
from ..estimators.classifier import MLPClassifier
from ..estimators.convergence import TrainingRecord
from ..estimators.labels import Labels
from ..estimators.optimizer import SklearnLearningRate
from ..estimators.regressor import MLPRegressor


def from_sklearn(model: Any) -> MLPClassifier | MLPRegressor:
    """Return the fitted estimator of dnn that predicts what a fitted one of scikit-learn predicts.

    Its parameters and its fitted attributes are copies of those of the model. `partial_fit` continues as that
    of the model would, with the momenta and the learning rate of "sgd", or the moments and the step count of
    "adam". `fit` continues from the weights with ``warm_start=True``, and from the state of the solver too
    with ``warm_start="optimizer"``. Only attributes of the model are read.

    Parameters
    ----------
    model : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted. From a pipeline, pass its last step.

    Returns
    -------
    MLPClassifier or MLPRegressor
        In the precision of the model. It has no ``history_`` before it is trained itself.

    Raises
    ------
    TypeError
        For any other object.
    ValueError
        For a model that is not fitted, or whose weights do not form a chain of layers.

    Examples
    --------
    >>> import dnn
    >>> from sklearn.neural_network import MLPRegressor
    >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
    >>> model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0, random_state=0)
    >>> reg = dnn.from_sklearn(model.fit(X, y))
    >>> type(reg).__module__, reg.solver, reg.predict([[3.0]]).round(2).tolist()
    ('dnn.estimators.regressor', 'lbfgs', [7.0])
    """
    names = {cls.__name__ for cls in type(model).__mro__}
    kind = MLPClassifier if "MLPClassifier" in names else MLPRegressor
    if kind.__name__ not in names or isinstance(model, BaseMLP):
        raise TypeError(
            "model must be an MLPClassifier or an MLPRegressor of scikit-learn, got "
            f"{type(model).__module__}.{type(model).__name__}"
        )
    if not hasattr(model, "coefs_"):
        raise ValueError(f"model must be fitted, got {type(model).__name__} without coefs_")
    known = vars(model)
    est = kind()
    est.set_params(**{name: copy.deepcopy(known[name]) for name in est.get_params() if name in known})
    for name in ("n_features_in_", "feature_names_in_", "n_layers_", "n_outputs_", "out_activation_"):
        if name in known:
            setattr(est, name, copy.copy(known[name]))
    if isinstance(est, MLPClassifier):
        several = model.out_activation_ == "logistic" and model.n_outputs_ > 1
        each = np.array([[0], [1]]).repeat(len(model.classes_), axis=1)
        est._labels = Labels(each if several else model.classes_)
        est.classes_ = est._labels.classes = model.classes_.copy()
    est.coefs_, est.intercepts_ = list(model.coefs_), list(model.intercepts_)
    est._current_network()  # copies the arrays, and refuses what is not a chain of layers
    stopping = bool(model.early_stopping) and model.solver != "lbfgs"
    recorded = TrainingRecord.continued({}, stopping, stopping).attributes().keys() & known.keys()
    attributes = {name: copy.copy(known[name]) for name in recorded}
    record = TrainingRecord.continued(attributes, stopping, stopping)
    record.n_epochs = model.n_iter_
    if "best_loss_" not in known:  # scikit-learn does not record it for "lbfgs"
        record.best_loss = model.loss_
    est._copy(record)
    _take_optimizer(est, known.get("_optimizer"))
    return est


def _take_optimizer(est: MLPClassifier | MLPRegressor, optimizer: Any) -> None:
    """Give an estimator the state of scikit-learn's optimizer; without one it starts afresh."""
    net = est.network_
    names = {"adam": ("ms", "vs"), "sgd": ("velocities",)}.get(est.solver, ())
    slots = [getattr(optimizer, name, ()) for name in names]
    shapes = [array.shape for array in (*net.weights, *net.biases)]
    if not slots or any([array.shape for array in arrays] != shapes for arrays in slots):
        return  # "lbfgs", or solver, coefs_ or intercepts_ were assigned to after the training
    est._optimizer = est._portable_optimizer().on(net)
    state = est._optimizer.state
    assert state is not None and isinstance(est._optimizer.spec.rate, SklearnLearningRate)
    n = len(net.layers)
    for slot, arrays in zip(state.slots, slots, strict=False):  # without momentum there is no slot
        pairs = zip(arrays[:n], arrays[n:], strict=True)
        slot[:] = np.concatenate([array.ravel() for pair in pairs for array in pair])
    if est.solver == "adam":
        state.n_steps = optimizer.t
    else:
        est._optimizer.spec.rate.now = optimizer.learning_rate
