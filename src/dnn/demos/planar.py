"""Decision boundaries for the course's flower with 1 to 50 hidden units, and an animation of the training."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network, Normal
from ..inspection import plotting
from . import STYLE, sheet
from .points import flower

UNITS = (1, 2, 3, 4, 20, 50)
FILMED = 20
RATE = 1.2
COLORS_OF_FILM = 96


class Measured(NamedTuple):
    """The flower, for each number of units a network and its accuracy in percent, and the animation."""

    X: np.ndarray
    y: np.ndarray
    nets: dict[int, Network]
    accuracy: dict[int, float]
    film: list[tuple[int, np.ndarray, float]]  # step, parameters, cost
    seconds: float


def start(units: int) -> Network:
    """Return the course's initial network with this many hidden units: seed 2, normal x 0.01.

    Examples
    --------
    >>> start(4).n_params
    17
    """
    return Network(
        [2, units, 1], activation="tanh", output="sigmoid", init=Normal(0.01), dtype="float64",
        random_state=np.random.RandomState(2),
    )  # fmt: skip


def measure(quick: bool = False) -> Measured:
    """Return the networks after 5000 steps of gradient descent, as in the course, and one at many steps."""
    X, y = flower()
    steps = 50 if quick else 5000
    nets, accuracy, seconds = {}, {}, 0.0
    for units in UNITS[:2] if quick else UNITS:
        nets[units] = start(units)
        history = nets[units].fit(X, y, optimizer=SGD(RATE), epochs=steps, batch_size=None)
        seconds += history.seconds
        accuracy[units] = 100 * float(np.mean((nets[units](X)[:, 0] > 0.5) == y))
    net = start(FILMED)
    state = net.optimizer(SGD(RATE))
    film, done = [], 0
    # The intervals between frames grow, because the boundary changes most at the beginning.
    for until in np.unique(np.geomspace(20, steps, 4 if quick else 48).astype(int)).tolist():
        history = net.fit(X, y, optimizer=state, epochs=until - done, batch_size=None)
        done = until
        film.append((until, net.params.copy(), history.loss[-1]))
    return Measured(X, y, nets, accuracy, film, seconds)


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = [
        "The course's flower: 400 points, two classes, one hidden layer of tanh; 5000 steps, rate 1.2.\n"
    ]
    lines.append("hidden units" + "".join(f"{units:8}" for units in m.nets))
    lines.append("accuracy, % " + "".join(f"{m.accuracy[units]:8.2f}" for units in m.nets))
    lines.append(
        f"\nTraining all {len(m.nets)} networks took {m.seconds:.1f} s. One unit gives one soft line, and "
        "two units give two.\nThree or four units separate the petals, and more units hardly improve the "
        "accuracy."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the boundary for each number of units."""
    columns = min(3, len(m.nets))
    rows = -(-len(m.nets) // columns)
    figure, axes = sheet(2.9 * rows, rows, columns, squeeze=False)
    for ax, (units, net) in zip(axes.ravel(), m.nets.items(), strict=True):
        plotting.boundary(net, m.X, m.y, ax)
        ax.set_title(f"{units} unit{'s' if units > 1 else ''}: {m.accuracy[units]:.1f} %")
    return figure


def frames(m: Measured) -> list[Any]:
    """Return the frames of the animation with the same few colors, which make the file a fifth as large.

    All frames share one palette. With a palette for each frame, uniform regions would flicker, and players
    that use only the first palette would show wrong colors.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from PIL import Image  # installed with matplotlib

    net = start(FILMED)
    found = []
    for step, params, cost in m.film:
        net.params[:] = params
        with rc_context(STYLE):
            figure = Figure(figsize=(4, 4.2), layout="constrained")
            plotting.boundary(net, m.X, m.y, figure.subplots(), resolution=100)
            right = 100 * float(np.mean((net(m.X)[:, 0] > 0.5) == m.y))
            figure.axes[0].set_title(f"step {step}: cost {cost:.3f}, {right:.0f} %")
            written = io.BytesIO()
            figure.savefig(written, dpi=100, format="png")
        found.append(Image.open(written).convert("RGB"))
    width, height = found[0].size
    together = Image.new("RGB", (width, height * len(found)))
    for i, frame in enumerate(found):
        together.paste(frame, (0, i * height))
    palette = together.quantize(COLORS_OF_FILM)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in found]


PLAYER = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>A decision boundary during training</title>
<body style="font-family: sans-serif; text-align: center">
<p>The flower, {units} hidden units: the decision boundary during training.</p>
<img id="frame" alt="the boundary" style="max-width: 100%"><br>
<input id="at" type="range" min="0" max="{last}" value="0" aria-label="frame" style="width: 90%">
<script>
const frames = {frames};
const frame = document.getElementById("frame"), at = document.getElementById("at");
let k = 0, playing = true;
function show() {{ frame.src = "data:image/png;base64," + frames[k]; at.value = k; }}
at.oninput = () => {{ playing = false; k = +at.value; show(); }};
frame.onclick = () => {{ playing = !playing; }};
setInterval(() => {{
  if (!playing) return;
  k = (k + 1) % (frames.length + 12);
  if (k < frames.length) show();
}}, 150);
show();
</script>
</body></html>
"""


def extra(m: Measured, folder: Path) -> list[Path]:
    """Write the animation as a GIF and as a self-contained HTML file, and return their paths."""
    pictures = frames(m)
    gif, page = folder / "dnn-planar.gif", folder / "dnn-planar.html"
    times = [150] * (len(pictures) - 1) + [2000]
    pictures[0].save(gif, save_all=True, append_images=pictures[1:], duration=times, loop=0)
    listed = []
    for picture in pictures:
        written = io.BytesIO()
        picture.save(written, format="png", optimize=True)
        listed.append(base64.b64encode(written.getvalue()).decode())
    page.write_text(
        PLAYER.format(units=FILMED, last=len(listed) - 1, frames=json.dumps(listed)), encoding="utf-8"
    )
    return [gif, page]
