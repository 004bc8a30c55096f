"""The demonstration of digits: its text, its picture and its parts."""

import re
import struct
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

from dnn import cli
from dnn.course import loops
from dnn.demos import digits


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return the output of the demonstration, and the folder of its picture, which it creates."""
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


def test_the_demo_compares_three_versions(demo):
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
    # The ratio is about a thousand, also while other processes run.
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
