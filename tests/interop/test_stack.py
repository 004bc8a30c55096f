"""What a model is exported from: copies of its layers, and what its predictions are made of."""

import numpy as np
import pytest

import dnn
from dnn import ELU, LeakyReLU, Network
from dnn.interop.stack import stack_of


def test_layers_are_copies_with_their_activations():
    layers = [dnn.Dense(4, LeakyReLU(0.2)), dnn.Dropout(0.5), dnn.Dense(5, "elu"), dnn.Dense(2, "softmax")]
    net = Network(3, layers, dtype="float64", random_state=0)
    stack = stack_of(net)
    assert (stack.n_inputs, stack.n_outputs, stack.dtype) == (3, 2, np.float64)
    assert [(layer.activation, layer.par) for layer in stack.layers] == [
        ("leaky_relu", (0.2,)),
        ("elu", (1.0,)),
        ("softmax", ()),
    ]
    assert (stack.kind, stack.classes) == ("outputs", None)
    before = [W.copy() for W in net.weights]
    net.params[:] = 7
    for layer, W in zip(stack.layers, before, strict=True):
        np.testing.assert_array_equal(layer.W, W)
        np.testing.assert_array_equal(layer.b, np.zeros(W.shape[1]))


def test_parameters_of_activations():
    net = Network([1, 1, 1], activation=ELU(0.3))
    assert stack_of(net).layers[0].par == (0.3,)


X = np.random.default_rng(0).standard_normal((40, 3))
CLASSIFIERS = {
    "binary": (np.where(X[:, 0] > 0, "yes", "no"), ["no", "yes"], 1),
    "multiclass": (np.digitize(X[:, 0], [-0.5, 0.5]) * 10, [0, 10, 20], 3),
    "multilabel": ((X > 0).astype(int), [0, 1, 2], 3),
    "one_class": (np.full(40, 5), [5], 1),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifiers(kind):
    pytest.importorskip("sklearn")
    y, classes, n_outputs = CLASSIFIERS[kind]
    stack = stack_of(dnn.MLPClassifier(4, solver="lbfgs", max_iter=3, tol=1e3).fit(X, y))
    assert (stack.kind, stack.classes.tolist(), stack.n_outputs) == (kind, classes, n_outputs)


def test_regressors_and_what_is_assigned_to_coefs():
    pytest.importorskip("sklearn")
    quantiles = dnn.MLPRegressor(loss=dnn.Quantile((0.1, 0.9)), tol=1e3, n_iter_no_change=1)
    assert stack_of(quantiles.fit(X, X[:, 0])).kind == "quantiles"
    plain = dnn.MLPRegressor(hidden_layer_sizes=4, solver="lbfgs", max_iter=1, tol=1e3).fit(X, X[:, 0])
    plain.coefs_[0] = np.full((3, 4), 2.0)
    stack = stack_of(plain)
    assert stack.kind == "outputs" and (stack.layers[0].W == 2).all()


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="model must be a Network or an MLP estimator of dnn, got dict"):
        stack_of({})


def test_estimators_must_be_fitted():
    exceptions = pytest.importorskip("sklearn.exceptions")
    for model in (dnn.MLPClassifier(), dnn.MLPRegressor()):
        with pytest.raises(exceptions.NotFittedError):
            stack_of(model)
