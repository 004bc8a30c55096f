"""Every demonstration measures, explains with numbers and draws, and its claims hold."""

import doctest
import importlib
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

from dnn import cli, demos

pytestmark = pytest.mark.long  # the same on every Python
SOURCE = Path(demos.__file__).parent


@pytest.fixture(scope="module")
def quick():
    """Return a function that measures a demonstration with quick=True, once each."""
    found = {}

    def of(name):
        if name not in found:
            found[name] = demos.demo(name).measure(quick=True)
        return found[name]

    return of


@pytest.mark.parametrize("name", demos.DEMOS)
def test_every_demonstration_explains_and_draws(name, quick, tmp_path):
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
    support = {"__init__", "points", "programs"}
    assert {path.stem for path in SOURCE.glob("*.py")} - support == {n.replace("-", "_") for n in demos.DEMOS}


# Claims


def test_compiled_is_faster_than_loops(quick):
    step = quick("vectorization").step
    assert step["loops"][-1] > 20 * step["compiled"][-1]


def test_descent_converges_and_diverges_as_its_curvature_says(quick):
    small, right, large, momentum = quick("descent").paths
    assert right.costs[-1] < small.costs[-1] < small.costs[0]
    assert right.rate < 2 / quick("descent").steepest < large.rate
    assert momentum.costs[-1] < small.costs[-1]


def test_the_graph_has_the_numbers_of_the_course(quick):
    graph = quick("computation-graph")
    assert graph.values["J"] == 33
    for name, slope in {"a": 3, "b": 6, "c": 9}.items():
        assert graph.slopes[name] == slope == pytest.approx(graph.nudged[name])
    # There is a box and a slope for each value, and an arrow of three lines for each of five edges.
    kinds = [item["kind"] for item in demos.demo("computation-graph").graph(graph).items]
    assert (kinds.count("box"), kinds.count("line")) == (6, 15)


def test_derivatives_of_activations(quick):
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
    assert np.ptp(starts["all 0.5"].weights[:, 0]) > 0  # the weights change, but stay equal
    assert starts["random x 0.01"].spread > 0


def test_large_weights_saturate_units(quick):
    starts = quick("saturation").starts
    for depth in (1, 5):
        assert starts[depth]["x 10"].flat > 0.8 and starts[depth]["Xavier"].flat < 0.15
        assert starts[depth]["x 0.01"].flat == 0
        assert starts[depth]["x 10"].costs[0] > 10 * starts[depth]["Xavier"].costs[0]
    assert starts[5]["x 0.01"].last < 1e-6 < starts[5]["Xavier"].last


@pytest.mark.parametrize("n", [2, 4, 8])
def test_networks_that_compute_parity(n):
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


def test_more_rows_and_units_lower_the_error(quick):
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
def test_the_flower_has_the_accuracies_of_the_course():
    planar = demos.demo("planar")
    measured = planar.measure()
    expected = {1: 67.5, 2: 67.25, 3: 90.75, 4: 90.5}
    assert {units: measured.accuracy[units] for units in expected} == pytest.approx(expected, abs=1e-9)


# Numbers in the texts of complete runs, which seeds make equal everywhere except for rounding


@pytest.fixture(scope="module")
def whole():
    """Return a function that returns the measurements and the text of a complete demonstration, once each."""
    found = {}

    def of(name):
        if name not in found:
            measured = demos.demo(name).measure()
            found[name] = measured, demos.demo(name).tell(measured)
            assert max(map(len, found[name][1].splitlines())) <= 110
        return found[name]

    return of


def test_derivatives(whole):
    m, text = whole("derivative")
    derivatives = {"3a": 3, "a^2": 4, "a^3": 12, "log a": 0.5}
    for name, (_, at, derivative) in demos.demo("derivative").FUNCTIONS.items():
        assert at == 2 and derivative == derivatives[name]
        off = [abs(slope - derivative) for slope in m.slopes[name]]
        assert off[2] <= 0.007 and (name == "3a" or off[0] > off[1] > off[2])
        assert f"{m.slopes[name][2]:.4f}" in text
    assert m.slopes["a^2"] == pytest.approx([5, 4.1, 4.001])
    assert m.by_backward == pytest.approx(m.by_nudging, abs=1e-8)
    assert m.by_backward == pytest.approx(-0.213335, abs=1e-6) and "moves this weight up" in text
    # The tangent belongs to the drawn curve.
    slopes = np.gradient(m.costs, m.weights)
    assert np.interp(m.weight, m.weights, slopes) == pytest.approx(m.by_backward, rel=0.01)


