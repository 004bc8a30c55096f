"""The command line: ``dnn demo``, or ``python -m dnn demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import dnn


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code: 0 if it went well, 1 if not.

    Parameters
    ----------
    argv : sequence of str, default None
        The arguments; None: those that the program was called with.

    Examples
    --------
    >>> from dnn.cli import main
    >>> main(["demo", "--out", "pictures"])  # doctest: +SKIP
    0
    """
    parser = argparse.ArgumentParser(
        prog="dnn", description="Dense neural networks at the speed of the processor."
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser(
        "demo",
        help="learn to read digits: train, test, compare with loops and NumPy, draw",
        description="Train on the handwritten digits that come with scikit-learn (nothing is downloaded), "
        "test, time a training step against Python loops and NumPy, and draw a picture.",
    )
    demo.add_argument(
        "--out", type=Path, default=Path(), metavar="FOLDER", help="where the picture goes; default: here"
    )
    demo.add_argument(
        "--no-progress", action="store_true", help="no progress bar (there is one in a terminal)"
    )
    arguments = parser.parse_args(argv)

    if arguments.version:
        print("dnn", dnn.__version__)
        return 0
    if arguments.command is None:
        parser.print_help()
        return 0
    progress = sys.stderr.isatty() and not arguments.no_progress
    needed = ["sklearn", "matplotlib", *(["tqdm"] if progress else [])]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        print(f"dnn demo needs {' and '.join(missing)}: pip install 'dnn[all]'", file=sys.stderr)
        return 1
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"dnn demo cannot write to {arguments.out}: {error.strerror}", file=sys.stderr)
        return 1
    from .demos import digits

    digits.run(arguments.out, progress=progress)
    return 0
