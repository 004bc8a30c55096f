"""The demonstration from the command line to the picture."""

import importlib
import importlib.util
import re
import struct
import sys
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from io import StringIO

import numpy as np
import pytest

from dnn import History, cli, plotting
from dnn.course import loops
from dnn.demos import digits

# The command


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What the demonstration prints, and the folder it draws into, which it has to make."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        patch.delenv("DISPLAY", raising=False)
        with redirect_stdout(StringIO()) as printed:
            assert cli.main(["demo", "--out", str(folder), "--no-progress"]) == 0
    return printed.getvalue(), folder


def test_the_demo_reads_digits(demo):
    text, _ = demo
    accuracy = float(re.search(r"Test accuracy: ([\d.]+) %", text)[1])
    assert accuracy >= 97.5
    assert "(64, 200)" in text and "15,010" in text  # the table of dimensions
    losses = [
        float(line.split()[1]) for line in re.findall(r"^ +\d+ .*\d", text.split("val_loss\n")[1], re.M)
    ]
    assert losses[-1] < losses[0] / 10


def test_the_demo_compares_three_ways(demo):
    text, _ = demo
    assert float(re.search(r"differ\s+by\s+at\s+most\s+(\S+)\. ", text)[1]) <= 1e-9
    rows = {
        name: [
            float(number.replace(",", "")) for number in re.search(rf"^{name} +(.*)$", text, re.M)[1].split()
        ]
        for name in ("Python loops", "vectorized NumPy", "compiled, dnn")
    }
    by_loops, by_numpy, compiled = rows.values()
    assert by_loops[0] / by_numpy[0] == pytest.approx(by_numpy[1], rel=0.01)
    assert by_loops[0] / compiled[0] == pytest.approx(compiled[1], rel=0.01)
    # Of the order of a thousand, on a machine that does other things too
    assert min(by_numpy[1], compiled[1]) > 30


def test_the_demo_draws_a_picture(demo):
    text, folder = demo
    path = folder / "dnn-demo.png"
    assert str(path) in text
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and len(picture) > 10_000
    width, height = struct.unpack(">II", picture[16:24])
    assert 800 <= width <= 3000 and 400 <= height <= 2000


def test_a_difference_is_an_error(monkeypatch):
    right = loops.update_parameters
    monkeypatch.setattr(loops, "update_parameters", lambda p, g, rate: right(p, g, rate * 1.001))
    pictures, _, _ = digits.load()
    with pytest.raises(AssertionError, match="loops, NumPy and compiled differ by"):
        digits.compare(digits.Part(pictures.X[:5], pictures.y[:5]))


def test_the_parts_share_no_picture():
    parts = digits.load()
    assert [len(part.y) for part in parts] == [1293, 144, 360]
    rows = [tuple(row) for part in parts for row in part.X]
    assert len(set(rows)) == len(rows) == 1797


def test_shifted_pictures_are_shifted():
    picture = np.zeros((8, 8))
    picture[3, 4] = 1.0
    X, y = digits.shifted(digits.Part(picture.reshape(1, 64), np.array([5])))
    assert X.shape == (9, 64) and (y == 5).all() and (X.sum(axis=1) == 1).all()
    peaks = {tuple(np.argwhere(image == 1)[0]) for image in X.reshape(-1, 8, 8) if (image == 1).any()}
    assert peaks == {(3, 4), (2, 4), (4, 4), (3, 3), (3, 5)}


def test_what_is_missing_is_said_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        cli, "find_spec", lambda name: None if name == "matplotlib" else importlib.util.find_spec(name)
    )
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "dnn demo needs matplotlib: pip install 'dnn-core[all]'\n"


def test_a_folder_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_version(capsys):
    try:
        installed = version("dnn-core")
    except PackageNotFoundError:
        pytest.skip("dnn is not installed, and so has no version")
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dnn {installed}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 0
    assert "demo" in capsys.readouterr().out


def test_no_command_gives_help(capsys):
    assert cli.main([]) == 0
    assert "--version" in capsys.readouterr().out


def test_the_module_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dnn", "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("runpy").run_module("dnn", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: dnn")


# Pictures


def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_learning_curve():
    history = History("log_loss", loss=[1.0, 0.1, 0.01], val_loss=[1.0, 0.2, 0.3], best_epoch=1)
    ax = history.plot(axes())
    assert ax.get_yscale() == "log" and ax.get_title() == "log_loss"
    assert {text.get_text() for text in ax.texts} == {"loss", "val_loss", "kept"}
    curves = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert curves["loss"] == [[1, 1.0], [2, 0.1], [3, 0.01]]
    assert curves["val_loss"] == [[1, 1.0], [2, 0.2], [3, 0.3]]
    assert plotting.learning_curve(History("squared_error", loss=[1.0, 0.0]), axes()).get_yscale() == "linear"


def test_learning_curve_in_a_figure_of_its_own(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    from matplotlib import pyplot as plt

    ax = History("log_loss", loss=[1.0, 0.9]).plot()
    assert len(ax.lines) == 1
    plt.close(ax.figure)


def test_wrong_digits_are_marked():
    ax = plotting.digits(np.ones((7, 8, 8)), [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 9, 5, 6], axes())
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "3", "4, is 9", "5", "6"]
    assert len(ax.patches) == 1 and len(ax.images) == 7