def test_the_cost_is_the_mean_of_the_losses(whole):
    m, text = whole("cost")
    assert m.costs[0] == pytest.approx(np.log(2)) == m.losses_first.mean()
    assert m.cost_last == pytest.approx(m.losses_last.mean())
    assert m.cost_last == pytest.approx(0.5918, abs=1e-4)
    y = np.array(demos.demo("cost").PASSED)
    np.testing.assert_allclose(m.losses_last, -np.log(np.where(y == 1, m.last, 1 - m.last)))
    assert (m.losses_last > m.losses_first).nonzero()[0].tolist() == [2, 6]
    assert len(m.costs) == 300 and "300 steps take it from 0.693 to 0.592" in text
    assert "of 2 of the 8 examples" in text
    assert np.all(np.diff(m.costs) < 0)


def test_parameters_are_found_and_hyper_parameters_chosen(whole):
    m, text = whole("parameters")
    wrong = [run.wrong for run in m.runs]
    assert [run.found.shape[1] for run in m.runs] == [17, 17, 17, 9, 17]
    assert wrong[0] + 3 < min(wrong[1:])
    assert wrong == pytest.approx([8.8, 14.0, 14.2, 35.8, 28.5], abs=1.5)
    assert "The 17 parameters" in text and "The 4 hyper-parameters" in text
    for run in m.runs:
        assert len(run.found) == run.chosen["iterations"] + 1 and np.ptp(run.found, axis=0).max() > 0.1


def test_houses_need_a_hidden_layer(whole):
    m, text = whole("housing")
    means = [np.mean(found) for found in m.errors.values()]
    assert means == pytest.approx([237, 199, 139, 34], rel=0.05)
    assert m.gain == pytest.approx(76, abs=3) and f"falls by {m.gain:.0f} %" in text
    assert "2,000 generated houses" in text and m.feature == "area"


def test_a_slope_of_0_and_a_small_one(whole):
    m, text = whole("activations")
    assert m.none["leaky_relu"] == 0 < m.none["relu"] == m.small["relu"]
    assert 0.5 < m.none["relu"] < 0.8 and f"{100 * m.none['relu']:.0f} % of the slopes" in text
    assert np.interp(4, m.Z, m.slopes["sigmoid"]) == pytest.approx(0.0177, abs=1e-4)
    assert np.interp(4, m.Z, m.slopes["tanh"]) == pytest.approx(0.0013, abs=1e-4)
    assert np.interp(-4, m.Z, m.slopes["leaky_relu"]) == pytest.approx(0.01)
    assert 0.25**5 == pytest.approx(0.0010, abs=5e-5) and "at most 0.0010 is left" in text
    # Only the sigmoid delays the deep network.
    assert min(m.costs["sigmoid"][:100]) > 0.69
    assert max(m.costs[name][50] for name in ("tanh", "relu", "leaky_relu")) < 0.3
    # Dark gray stands for relu only, light gray for leaky relu too.
    figure = demos.picture("activations", m)
    shades = [[tuple(np.round(c.get_facecolor()[0], 2)) for c in ax.collections] for ax in figure.axes[:4]]
    areas = [[sum(len(p.vertices) for p in c.get_paths()) for c in ax.collections] for ax in figure.axes[:4]]
    assert all(shade == shades[0] and shade[0] != shade[1] for shade in shades)
    assert [area[1] > 0 for area in areas] == [False, False, True, False]
    assert all(area[0] > 0 for area in areas)
    assert all(ax.get_legend() is None for ax in figure.axes)  # the legend is below the axes


