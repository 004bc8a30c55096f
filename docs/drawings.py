"""The drawings of the pages: the path of the data through a fit, and a small network."""

from pathlib import Path

from dnn import Network
from dnn.inspection.drawing import BLUE, GRAY, VERMILION, Drawing


def path_of_the_data():
    """From X and y to History: the parts in Python, the part in the core, and how often each runs."""
    drawing = Drawing(620, 640)
    middle, width = 318, 580
    boxes = [
        (70, "fit(X, y)", "validated; copied only if needed", "once"),
        (165, "plan", "parameters, state, workspace", "once"),
        (260, "order, rates", "of the rows; of the steps", "per chunk"),
        (505, "history", "losses, validation, callbacks", "per chunk"),
    ]
    drawing.box(middle, 382, width, 150, fill="#fbeee6")
    drawing.text(152, 328, "compiled, without the GIL", size=16, color=VERMILION, bold=True)
    drawing.text(560, 328, "per step", size=16, color=GRAY)
    for x, name, words in (
        (102, "rows", "gathered"),
        (246, "forward", "W X + b, f(Z)"),
        (390, "backward", "loss, dZ, dA"),
        (534, "update", "dW, db, step"),
    ):
        drawing.box(x, 390, 122, 70)
        drawing.text(x, 378, name, bold=True)
        drawing.text(x, 402, words, size=15, color=GRAY)
    for x in (163, 307, 451):
        drawing.arrow(x, 390, x + 22, 390)
    # The loop over the steps of a chunk
    for start, end in (((534, 425), (534, 443)), ((534, 443), (102, 443))):
        drawing.line(*start, *end, color=VERMILION, width=2)
    drawing.arrow(102, 443, 102, 426, color=VERMILION)
    for y, name, words, often in boxes:
        drawing.box(middle, y, width, 58, fill="#e8f1f8")
        drawing.text(95, y, name, bold=True, color=BLUE)
        drawing.text(336, y, words, size=16)
        drawing.text(556, y, often, size=16, color=GRAY)
    for begin, end in ((99, 135), (194, 230), (289, 306), (457, 475)):
        drawing.arrow(middle, begin, middle, end)
    # From the history back to the next chunk
    for start, end in (((318, 534), (318, 562)), ((318, 562), (10, 562)), ((10, 562), (10, 260))):
        drawing.line(*start, *end, color=BLUE, width=2)
    drawing.arrow(10, 260, 27, 260, color=BLUE)
    drawing.text(middle, 586, "a chunk: as many steps as take about a tenth of a second", size=16, color=BLUE)
    drawing.text(middle, 612, "the inner loop never returns to Python", size=16, color=VERMILION)
    return drawing


def write(folder: Path):
    """Write all drawings as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    path_of_the_data().save(folder / "path.svg")
    net = Network([3, 4, 2], activation="tanh", output="softmax", random_state=3)
    net.draw([0.5, -1.0, 0.25], 1).save(folder / "network.svg")
