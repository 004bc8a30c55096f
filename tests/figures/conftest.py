"""Real data that several tests train on."""

import csv
import gzip

import numpy as np
import pytest

INCOME = 7  # column of median_income


@pytest.fixture(scope="module")
def houses(data_folder):
    """Return X and y of California for training, and held out; y in 100,000 dollars, inputs standardized."""
    with open(data_folder / "california_housing" / "housing.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[4] == "total_bedrooms" and header[INCOME] == "median_income"
    assert header[8:] == ["median_house_value", "ocean_proximity"]
    numbers = np.array([[float(cell) if cell else np.nan for cell in row[:8]] for row in rows])
    y = np.array([float(row[8]) for row in rows]) / 1e5
    place = np.array([row[9] for row in rows])

    bedrooms = numbers[:, 4]
    missing = np.isnan(bedrooms)
    assert missing.sum() == 207 and np.isnan(numbers).sum() == 207
    bedrooms[missing] = np.median(bedrooms[~missing])
    # A few districts have a hundred times the usual numbers of rooms, bedrooms, people or households.
    numbers[:, 3:7] = np.log1p(numbers[:, 3:7])
    X = np.column_stack([numbers, place[:, None] == np.unique(place)])
    assert X.shape == (20640, 13)

    order = np.random.default_rng(0).permutation(len(X))
    train, held_out = np.split(order, [len(X) * 4 // 5])
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    return X[train], y[train], X[held_out], y[held_out]


def read_idx(path):
    """Return the array in a gzipped IDX file: two zeros, type (8: bytes), number of axes, lengths, data."""
    with gzip.open(path) as file:
        content = file.read()
    assert content[:3] == b"\0\0\x08"
    n_axes = content[3]
    shape = np.frombuffer(content, ">i4", n_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


@pytest.fixture(scope="module")
def mnist(data_folder):
    """Return X (N, 784) between 0 and 1 and y of MNIST, for training and for the test."""
    folder = data_folder / "mnist_idx"
    X, X_test = (
        read_idx(folder / f"{part}-images-idx3-ubyte.gz").reshape(-1, 784) / np.float32(255)
        for part in ("train", "t10k")
    )
    y, y_test = (read_idx(folder / f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k"))
    assert X.shape == (60000, 784) and X_test.shape == (10000, 784) and X.dtype == np.float32
    return X, y, X_test, y_test
