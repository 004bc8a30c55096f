"""The cases of the course, and the data that its notebooks train on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import loadmat
from sklearn.datasets import make_circles, make_moons


@pytest.fixture(scope="module")
def course(data_folder):
    listed = json.loads((data_folder / "course_expected.json").read_text())["cases"]
    return {case["name"]: case for case in listed}


@pytest.fixture
def case(course, request):
    """Return a case with its inputs drawn, and its figures as arrays."""
    read = course[request.param]
    return SimpleNamespace(
        name=read["name"],
        inputs=SimpleNamespace(**drawn_inputs(read["inputs"])),
        settings=read["settings"],
        expected={name: np.array(value, dtype=float) for name, value in read["expected"].items()},
        decimals=read["printed_decimals"],
    )


def drawn_inputs(recipe):
    made = {name: np.array(value, dtype=float) for name, value in recipe.get("constants", {}).items()}
    for name, *draw in recipe.get("draws", []):
        if name == "seed":
            rng = np.random.RandomState(draw[0])
            continue
        kind, shape = draw
        values = rng.standard_normal(shape)
        made[name] = {"randn": values, "randn_gt0": values > 0, "randn_lt0.5": values < 0.5}[kind] * 1.0
    return made


@pytest.fixture(scope="module")
def cats(data_folder):
    """Return X (12288, N) and Y (1, N) for training, and the same for the test."""
    h5py = pytest.importorskip("h5py")
    parts = []
    for part in ("train", "test"):
        with h5py.File(data_folder / "catvnoncat" / f"{part}_catvnoncat.h5") as file:
            pictures, Y = file[f"{part}_set_x"][:], file[f"{part}_set_y"][:]
        parts += [pictures.reshape(len(pictures), -1).T / 255, Y[None, :]]
    assert [part.shape for part in parts] == [(12288, 209), (1, 209), (12288, 50), (1, 50)]
    return parts


@pytest.fixture(scope="module")
def flower():
    """Return 400 points X (2, 400) on a flower, and Y (1, 400), blue or red."""
    rng = np.random.RandomState(1)
    points = []
    for label in (0, 1):
        t = np.linspace(label * 3.12, (label + 1) * 3.12, 200) + rng.standard_normal(200) * 0.2
        r = 4 * np.sin(4 * t) + rng.standard_normal(200) * 0.2
        points.append([r * np.sin(t), r * np.cos(t)])
    return np.hstack(points), np.repeat([[0, 1]], 200, axis=1)


@pytest.fixture(scope="module")
def circles():
    """Return X (2, N) and Y (1, N) of two circles, 300 points for training and 100 for the test."""
    parts = []
    for seed, n in ((1, 300), (2, 100)):
        X, y = make_circles(n, noise=0.05, factor=0.8, random_state=np.random.RandomState(seed))
        parts += [X.T, y[None, :]]
    return parts


@pytest.fixture(scope="module")
def football(data_folder):
    """Return places X (2, N) and teams Y (1, N) of headers: 211 for training, 200 for the test."""
    file = loadmat(data_folder / "course_misc" / "data.mat")
    parts = [file[name].T for name in ("X", "y", "Xval", "yval")]
    assert [part.shape for part in parts] == [(2, 211), (1, 211), (2, 200), (1, 200)]
    return parts


@pytest.fixture(scope="module")
def moons():
    """Return points (300, 2) and labels (300,) of two moons, and the order of the rows in 10000 epochs."""
    X, y = make_moons(300, noise=0.2, random_state=np.random.RandomState(3))
    orders = [np.random.RandomState(11 + epoch).permutation(300) for epoch in range(10000)]
    return X, y, np.array(orders)
