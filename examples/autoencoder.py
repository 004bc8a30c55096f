"""An autoencoder compresses scikit-learn's handwritten digits to 8 values, with less error than PCA.

The target of the network is its own input, and the middle layer has 8 units (Hinton and Salakhutdinov 2006,
Science 313, p. 504). The loop does the same as `fit`: the test of this example compares all parameters.

Run it: ``python examples/autoencoder.py`` (about five seconds; needs scikit-learn for the digits).
"""

import numpy as np

from dnn import Adam, Network

N_COMPONENTS = 8
BATCH_SIZE = 32
RATE = 2e-3


def digits(rng):
    """Return training rows (1400, 64) and test rows (397, 64), with values in [0, 1]."""
    from sklearn.datasets import load_digits

    X = rng.permutation(load_digits().data / 16)
    return X[:1400], X[1400:]


def autoencoder(rng):
    """Return an untrained network 64-64-8-64-64 in float64."""
    return Network(
        [64, 64, N_COMPONENTS, 64, 64],
        activation=["relu", "identity", "relu"],
        output="sigmoid",
        dtype="float64",
        random_state=rng,
    )


def train_epoch(net, adam, X, rate):
    """Train for one epoch over the rows of X in order, minimizing half the squared error of each row."""
    for begin in range(0, len(X), BATCH_SIZE):
        batch = X[begin : begin + BATCH_SIZE]
        out, cache = net.forward(batch)
        grad, _ = net.backward(cache, (out - batch) / len(batch), wrt="params")
        adam.step(grad, rate)


def main(quick=True, seed=0):
    """Train the autoencoder and return the squared errors of both compressions on the test rows.

    Parameters
    ----------
    quick : bool, default True
        True: 100 epochs; False: 400 epochs.
    seed : int, default 0

    Returns
    -------
    dict
        network, pca: mean squared error of a test row that is reconstructed from 8 values.
    """
    rng = np.random.default_rng(seed)
    X_train, X_test = digits(rng)
    net = autoencoder(rng)
    adam = net.optimizer(Adam(RATE))
    n_epochs = 100 if quick else 400
    for epoch in range(n_epochs):
        train_epoch(net, adam, rng.permutation(X_train), RATE * (1 - epoch / n_epochs))

    mean = X_train.mean(axis=0)
    V = np.linalg.svd(X_train - mean, full_matrices=False)[2][:N_COMPONENTS]
    by_pca = mean + (X_test - mean) @ V.T @ V
    return {
        "network": ((X_test - net(X_test)) ** 2).sum(axis=1).mean(),
        "pca": ((X_test - by_pca) ** 2).sum(axis=1).mean(),
    }


if __name__ == "__main__":
    errors = main()
    print(f"squared error of a test picture reconstructed from {N_COMPONENTS} values")
    print(f"  PCA          {errors['pca']:.2f}")
    print(f"  autoencoder  {errors['network']:.2f}")
