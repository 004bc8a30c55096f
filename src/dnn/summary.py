"""The table of all dimensions of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import Network


def table(net: Network) -> str:
    """Return a table of W, b, Z and A of each layer, parameters, flops an example."""
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
