"""Plots of learning curves and of digits."""

import numpy as np

from dnn import History, plotting


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


def test_learning_curve_in_a_new_figure(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    from matplotlib import pyplot as plt

    ax = History("log_loss", loss=[1.0, 0.9]).plot()
    assert len(ax.lines) == 1
    plt.close(ax.figure)


def test_wrong_digits_are_marked():
    ax = plotting.digits(np.ones((7, 8, 8)), [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 9, 5, 6], axes())
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2", "3", "4, is 9", "5", "6"]
    assert len(ax.patches) == 1 and len(ax.images) == 7
