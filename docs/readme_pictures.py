"""Draw the README's two pictures, docs/_static/what.png and fast.png: python docs/readme_pictures.py."""

from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from dnn import SGD, Network, Normal, demos, plotting
from dnn.demos import vectorization
from dnn.demos.points import flower

HERE = Path(__file__).parent / "_static"


def what():
    """A network, and what it has learnt: the course's flower."""
    X, y = flower()
    rng = np.random.RandomState(2)
    net = Network([2, 4, 1], activation="tanh", output="sigmoid", init=Normal(0.01), random_state=rng)
    history = net.fit(X, y, optimizer=SGD(1.2), epochs=5000, batch_size=None)
    figure = Figure(figsize=(9, 4))
    drawn, learnt = figure.add_axes([0, 0, 0.57, 1]), figure.add_axes([0.6, 0.04, 0.38, 0.84])
    net.draw().on(drawn)
    plotting.boundary(net, X, y, learnt)
    right = np.mean((net(X)[:, 0] > 0.5) == y)
    learnt.set_title(f"5000 steps in {history.seconds:.2g} s: {100 * right:.0f} % right", fontsize=15)
    figure.savefig(HERE / "what.png", dpi=100)


def fast():
    """A training step of the course's deep net on its 209 pictures, three times."""
    with demos.one_thread():
        taken = vectorization.step(12288, np.random.default_rng(0))
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    ax = figure.subplots()
    colors = (plotting.COLORS[7], plotting.VERMILION, plotting.BLUE)
    for place, (way, color) in enumerate(zip(vectorization.WAYS, colors, strict=True)):
        ax.barh(place, taken[way], color=color, left=0)
        words = f" {way}: {vectorization.said(taken[way])}"
        if way != "compiled":
            words += f", {taken[way] / taken['compiled']:,.{0 if way == 'loops' else 1}f} times as long"
        inside = place == 0
        ax.text(
            taken[way] * (0.9 if inside else 1.05), place, words, va="center", fontsize=17, fontweight="bold",
            ha="right" if inside else "left", color="white" if inside else color,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(left=1e-4)
    ax.invert_yaxis()
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("seconds a step (logarithmic): 12288-20-7-5-1, 209 pictures, float32, one thread")
    figure.savefig(HERE / "fast.png", dpi=100)


if __name__ == "__main__":
    with rc_context(demos.STYLE):
        what()
        fast()
