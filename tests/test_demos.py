"""Every demonstration, cut down: it measures, explains with numbers, and draws; and what it claims holds."""

import doctest
import importlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from dnn import cli, demos

SOURCE = Path(demos.__file__).parent


@pytest.fixture(scope="module")
def quick():
    """What a demonstration measures at its smallest; once each."""
    found = {}

    def of(name):
        if name not in found:
            found[name] = demos.demo(name).measure(quick=True)
        return found[name]

    return of


@pytest.mark.parametrize("name", demos.DEMOS)
def test_it_tells_and_draws(name, quick, tmp_path):
    measured = quick(name)
    text = demos.demo(name).tell(measured)
    assert len(re.findall(r"\d", text)) > 10
    assert max(map(len, text.splitlines())) <= 110
    path = tmp_path / "picture.png"
    demos.picture(name, measured).savefig(path, dpi=50)
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert width == 400 and 100 < height <= 400


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(path):
    name = "dnn.demos" if path.stem == "__init__" else f"dnn.demos.{path.stem}"
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert not failed


def test_every_module_is_listed():
    support = {"__init__", "points"}
    assert {path.stem for path in SOURCE.glob("*.py")} - support == {n.replace("-", "_") for n in demos.DEMOS}


# What they claim


def test_compiled_is_faster_than_loops(quick):
    step = quick("vectorization").step
    assert step["loops"][-1] > 20 * step["compiled"][-1]


def test_descent_converges_and_diverges_as_its_curvature_says(quick):
    small, right, large, momentum = quick("descent").paths
    assert right.costs[-1] < small.costs[-1] < small.costs[0]
    assert right.rate < 2 / quick("descent").steepest < large.rate
    assert momentum.costs[-1] < small.costs[-1]


def test_the_graph_has_the_course_s_numbers(quick):
    graph = quick("computation-graph")
    assert graph.values["J"] == 33
    for name, slope in {"a": 3, "b": 6, "c": 9}.items():
        assert graph.slopes[name] == slope == pytest.approx(graph.nudged[name])
    # A box and its slope for each value, an arrow of three lines for each of five edges
    kinds = [item["kind"] for item in demos.demo("computation-graph").graph(graph).items]
    assert (kinds.count("box"), kinds.count("line")) == (6, 15)


def test_slopes_of_activations(quick):
    slopes = quick("activations").slopes
    assert slopes["sigmoid"].max() == pytest.approx(0.25) and slopes["tanh"].max() == pytest.approx(1)
    assert set(slopes["relu"]) == {0.0, 1.0}


def test_linear_layers_are_one_matrix(quick):
    linear = quick("linear")
    assert linear.difference < 1e-13
    assert linear.accuracy["hidden layers, tanh"] > linear.accuracy["hidden layers, linear"]


def test_equal_units_stay_equal(quick):
    starts = quick("symmetry").starts
    assert starts["all 0"].spread == starts["all 0.5"].spread == 0
    assert np.ptp(starts["all 0.5"].weights[:, 0]) > 0  # they move, but together
    assert starts["random x 0.01"].spread > 0


def test_large_weights_are_flat(quick):
    starts = quick("saturation").starts
    assert starts["x 10"].flat > 0.8 and starts["Xavier"].flat < 0.1
    assert starts["Xavier"].costs[-1] < min(starts["x 10"].costs[-1], starts["x 0.01"].costs[-1])


@pytest.mark.parametrize("n", [2, 4, 8])
def test_nets_of_parity(n):
    depth = demos.demo("depth")
    X = depth.bits_of(n)
    for net in (depth.of_patterns(n), depth.of_pairs(n)):
        assert np.array_equal(net(X)[:, 0], depth.parity(X))
    hidden = sum(layer.units for layer in depth.of_pairs(n).layers[:-1])
    assert hidden == 2 * (n - 1) and depth.of_patterns(n).layers[0].units == 2 ** (n - 1)


def test_the_table_of_parity(quick):
    table = quick("depth").table
    assert np.array_equal(table[:, 4], table[:, 0] != table[:, 1])
    assert np.array_equal(table[:, 6], table[:, :4].sum(axis=1) % 2)


def test_more_rows_and_units_read_better(quick):
    wrong = quick("scale").wrong
    assert wrong[-1, -1] < wrong[0, 0] and wrong[-1, -1] < wrong[-1, 0]


def test_digits_move_together():
    pixels, first, second = demos.demo("digits").measure().between
    assert pixels < first < second


def test_a_film_is_written(quick, tmp_path):
    planar = demos.demo("planar")
    gif, page = planar.extra(quick("planar"), tmp_path)
    assert gif.read_bytes()[:6] == b"GIF89a"
    text = page.read_text()
    assert text.count("iVBOR") == len(quick("planar").film) and "http" not in text


@pytest.mark.long
def test_the_flower_has_the_course_s_accuracies():
    planar = demos.demo("planar")
    measured = planar.measure()
    expected = {1: 67.5, 2: 67.25, 3: 90.75, 4: 90.5}
    assert {units: measured.accuracy[units] for units in expected} == pytest.approx(expected, abs=1e-9)


# Files of the user's


@pytest.fixture
def houses(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["longitude,median_income,population,median_house_value,ocean_proximity"]
    for a, b, c in rng.uniform(1, 5, (60, 3)):
        lines.append(f"{-a},{b},{c * 100},{100000 * b},INLAND")
    lines.append("-3,,100,200000,INLAND")  # what has gaps is left out
    path = tmp_path / "houses.csv"
    path.write_text("\n".join(lines))
    return path


def test_houses_from_a_file(houses):
    measured = demos.demo("housing").measure(houses, quick=True)
    assert (measured.n_rows, measured.n_features, measured.feature) == (60, 3, "median_income")
    errors = {way: np.mean(found) for way, found in measured.errors.items()}
    assert errors["one feature, a line"] < errors["the mean of all"]


def test_cats_from_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    paths = []
    for part, n in (("train", 12), ("test", 6)):
        paths.append(tmp_path / f"{part}.h5")
        with h5py.File(paths[-1], "w") as file:
            file[f"{part}_set_x"] = rng.integers(0, 255, (n, 64, 64, 3), dtype=np.uint8)
            file[f"{part}_set_y"] = np.arange(n) % 2
    measured = demos.demo("logistic").measure(*paths[::-1], quick=True)
    with pytest.raises(ValueError, match="twice test_set_x"):
        demos.demo("logistic").measure(paths[1], paths[1], quick=True)
    assert measured.what == "is it a cat?" and measured.picture.shape == (64, 64)
    demos.picture("logistic", measured)


def test_the_command(tmp_path, capsys):
    assert cli.main(["demo", "computation-graph", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "J = 33" in printed and (tmp_path / "dnn-computation-graph.png").exists()
    assert str(tmp_path / "dnn-computation-graph.png") in printed


def test_what_does_not_fit_is_said_in_one_line(tmp_path, capsys):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    for arguments, said in (
        (["housing", str(wrong)], "median_house_value"),
        (["housing", str(tmp_path / "none.csv")], "none.csv"),
        (["housing", str(wrong), str(wrong)], "got 2 files"),
        (["linear", str(wrong)], "takes no files"),
        (["logistic", str(wrong)], "two files"),
    ):
        assert cli.main(["demo", *arguments, "--out", str(tmp_path)]) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


def test_names_of_demonstrations(capsys):
    with pytest.raises(SystemExit):
        cli.main(["demo", "planer"])
    assert "planar" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["demo", "--help"])
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in demos.DEMOS)
