"""``dnn demo``: the demonstrations of the course, and the programs of the folder examples/."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .. import demos
from ..demos import programs


def add(commands: Any) -> None:
    """Add the command ``demo`` to the parsers of all commands."""
    command = commands.add_parser(
        "demo",
        help="run a demonstration of a first course on neural networks: measure, explain, draw",
        description="Measures, explains the results, and draws a picture. Nothing is downloaded.\n\n"
        + _listed(demos.DEMOS)
        + '\n\ncomplete programs (see the page "Where to go from here"):\n'
        + _listed(programs.PROGRAMS),
        epilog="examples:\n  dnn demo planar --out pictures\n  dnn demo housing flats.csv --target price\n"
        "  dnn demo gan --quick",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "name",
        nargs="?",
        default="digits",
        choices=[*demos.DEMOS, *programs.PROGRAMS],
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
        "--quick", action="store_true", help="a complete program: a smaller run of a few seconds"
    )
    command.add_argument(
        "--no-progress", action="store_true", help="show no progress bar (digits has one in a terminal)"
    )
    command.set_defaults(run=_run)


def _listed(table: dict[str, str]) -> str:
    return "\n".join(f"  {name:18} {what}" for name, what in table.items())


def _run(arguments: Any) -> None:
    """Run a demonstration or a program; whatever cannot work is refused before anything is computed."""
    name, files = arguments.name, arguments.files
    is_program = name in programs.PROGRAMS
    shows_progress = name == "digits" and not arguments.no_progress and sys.stderr.isatty()
    needed = ["sklearn"] if name in demos.WITH_SKLEARN and not files else []
    needed += ["matplotlib", *(["tqdm"] if shows_progress else [])]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        raise ImportError(f"{name} needs {' and '.join(missing)}: pip install 'dnn-core[all]'")
    takes: tuple[str, ...] = () if is_program else getattr(demos.demo(name), "FILES", ())
    if len(files) > len(takes):
        raise ValueError(f"{name} takes {', '.join(takes) or 'no files'}, got {len(files)} files")
    if arguments.target is not None and name != "housing":
        raise ValueError(f"{name} takes no --target, which is for housing")
    if arguments.quick and not is_program:
        raise ValueError(f"{name} takes no --quick, which is for {', '.join(programs.PROGRAMS)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if is_program:
        try:
            programs.run(name, arguments.out, arguments.quick)
        except ModuleNotFoundError as error:
            raise ImportError(f"{name} needs {error.name}: pip install {error.name}") from error
    elif name == "digits":
        demos.demo(name).run(arguments.out, progress=shows_progress)
    else:
        settings = {} if arguments.target is None else {"target": arguments.target}
        demos.run(name, arguments.out, files, **settings)
