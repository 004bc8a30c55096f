"""Published figures: dnn must reach the figures of dense networks on real data.

Each test states the published figure and what was measured. The settings of the UCI sets were chosen
on the last tenth of the rows for training.
"""

import csv

import numpy as np
import pytest

from dnn import Adam, AdamW, Network, OneCycle, Quantile, RMSprop

pytestmark = pytest.mark.long


def columns_of(path):
    """Return the columns of a file with a header by name, as text. Lines may end with CR only."""
    with open(path) as file:
        names, *rows = csv.reader(file)
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def one_hot(column):
    return (column[:, None] == np.unique(column)).astype(float)


def split(n):
    """Return row numbers for training, four fifths, and those of the rows held out."""
    return np.split(np.random.default_rng(0).permutation(n), [n * 4 // 5])


# Regression on three sets of UCI, 50 ReLU: the splits and the protocol of Hernandez-Lobato and Adams (2015)


def uci_rmse(folder, *, epochs, batch_size, weight_decay, dropout):
    """Return the RMSE on the held-out tenth, in units of the target, for each of the 20 splits."""
    columns = np.loadtxt(folder / "data.txt")
    X = columns[:, np.loadtxt(folder / "index_features.txt", dtype=int)]
    y = columns[:, np.loadtxt(folder / "index_target.txt", dtype=int)]
    rng, n = np.random.RandomState(1), len(X)
    found = []
    for seed in range(20):
        order = rng.choice(range(n), n, replace=False)
        train, held_out = np.split(order, [round(0.9 * n)])
        X_mean, X_std, y_mean, y_std = X[train].mean(0), X[train].std(0), y[train].mean(), y[train].std()
        X_split, y_split = (X - X_mean) / X_std, (y - y_mean) / y_std

        net = Network([X.shape[1], 50, 1], dropout=dropout, random_state=seed)
        optimizer = AdamW(OneCycle(1e-2, epochs=epochs), weight_decay=weight_decay)
        net.fit(X_split[train], y_split[train], optimizer=optimizer, epochs=epochs, batch_size=batch_size)
        residuals = net(X_split[held_out])[:, 0] - y_split[held_out]
        found.append(y_std * np.sqrt(np.mean(residuals**2)))
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "most", "settings"),
    [
        # Measured 2.71, 4.80, 3.99; the best published figures are 2.90, 4.83, 4.01 (dropout as Bayes, 2018);
        # linear regression has 4.59, 10.31, 4.61. Another 20 seeds of the networks give 2.71, 4.89, 3.98.
        ("bostonHousing", 3.1, {"epochs": 400, "batch_size": 32, "weight_decay": 0.1, "dropout": 0.05}),
        ("concrete", 5.1, {"epochs": 400, "batch_size": 32, "weight_decay": 0.03, "dropout": 0.0}),
        ("power-plant", 4.1, {"epochs": 200, "batch_size": 128, "weight_decay": 0.03, "dropout": 0.0}),
    ],
)
def test_regression_on_uci(data_folder, name, most, settings):
    assert uci_rmse(data_folder / "uci" / name, **settings).mean() <= most


# Digits


def test_handwritten_digits_with_dropout(mnist):
    X, y, X_test, y_test = mnist
    net = Network([784, 512, 512, 10], output="softmax", dropout=0.2, random_state=0)
    # Published are 98.40 % after 20 epochs. Here they give 98.34 %, and epochs from the tenth on between 98.2
    # and 98.4 %; the moving average of the weights has 98.64 % after eight, and 98.68 % after 20.
    net.fit(X, y, optimizer=RMSprop(1e-3), epochs=8, batch_size=128, ema=0.999)
    assert np.mean(net(X_test).argmax(axis=1) == y_test) >= 0.983


# Counts


def poisson_deviance(mean, y):
    return 2 * np.mean(y * np.log(y / mean) - (y - mean))


