"""Draw the README's two pictures, docs/_static/what.png and fast.png.

fast.png shows the results of benchmarks/training.py. To measure again, on an otherwise idle machine:

    python benchmarks/training.py --only 12288,8-64 --json docs/_static/fast.json \\
        --contenders dnn,scikit-learn,PyTorch,NumPy,loops
    python docs/readme_pictures.py
"""

import json
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from dnn import SGD, Network, Normal, demos, plotting
from dnn.demos.points import flower

HERE = Path(__file__).parent / "_static"


def what():
    """Draw a network and the boundary that it has learned on the course's flower data."""
    X, y = flower()
    rng = np.random.RandomState(2)
    net = Network([2, 4, 1], activation="tanh", output="sigmoid", init=Normal(0.01), random_state=rng)
    net.fit(X, y, optimizer=SGD(1.2), epochs=5000, batch_size=None)
    figure = Figure(figsize=(9, 4))
    drawn, learned = figure.add_axes([0, 0, 0.57, 1]), figure.add_axes([0.6, 0.04, 0.38, 0.84])
    net.draw().on(drawn)
    plotting.boundary(net, X, y, learned)
    right = np.mean((net(X)[:, 0] > 0.5) == y)
    learned.set_title(f"After 5000 steps: {100 * right:.0f} % right", fontsize=15)
    figure.savefig(HERE / "what.png", dpi=100)


def said(seconds):
    """Return seconds with two digits and a unit."""
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{float(f'{seconds * scale:.2g}'):,.{1 if seconds * scale < 10 else 0}f} {unit}"
    return f"{seconds * 1e9:.2g} ns"


def best_times(figure):
    """Return the seconds of each contender on the better of one and two threads, slowest first."""
    found = {name: min(case["median"] for case in cases.values()) for name, cases in figure["times"].items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def bars(ax, taken, title):
    """Draw bars from 0 on a linear axis, each with its name, its time, and the ratio to dnn's time."""
    colors = {"dnn": plotting.BLUE, "loops": plotting.COLORS[7], "NumPy": plotting.VERMILION}
    most = max(taken.values())
    for place, (name, seconds) in enumerate(taken.items()):
        color = colors.get(name, "#777777")
        ax.barh(place, seconds, color=color, height=0.7)
        times = seconds / taken["dnn"]
        words = said(seconds)
        if name != "dnn":
            rounded = f"{float(f'{times:.2g}'):,.0f}" if times >= 10 else f"{times:.1f}"
            words += f", {rounded} times as long"
        inside = seconds > 0.6 * most
        ax.text(
            seconds + (-0.01 if inside else 0.01) * most, place, words, ha="right" if inside else "left",
            va="center", fontsize=14, fontweight="bold", color="white" if inside else color,
        )  # fmt: skip
    ax.set_yticks(range(len(taken)), ["Python loops" if name == "loops" else name for name in taken])
    ax.set_xlim(0, most)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_title(title, loc="left", fontsize=15)


def fast():
    """Draw a step of the course's deep network, with and without the loops, and an epoch over a table."""
    record = json.loads((HERE / "fast.json").read_text())
    course, table = map(best_times, record["figures"]["training"])
    ways = {name: course[name] for name in ("loops", "NumPy", "dnn")}
    without = {name: seconds for name, seconds in course.items() if name != "loops"}
    table.pop("loops")
    figure = Figure(figsize=(7.6, 6.9), layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=[3, 4, 4])
    bars(axes[0], ways, "A training step of a first course's network")
    bars(axes[1], without, "The same without the loops, enlarged")
    bars(axes[2], table, "An epoch over a table of 20,608 rows")
    for ax in axes:
        unit, scale = ("seconds", 1) if ax is axes[0] else ("milliseconds", 1e3)
        ax.xaxis.set_major_formatter(lambda x, _, scale=scale: f"{x * scale:g}")
        ax.set_xlabel(unit, fontsize=12)
    about = record["machine"]
    sets = "AVX-512" if "avx512f" in about["instruction sets"] else "AVX2"
    words = (
        f"{about['processor']} with {sets}, {about['cores']} cores; float32; the better of 1 and 2 threads"
    )
    figure.supxlabel(words, fontsize=12, color="#555555")
    figure.savefig(HERE / "fast.png", dpi=100)


if __name__ == "__main__":
    with rc_context(demos.STYLE):
        what()
        fast()