def test_first_weights_for_one_layer_and_for_five(whole):
    m, text = whole("saturation")
    one, five = m.starts[1], m.starts[5]
    assert one["x 0.01"].accuracy > 85 and one["Xavier"].accuracy > 85
    assert five["x 0.01"].accuracy == 50 and min(five["x 0.01"].costs) > 0.69
    assert five["Xavier"].costs[-1] < 0.4 < five["x 10"].costs[-1]
    assert five["x 10"].accuracy < 75 < one["x 10"].accuracy
    for number in (one["x 0.01"].accuracy, five["x 10"].accuracy, one["x 10"].costs[0]):
        assert f"{number:.1f}" in text.split("The slope of tanh")[1]
    assert five["x 0.01"].last == pytest.approx(4e-8, rel=0.3)


def test_depth_lowers_the_error_on_the_zigzag(whole):
    m, text = whole("depth")
    one, two, three = m.zigzag.values()
    assert [net.n_params for net in m.zigzag.values()] == [298, 286, 298]
    medians = [np.median(net.errors) for net in (one, two, three)]
    assert medians[0] > 0.3 > 0.1 > medians[2] and medians[0] > medians[1] > medians[2]
    assert max(one.errors) < 0.577  # the error of the mean is 1 / sqrt(3), so that something was learned
    for net, median in zip((one, two, three), medians, strict=True):
        assert f"{median:.3f}" in text and f"{max(net.errors):.3f}" in text
    # There are eight pieces between turns at multiples of 1/8, as the text says.
    zigzag = demos.demo("depth").zigzag
    assert zigzag(np.arange(9) / 8).tolist() == [-1, 1, -1, 1, -1, 1, -1, 1, -1]
    assert (m.patterns[-1], m.deep[-1], m.bits[-1]) == (32768, 30, 16)
    assert all(0 < units <= 16 for units in m.parity.values())


@pytest.mark.long
def test_the_net_is_chosen_without_the_test_points(whole):
    m, text = whole("hyperparameters")
    assert m.n_nets == 576 and m.wrong.size == 1728 and m.wrong.shape[-1] == 3
    assert m.wrong[m.best] == m.wrong.min() < 7
    assert m.test > m.wrong[m.best] - 0.5  # the validation figure of the chosen network is optimistic
    assert m.test < np.median(m.wrong)
    assert f"only for this network, the error is {m.test:.1f} %" in text and "among 1,728" in text
    first = re.search(r"differ most\s+by (.+?) \(", text)[1]
    assert first in ("layers x units", "rate")
    assert "epochs" in text and np.median(m.wrong[..., 2]) < np.median(m.wrong[..., 0])


def test_the_test_points_are_used_once(monkeypatch):
    hyperparameters = demos.demo("hyperparameters")
    seen, counted = [], hyperparameters.errors
    monkeypatch.setattr(
        hyperparameters, "errors", lambda net, X, y: seen.append(len(X)) or counted(net, X, y)
    )
    m = hyperparameters.measure(quick=True)
    assert seen == [500] * m.wrong.size + [2000]


def test_hyperparameters_know_iterations(quick):
    m = quick("hyperparameters")
    names = demos.demo("hyperparameters").NAMES
    assert names[-1] == "epochs" and m.wrong.ndim == len(names) == len(m.best)
    assert m.wrong[m.best] == m.wrong.min()


def test_ten_digits_have_ten_colours(quick):
    colors = [demos.demo("digits").TEN[k] for k in range(10)]
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors])
    apart = np.linalg.norm(rgb[:, None] - rgb[None], axis=2)[~np.eye(10, dtype=bool)]
    assert len(set(colors)) == 10 and apart.min() > 45
    figure = demos.picture("digits", quick("digits"))
    shown = {text.get_text(): text.get_color() for text in figure.axes[1].texts}
    assert shown == {str(k): color for k, color in enumerate(colors)}


def test_the_text_of_digits(whole):
    m, text = whole("digits")
    assert m.accuracy > 92 and f"{m.accuracy:.1f} %" in text
    assert m.between == pytest.approx([42, 59, 80], abs=5)
    assert m.near == pytest.approx(71, abs=6) and m.near > m.near_of_pixels == pytest.approx(54, abs=1)


def test_the_film_keeps_its_palette(quick, tmp_path):
    from PIL import Image

    planar = demos.demo("planar")
    frames = planar.frames(quick("planar"))
    assert len({bytes(frame.getpalette()) for frame in frames}) == 1
    gif, _ = planar.extra(quick("planar"), tmp_path)
    with Image.open(gif) as film:
        for k in range(film.n_frames):
            film.seek(k)
            found, drawn = (np.asarray(each.convert("RGB"), int) for each in (film, frames[k]))
            assert np.abs(found - drawn).max() <= 1


