"""Small models of every kind that a file holds: for tests, golden files and mutations."""

import warnings

import numpy as np

import dnn
from dnn import MLPClassifier, MLPRegressor, Network, TableClassifier, TableRegressor

X = np.random.default_rng(0).normal(size=(40, 3))
NUMBER = X[:, 0] - X[:, 1] ** 2
CLASS = np.digitize(X[:, 0], [-0.5, 0.5])
NAMES = np.array(["ant", "bee", "wasp"])
TABLE = {
    "size": np.where(X[:, 1] > 1, np.nan, X[:, 0]),
    "längd": [f"level {i % 13}" for i in range(40)],
    "kind": [None if i % 9 == 0 else "ab\ud800"[i % 3] for i in range(40)],
    "on": [i % 5 > 2 for i in range(40)],
    "born": [f"20{10 + i % 3}-0{1 + i % 9}-11" for i in range(40)],
    "same": ["kg"] * 40,
}


def network(dtype="float32", random_state=0, **options):
    options = {"activation": ["tanh", dnn.LeakyReLU(0.2)], "output": "softmax", "dropout": 0.1, **options}
    net = Network([3, 5, 4, 3], dtype=dtype, random_state=random_state, **options)
    net.fit(X, CLASS, epochs=2, batch_size=8)
    net.freeze(1)
    return net


def fitted(est, X=X, y=NUMBER):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return est.fit(X, y)


def classifier(y=CLASS, **options):
    return fitted(MLPClassifier((4,), max_iter=12, **{"random_state": 0, **options}), y=y)


def regressor(loss="squared_error", y=NUMBER, **options):
    return fitted(MLPRegressor(loss, (4,), max_iter=12, **{"random_state": 0, **options}), y=y)


def several(model, n=3):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n):
            model.partial_fit(X, NUMBER)
    return model


def named(est):
    """The regressor as if it had been fitted to a table."""
    est.feature_names_in_ = np.array(["age", "längd", ""], object)
    return est


NETWORKS = {
    "network": network,
    "network float64": lambda: network("float64", np.random.Generator(np.random.PCG64DXSM(1))),
    "network mt19937": lambda: network(random_state=np.random.RandomState(2), output="softmax"),
    "network philox": lambda: network(random_state=np.random.Generator(np.random.Philox(3))),
    "network sfc64": lambda: network(random_state=np.random.Generator(np.random.SFC64(4))),
    "network linear": lambda: Network([3, 1], random_state=5),
}
ESTIMATORS = {
    "classifier": classifier,
    "classifier strings": lambda: classifier(NAMES[CLASS], warm_start="optimizer", dropout=0.2),
    "classifier objects": lambda: classifier(NAMES.astype(object)[CLASS]),
    "classifier bool": lambda: classifier(CLASS > 1, solver="sgd", learning_rate="adaptive"),
    "classifier floats": lambda: classifier(CLASS.astype(np.float32), early_stopping=True),
    "classifier one class": lambda: classifier(np.zeros(40, np.int8)),
    "classifier multilabel": lambda: classifier((X > 0).astype(int)),
    "classifier weights": lambda: classifier(
        NAMES[CLASS], class_weight={"ant": 2, "bee": np.float64(0.5), "wasp": 1.5}
    ),
    "regressor": regressor,
    "regressor names": lambda: named(regressor()),
    "regressor quantiles": lambda: regressor(dnn.Quantile((0.1, 0.9)), solver=dnn.RMSprop(0.01)),
    "regressor huber": lambda: regressor(
        dnn.Huber(0.5), schedule=dnn.WarmUp(1, dnn.OnPlateau(0.05, patience=2)), warm_start="optimizer"
    ),
    "regressor poisson": lambda: regressor("poisson", np.floor(np.exp(X[:, 0])), solver="lbfgs"),
    "regressor generator": lambda: regressor(
        random_state=np.random.RandomState(6), init=[np.eye(3, 4), (np.ones((4, 1)), np.zeros(1))]
    ),
    "regressor sgd": lambda: several(
        MLPRegressor(
            hidden_layer_sizes=[4], solver="sgd", learning_rate="invscaling", n_iter_no_change=np.inf,
            dtype=np.float32, random_state=7, activation=dnn.ELU(0.5), tol=np.float32(1e-3),
        )
    ),
    "regressor unfitted": lambda: MLPRegressor(dnn.Quantile(0.3), (), init=[dnn.Normal(0.1)]),
}  # fmt: skip
TABLES = {
    "table classifier": lambda: fitted(
        TableClassifier(n_members=2, hidden_layer_sizes=(3,), epochs=2, n_bins=4, random_state=0),
        TABLE,
        CLASS,
    ),
    "table strings": lambda: fitted(
        TableClassifier(
            n_members=1,
            hidden_layer_sizes=(3, 2),
            activation=dnn.ELU(0.5),
            epochs=9,
            n_bins=4,
            dropout=0,
            random_state=1,
            class_weight={"ant": 2, "bee": 1.5},
        ),
        TABLE,
        NAMES.astype(object)[CLASS % 2],
    ),
    "table regressor": lambda: fitted(
        TableRegressor(n_members=2, hidden_layer_sizes=2, epochs=2, n_bins=3, metric="mae", random_state=2),
        TABLE,
    ),
    "table unfitted": lambda: TableRegressor(time_limit=2.5, random_state=np.random.RandomState(1)),
}
MODELS = {**NETWORKS, **ESTIMATORS, **TABLES}


def outputs(model):
    """What a model predicts for X, as one array."""
    if isinstance(model, Network):
        return model(X)
    table = TABLE if hasattr(model, "encoder_") else X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # X has no names
        return model.predict_proba(table) if hasattr(model, "predict_proba") else model.predict(table)


def facts(thing):
    """All that an object holds, as something that == compares: types, bits, states of generators."""
    kind = type(thing).__name__
    if isinstance(thing, np.ndarray):
        return (
            kind,
            thing.dtype.str,
            thing.shape,
            thing.tolist() if thing.dtype == object else thing.tobytes(),
        )
    if isinstance(thing, np.random.Generator):
        return kind, repr(thing.bit_generator.state)
    if isinstance(thing, np.random.RandomState):
        return kind, repr(thing.get_state(legacy=False))
    if isinstance(thing, dict):
        return kind, sorted((repr(key), facts(item)) for key, item in thing.items())
    if isinstance(thing, (list, tuple)):
        return kind, [facts(item) for item in thing]
    if type(thing).__module__.startswith("dnn"):
        return kind, facts(thing.__getstate__())
    return kind, repr(thing)
