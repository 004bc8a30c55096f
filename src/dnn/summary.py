"""The table of all dimensions of a network, and the drawing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inspection.drawing import Drawing
    from .network import Network


def draw(self: Network, x: Any = None, y: Any = None, *, loss: Any = "auto", most: int = 10) -> Drawing:
    """Return a drawing of the layers, units and weights. A notebook shows it; ``save(path)`` writes SVG.

    A weight is a line, blue above 0, orange and dashed below 0, and wider for a larger absolute value.

    Parameters
    ----------
    x : array_like (I,), default None
        An example, whose values are written in the units, as in a computation graph.
    y : int, float or array_like (O,), default None
        Its target: the derivatives of its cost are written at the units too, with respect to their outputs,
        and at the last layer with respect to Z.
    loss : default "auto"
        As in `fit`.
    most : int, default 10
        The largest number of units of a layer that are drawn; of more units, the first and the last ones are.

    Examples
    --------
    >>> from dnn import Network
    >>> drawing = Network([2, 3, 1], output="sigmoid", random_state=0).draw([1.0, -1.0], 1)
    >>> drawing.svg()[:4]
    '<svg'
    """
    from .inspection import drawing

    return drawing.draw_network(self, x, y, loss=loss, most=most)


def one_line(net: Network) -> str:
    """Return the call that makes a network of this kind."""
    sizes = [net.n_inputs, *(layer.units for layer in net.layers)]
    hidden = [layer.activation for layer in net.layers[:-1]]
    output = net.layers[-1].activation
    dropout = f", dropout={list(net.dropout)}" if any(net.dropout) else ""
    return f"Network({sizes}, activation={hidden}, output={output!r}{dropout}, dtype={net.dtype.name!r})"


def summary(self: Network) -> str:
    """Return a table of all dimensions: W, b, Z and A of each layer, parameters, flops per example.

    Examples
    --------
    >>> from dnn import Network
    >>> print(Network([3, 4, 1], output="sigmoid").summary())  # doctest: +NORMALIZE_WHITESPACE
    layer  W       b     Z, A    activation  parameters  flops
        1  (3, 4)  (4,)  (N, 4)  relu                16     24
        2  (4, 1)  (1,)  (N, 1)  sigmoid              5      8
    total                                            21     32
    <BLANKLINE>
    3 inputs, 1 output, float32, 84 bytes of parameters; flops of the products forward,
    for one example: a training step takes three times as many.
    """
    net = self
    head = ("layer", "W", "b", "Z, A", "activation", "parameters", "flops")
    lines = [head]
    for number, (W, b, layer) in enumerate(zip(net.weights, net.biases, net.layers, strict=True), 1):
        lines.append(
            (str(number), str(W.shape), str(b.shape), f"(N, {b.size})", str(layer.activation),
             f"{W.size + b.size:,}", f"{2 * W.size:,}")
        )  # fmt: skip
    flops = sum(2 * W.size for W in net.weights)
    lines.append(("total", "", "", "", "", f"{net.n_params:,}", f"{flops:,}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = (0, 5, 6)
    table = "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    outputs = "1 output" if net.n_outputs == 1 else f"{net.n_outputs} outputs"
    inputs = "1 input" if net.n_inputs == 1 else f"{net.n_inputs} inputs"
    return (
        f"{table}\n\n{inputs}, {outputs}, {net.dtype.name}, {net.params.nbytes:,} bytes of parameters"
        "; flops of the products forward,\nfor one example: a training step takes three times as many."
    )