def test_the_numbers_of_the_path(whole):
    m, text = whole("descent")
    small, _, large, momentum = m.paths
    assert f"2/{m.steepest:.2f} = {2 / m.steepest:.2f}" in text
    assert large.costs[-1] > large.costs[0] > small.costs[-1] > momentum.costs[-1]
    assert f"{m.steepest / m.flattest:.0f} times less" in text


def test_equal_units_learn_as_one(whole):
    m, text = whole("symmetry")
    assert m.starts["all 0"].costs[-1] == pytest.approx(np.log(2), abs=1e-6)
    assert m.starts["random x 0.01"].accuracy > 85 > 70 > m.starts["all 0.5"].accuracy
    for start in m.starts.values():
        assert f"{start.accuracy:.1f} %" in text


def test_a_larger_net_has_room_for_more_data(whole):
    m, text = whole("scale")
    small, _, large = 100 * m.wrong
    assert small[-2] - small[-1] < 5 and small[-1] > 30 and large[-1] < 4 < large[-3]
    assert f"{large[-2]:.1f} to {large[-1]:.1f} %" in text
    assert f"{small[-2]:.0f} to\n" in text or f"{small[-2]:.0f} to {small[-1]:.0f} %" in text


def test_linear_layers_draw_one_line(whole):
    m, text = whole("linear")
    deep, shallow = m.accuracy["hidden layers, linear"], m.accuracy["no hidden layer"]
    assert abs(deep - shallow) < 5 and m.accuracy["hidden layers, tanh"] > 85 > 60 > deep
    assert f"{m.W[0, 0]:.4f} x1 {m.W[1, 0]:+.4f} x2" in text and m.difference < 1e-13


def test_threes_and_eights(whole):
    m, text = whole("logistic")
    assert all(len(costs) == 500 and costs[0] == pytest.approx(np.log(2)) for costs in m.costs.values())
    assert "Each took 500 steps" in text
    assert max(m.costs[10.0]) > m.costs[10.0][0] and "with 10 the cost" not in text
    assert "with 10 it oscillates at first" in text and m.accuracy[1.0][1] > 95


@pytest.mark.long
def test_the_cats_have_the_learning_curve_of_the_course(data_folder):
    """The picture shows the costs that the course prints every hundred steps."""
    pytest.importorskip("h5py")
    import json

    folder = data_folder / "catvnoncat"
    m = demos.demo("logistic").measure(folder / "train_catvnoncat.h5", folder / "test_catvnoncat.h5")
    cases = json.loads((data_folder / "course_expected.json").read_text())["cases"]
    printed = next(case for case in cases if case["name"] == "logreg_cat_model")["expected"]
    np.testing.assert_allclose(m.costs[0.005][::100], printed["cost_every_100"], rtol=0, atol=1e-6)
    assert m.accuracy[0.005] == pytest.approx((99.04, 70.0), abs=0.01)
    lines = demos.picture("logistic", m).axes[0].lines
    assert lines[1].get_xdata().tolist() == list(range(0, 2000, 100))
    assert lines[1].get_ydata().tolist() == m.costs[0.005][::100]


# Files of the user


