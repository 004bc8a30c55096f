"""Networks, data and training options, drawn at random from all combinations that the tables allow."""

import numpy as np
import reference

import dnn
from dnn import SGD, Adam, AdamW, RMSprop, _core
from dnn.layers import OUTPUTS
from dnn.losses import loss_of

HIDDEN = [name for name, info in _core.ACTIVATIONS.items() if not info.row_wise]
LOSSES = list(dict.fromkeys(row.name for row in _core.LOSSES.values()))
OPTIMIZERS = [
    (SGD(0.05), lambda: reference.SGD()),
    (SGD(0.05, 0.8), lambda: reference.SGD(momentum=0.8)),
    (SGD(0.05, 0.8, nesterov=True), lambda: reference.SGD(momentum=0.8, nesterov=True)),
    (SGD(0.05, 0.8, averaged=True), lambda: reference.SGD(momentum=0.8, averaged=True)),
    (Adam(0.01), lambda: reference.Adam()),
    (Adam(0.01, 0.8, 0.99, 1e-4, "uncorrected"), lambda: reference.Adam(0.8, 0.99, 1e-4, "uncorrected")),
    (Adam(0.01, 0.8, 0.99, 1e-4, "inside"), lambda: reference.Adam(0.8, 0.99, 1e-4, "inside")),
    (AdamW(0.01, weight_decay=0.3), lambda: reference.Adam()),
    (RMSprop(0.01, 0.8, 1e-4), lambda: reference.RMSProp(0.8, 1e-4)),
    (RMSprop(0.01, 0.8, 1e-4, 0.7), lambda: reference.RMSProp(0.8, 1e-4, 0.7)),
]


def pick(rng, options):
    return options[rng.integers(len(options))]


def draw(seed):
    """Return a network, X, y and all options of a training, drawn from a seed."""
    rng = np.random.default_rng(seed)
    n_layers = rng.integers(1, 4)
    sizes = rng.integers(1, 12, n_layers + 1).tolist()
    while True:
        output, loss = pick(rng, OUTPUTS), pick(rng, LOSSES)
        try:
            loss_of(loss, output, sizes[-1])
        except ValueError:
            continue
        if output != "softmax" or sizes[-1] > 1:
            break
    hidden = [pick(rng, HIDDEN) for _ in range(n_layers - 1)]
    # Some activations get parameters other than the defaults.
    custom = {"leaky_relu": (dnn.LeakyReLU(0.2), ("leaky_relu", 0.2)), "elu": (dnn.ELU(0.7), ("elu", 0.7))}
    activations_of_dnn = [
        custom[name][0] if name in custom and rng.random() < 0.5 else name for name in hidden
    ]
    activations_of_oracle = [
        custom[name][1] if activations_of_dnn[i] != name else name for i, name in enumerate(hidden)
    ]
    dropout = [pick(rng, [0.0, 0.3, 0.6]) for _ in range(n_layers)]
    net = dnn.Network(
        sizes,
        activation=activations_of_dnn,
        output=output,
        dropout=dropout,
        dtype="float64",
        random_state=seed,
    )
    for b in net.biases:
        b[:] = rng.normal(size=b.shape) * 0.2
    if "exp" in (*hidden, output):
        net.params[:] *= 0.3
    n = int(rng.integers(1, 30))
    X = rng.normal(size=(n, sizes[0]))
    K = sizes[-1]
    spec, oracle_loss = loss, loss
    if loss == "poisson":
        y = rng.poisson(1.5, size=(n, K)).astype(float)
    elif loss == "log_loss":
        y = rng.random((n, K)) if output == "sigmoid" else rng.integers(0, K, n)
        if output == "softmax" and rng.random() < 0.5:
            y = rng.dirichlet(np.ones(K), n)
        smoothing = pick(rng, [0.0, 0.1])
        spec, oracle_loss = dnn.LogLoss(smoothing), ("log_loss", smoothing)
    else:
        y = rng.normal(size=(n, K))
        if loss == "huber":
            spec, oracle_loss = dnn.Huber(0.4), ("huber", 0.4)
        elif loss == "quantile":
            levels = tuple(np.sort(rng.uniform(0.05, 0.95, K)))
            spec, oracle_loss = dnn.Quantile(levels), ("quantile", levels)
    options = {
        "sample_weight": pick(rng, [None, rng.random(n) + 0.1]),
        "alpha": pick(rng, [0.0, 0.4]),
        "l1": pick(rng, [0.0, 0.2]),
    }
    activations = [*activations_of_oracle, output]
    return net, activations, X, y, spec, oracle_loss, options, rng