def test_poisson_loss_on_bike_rentals(data_folder):
    table = columns_of(data_folder / "bike_sharing" / "hour.csv")
    kinds = ["season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit"]
    numbers = ["temp", "atemp", "hum", "windspeed"]  # already between 0 and 1
    X = np.hstack([*(one_hot(table[k]) for k in kinds), *(table[k].astype(float)[:, None] for k in numbers)])
    y = table["cnt"].astype(float)
    assert X.shape == (17379, 61) and y.min() == 1
    train, held_out = split(len(X))
    mean, std = y[train].mean(), y[train].std()

    def predicted(output, target):
        net = Network([X.shape[1], 64, 64, 1], output=output, random_state=0)
        if output == "exp":
            net.biases[-1][:] = np.log(mean)  # both networks start at the mean
        net.fit(X[train], target[train], optimizer=Adam(OneCycle(1e-2, epochs=20)), epochs=20)
        return net(X[held_out])[:, 0].astype(float)

    counts = predicted("exp", y)  # loss "auto": poisson
    # A mean below 0 has no deviance, so that means are clipped, which favors squared error.
    squares = np.maximum(predicted("identity", (y - mean) / std) * std + mean, 1)
    # 7.4 and 8.9 (other seeds 7.3 to 7.8 and 8.8 to 9.2; RMSE 41 for both); the mean of all hours gives 169.
    assert poisson_deviance(counts, y[held_out]) < poisson_deviance(squares, y[held_out]) - 0.5
    assert poisson_deviance(counts, y[held_out]) < 8.2


# Quantiles


def test_quantiles_of_house_prices_have_the_stated_coverage(houses):
    X, y, X_test, y_test = houses
    levels = (0.1, 0.5, 0.9)
    net = Network([13, 64, 64, 3], random_state=0)
    net.fit(X, y, loss=Quantile(levels), optimizer=Adam(OneCycle(1e-3, epochs=20)), epochs=20)
    # 0.102, 0.497, 0.903; other seeds differ by up to 0.011.
    covered = np.mean(y_test[:, None] <= np.sort(net(X_test), axis=1), axis=0)
    np.testing.assert_allclose(covered, levels, rtol=0, atol=0.02)


# Classes of unequal size


def balanced_accuracy(found, y):
    return (np.mean(found[y == 1]) + np.mean(~found[y == 0])) / 2


def test_class_weights_on_credit_default(data_folder):
    table = columns_of(data_folder / "credit_default" / "UCI_Credit_Card.csv")
    table = {name: column.astype(float) for name, column in table.items()}
    y = table["default.payment.next.month"]
    kinds = ["SEX", "EDUCATION", "MARRIAGE", "PAY_0", *(f"PAY_{month}" for month in range(2, 7))]
    amounts = ["LIMIT_BAL", *(f"{what}_AMT{month}" for what in ("BILL", "PAY") for month in range(1, 7))]
    X = np.hstack(
        [
            table["AGE"][:, None],
            *(one_hot(table[name]) for name in kinds),
            *(np.sign(table[name])[:, None] * np.log1p(np.abs(table[name]))[:, None] for name in amounts),
        ]
    )
    assert len(X) == 30000 and np.mean(y) == pytest.approx(0.2212)
    train, held_out = split(len(X))
    std = X[train].std(axis=0)
    X = (X - X[train].mean(axis=0)) / np.where(std > 0, std, 1)

    def reached(class_weight, alpha):
        net = Network([X.shape[1], 32, 1], output="sigmoid", random_state=0)
        optimizer = Adam(OneCycle(3e-3, epochs=10))
        net.fit(X[train], y[train], class_weight=class_weight, optimizer=optimizer, epochs=10, alpha=alpha)
        return balanced_accuracy(net(X[held_out])[:, 0] > 0.5, y[held_out])

    # Without a penalty 0.65 and 0.71; scikit-learn's logistic regression gains as little, 0.07.
    assert reached("balanced", 0.0) > reached(None, 0.0) + 0.04
    # With a penalty that costs the weighted network nothing 0.58 and 0.71: without weights, probabilities of
    # default shrink towards their mean of one fifth, below one half.
    weighted = reached("balanced", 15.0)
    assert weighted > 0.69
    assert weighted > reached(None, 15.0) + 0.1