@pytest.fixture
def houses(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["longitude,median_income,population,median_house_value,ocean_proximity"]
    for a, b, c in rng.uniform(1, 5, (60, 3)):
        lines.append(f"{-a},{b},{c * 100},{100000 * b},{'INLAND' if a > 3 else 'NEAR BAY'}")
    lines.append("-3,,NA,200000,")  # missing values are filled
    lines.append("-3,2,3,,INLAND")  # but not in the target
    path = tmp_path / "houses.csv"
    path.write_text("\n".join(lines))
    return path


def test_houses_from_a_file(houses):
    measured = demos.demo("housing").measure(houses, quick=True)
    assert (measured.n_rows, measured.n_features, measured.feature) == (61, 5, "median_income")
    errors = {way: np.mean(found) for way, found in measured.errors.items()}
    assert errors["one feature, linear"] < errors["mean of all rows"]
    other = demos.demo("housing").measure(houses, target="longitude", quick=True)
    assert other.target == "longitude" and other.n_rows == 62 and "ocean_proximity=" in other.feature


def test_a_table_is_read_as_it_is(houses):
    table = demos.demo("housing").read(houses)
    assert table.names[-2:] == ["ocean_proximity=INLAND", "ocean_proximity=NEAR BAY"]
    assert np.isnan(table.X[-1, 1:3]).all() and table.X[-1, 3:].tolist() == [0, 0]
    assert set(table.X[:-1, 3] + table.X[:-1, 4]) == {1.0}
    rows = houses.read_text().splitlines()
    many = [f"{row},{'street' if i == 0 else f'No. {i}'}" for i, row in enumerate(rows)]
    houses.write_text("\ufeff" + "\n".join(many))  # as spreadsheet programs write it
    measured = demos.demo("housing").measure(houses, quick=True)
    assert measured.left_out == ["street"] and measured.n_features == 5
    assert "more than 50 values: street" in demos.demo("housing").tell(measured)


@pytest.mark.parametrize(
    ("change", "target", "said"),
    [
        (lambda text: text, "price", "--target must be a column of"),
        (lambda text: text.replace("median_house_value", "value"), None, "--target NAME must say which"),
        (lambda text: text, "ocean_proximity", "must be numeric to be predicted, got 'INLAND'"),
        (lambda text: "", None, "an empty file"),
        (lambda text: "\n".join(text.split("\n")[:12]), None, "at least 30 rows with a median_house_value"),
        (lambda text: text + "\n1,2,3", None, "must have 5 values per row, like its header, got 3 in row 64"),
        (lambda text: text.replace("longitude", "population"), None, "got 'population' twice"),
        (lambda text: re.sub("[A-Z].*", "1", text.split("\n", 1)[1]), None, "must have a header"),
        (lambda text: re.sub(r",[\d.]+,([A-Z])", r",7,\1", text), None, "must differ between rows, got 7"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit(houses, change, target, said):
    houses.write_text(change(houses.read_text().replace("200000,\n", "7,INLAND\n")))
    with pytest.raises(ValueError, match=re.escape(said)):
        demos.demo("housing").measure(houses, target=target, quick=True)


def test_a_file_that_is_not_text(houses):
    houses.write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="must be a CSV in UTF-8"):
        demos.demo("housing").measure(houses)


@pytest.mark.long
def test_california(data_folder):
    m = demos.demo("housing").measure(data_folder / "california_housing" / "housing.csv")
    assert (m.n_rows, m.n_features, m.feature) == (20640, 13, "median_income") and m.gain > 15


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


def test_wrong_arguments_are_reported_in_one_line(tmp_path, capsys):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    for arguments, said in (
        (["housing", str(wrong)], "--target NAME must say which column"),
        (["housing", str(tmp_path / "none.csv")], "none.csv"),
        (["housing", str(wrong), str(wrong)], "got 2 files"),
        (["linear", str(wrong)], "takes no files"),
        (["linear", "--target", "a"], "takes no --target"),
        (["housing", "--target", "a"], "--target must come with a CSV"),
        (["housing", str(wrong), "--target", "c"], "got 'c'"),
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


# The scripts of the gallery

SCRIPTS = Path(__file__).parents[2] / "docs" / "gallery_scripts"


def test_every_demonstration_has_a_script():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(demos.DEMOS)


@pytest.mark.parametrize("name", demos.DEMOS)
def test_a_script_shows_the_essential(name, monkeypatch, capsys):
    """A script runs alone, is short, prints its results, and draws."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    text = (SCRIPTS / f"{name}.py").read_text()
    assert 10 <= len([line for line in text.splitlines() if line.strip()]) <= 35
    assert set(re.findall(r"^(?:from|import) (\w+)", text, re.M)) <= {
        "dnn", "matplotlib", "numpy", "sklearn", "time", "warnings"
    }  # fmt: skip
    names = {}
    with warnings.catch_warnings():
        exec(compile(text, f"{name}.py", "exec"), names)
    assert re.search(r"\d", capsys.readouterr().out)
    assert names["figure"].axes
    from matplotlib import pyplot

    pyplot.close("all")
