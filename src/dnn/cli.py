"""The command line: ``dnn demo NAME``, or ``python -m dnn demo NAME``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import dnn

from .demos import DEMOS, WITH_SKLEARN, demo, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 for success, 1 for an error.

    Parameters
    ----------
    argv : sequence of str, default None
        The arguments; None: those of the program.

    Examples
    --------
    >>> from dnn.cli import main
    >>> main(["demo", "planar", "--out", "pictures"])  # doctest: +SKIP
    0
    """
    try:
        try:
            return _command(argv)
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
    except BrokenPipeError:
        # The reader of the output has ended, as `head` does. The program ends without a message, with the
        # exit code of other tools. The buffers are redirected, because Python would report an error
        # otherwise.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 128 + 13  # SIGPIPE


def _command(argv: Sequence[str] | None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="dnn", description="Dense neural networks at the speed of the processor."
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command")
    listed = "\n".join(f"  {name:18} {what}" for name, what in DEMOS.items())
    command = commands.add_parser(
        "demo",
        help="run a demonstration of a first course on neural networks: measure, explain, draw",
        description="Measures, explains the results, and draws a picture. Nothing is downloaded.\n\n"
        + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "name",
        nargs="?",
        default="digits",
        choices=DEMOS,
        metavar="NAME",
        help="the demonstration; default: digits",
    )
    command.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="your own files, for housing (a CSV) and logistic"
    )
    command.add_argument("--target", metavar="NAME", help="the column of the CSV that housing predicts")
    command.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="the folder for the picture; default: the current one",
    )
    command.add_argument(
        "--no-progress", action="store_true", help="show no progress bar (digits has one in a terminal)"
    )
    arguments = parser.parse_args(argv)

    if arguments.version:
        print("dnn", dnn.__version__)
        return 0
    if arguments.command is None:
        parser.print_help()
        return 0
    settings = {} if arguments.target is None else {"target": arguments.target}
    return _demo(arguments.name, arguments.files, arguments.out, not arguments.no_progress, settings)


def _demo(name: str, files: list[Path], folder: Path, progress: bool, settings: dict[str, str]) -> int:
    """Run a demonstration; missing packages are reported in one line."""
    progress = progress and name == "digits" and sys.stderr.isatty()
    needed = ["sklearn"] if name in WITH_SKLEARN and not files else []
    needed += ["matplotlib", *(["tqdm"] if progress else [])]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        print(f"dnn demo needs {' and '.join(missing)}: pip install 'dnn-core[all]'", file=sys.stderr)
        return 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"dnn demo cannot write to {folder}: {error.strerror}", file=sys.stderr)
        return 1
    takes: tuple[str, ...] = getattr(demo(name), "FILES", ())
    if len(files) > len(takes):
        print(
            f"dnn demo {name} takes {', '.join(takes) or 'no files'}, got {len(files)} files", file=sys.stderr
        )
        return 1
    if settings and name != "housing":
        print(f"dnn demo {name} takes no --target, which is for housing", file=sys.stderr)
        return 1
    if name == "digits":
        demo(name).run(folder, progress=progress)
        return 0
    try:
        run(name, folder, files, **settings)
    except BrokenPipeError:
        raise
    except (OSError, ValueError, ImportError) as error:
        if not (files or settings):
            raise
        print(f"dnn demo {name}: {error}", file=sys.stderr)
        return 1
    return 0
