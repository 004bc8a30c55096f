"""The command line: ``dnn COMMAND``, or ``python -m dnn COMMAND``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dnn

from ..demos import DEMOS, WITH_SKLEARN, demo, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 for success, 1 for an error, told in one line.

    For arguments that are wrong, argparse ends the program with the exit code 2.

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
    except KeyboardInterrupt:
        return 128 + 2  # SIGINT


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
        epilog="examples:\n  dnn demo planar --out pictures\n  dnn demo housing flats.csv --target price",
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
    _add_train(commands)
    _add_summary(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_config(commands)
    arguments = parser.parse_args(argv)

    if arguments.version:
        print("dnn", dnn.__version__)
        return 0
    if arguments.command is None:
        parser.print_help()
        return 0
    if arguments.command == "demo":
        settings = {} if arguments.target is None else {"target": arguments.target}
        return _demo(arguments.name, arguments.files, arguments.out, not arguments.no_progress, settings)
    try:
        arguments.run(arguments)
    except BrokenPipeError:
        raise
    except (OSError, ValueError, TypeError, ImportError, RuntimeError, MemoryError) as error:
        what = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.filename is not None:
            what = f"{error.filename}: {error.strerror}"
        print(f"dnn {arguments.command}: {' '.join(what.split())}", file=sys.stderr)
        return 1
    return 0


def _add(commands: Any, name: str, what: str, run: Callable[[Any], None], examples: str) -> Any:
    """Return the parser of a command, with examples in its help."""
    command = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_train(commands: Any) -> None:
    command = _add(
        commands, "train", "train a model on a raw table, and write it to a model file", _train,
        "dnn train penguins.csv --target species\n"
        "dnn train flats.parquet --target price --metric mae --time 60 --output flats.dnn\n"
        "dnn train adult.csv --no-header --target x14",
    )  # fmt: skip
    command.add_argument("file", type=Path, metavar="TABLE", help="a .csv or a .parquet")
    command.add_argument("--target", metavar="COLUMN", help="the column to predict")
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="the model file; default: the name of the table with .dnn, in the current folder",
    )  # fmt: skip
    command.add_argument("--time", type=float, metavar="SECONDS", help="how long training may take")
    command.add_argument(
        "--task", choices=["classification", "regression"],
        help="what the target is; default: classification for text, true and false, and up to 10 different "
        "whole numbers",
    )  # fmt: skip
    command.add_argument(
        "--metric",
        help="log_loss (the default), accuracy, balanced_accuracy, roc_auc; or rmse (the default), mae",
    )
    command.add_argument("--members", type=int, metavar="N", help="networks to train and average")
    command.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="a column to ignore")
    command.add_argument("--weights", metavar="COLUMN", help="weights of the rows")
    command.add_argument(
        "--groups",
        metavar="COLUMN",
        help="rows of one group, such as a person, never validate each other",
    )
    _add_header(command)
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the random numbers; default: 0")
    command.add_argument("--threads", type=int, metavar="N", help="default: all processors")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--no-progress", action="store_true", help="show no progress bar in a terminal")


def _add_summary(commands: Any) -> None:
    command = _add(
        commands, "summary", "print what a model file holds", _summary,
        "dnn summary iris.safetensors\ndnn summary iris.safetensors --json",
    )  # fmt: skip
    command.add_argument("file", type=Path, metavar="FILE", help="a model file, written by save")
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_predict(commands: Any) -> None:
    command = _add(
        commands, "predict", "apply a model file to a table, in blocks of rows", _predict,
        "dnn predict iris.safetensors --input flowers.csv --output labels.csv\n"
        "dnn predict iris.safetensors --input flowers.parquet --output proba.npy --proba",
    )  # fmt: skip
    command.add_argument("file", type=Path, metavar="FILE", help="a model file, written by save")
    command.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="TABLE",
        help="a .csv with a line of column names, a .npy or a .parquet. If the model has feature names, "
        "these columns are read, in any order; otherwise all columns are",
    )
    command.add_argument(
        "--output", type=Path, required=True, metavar="RESULT", help="a .csv or a .npy; replaced if it exists"
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--proba", action="store_true", help="the probability of each class")
    what.add_argument(
        "--interval",
        type=float,
        metavar="LEVEL",
        help="of a TableRegressor: also the bounds that hold the target with this probability, such as 0.9",
    )
    _add_header(command)
    command.add_argument("--no-progress", action="store_true", help="show no progress bar in a terminal")


def _add_header(command: Any) -> None:
    header = command.add_mutually_exclusive_group()
    header.add_argument(
        "--no-header",
        action="store_true",
        help="the CSV file begins with values: its columns are called as in the model, or x0, x1, ...",
    )
    header.add_argument("--names", metavar="A,B,...", help="the same, and these are the names of all columns")


def _add_export(commands: Any) -> None:
    command = _add(
        commands, "export", "write a model file as ONNX or as C source", _export,
        "dnn export iris.safetensors --onnx iris.onnx\ndnn export iris.safetensors --c iris.c",
    )  # fmt: skip
    command.add_argument("file", type=Path, metavar="FILE", help="a model file, written by save")
    form = command.add_mutually_exclusive_group(required=True)
    form.add_argument("--onnx", type=Path, metavar="PATH", help="an ONNX file, as by to_onnx")
    form.add_argument(
        "--c", type=Path, metavar="PATH", help="C source, .c, and its header beside it, as by to_c"
    )


def _add_config(commands: Any) -> None:
    command = _add(
        commands, "config", "print versions, instruction set, BLAS and threads", _config,
        "dnn config\ndnn config --json",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="print JSON")


def _train(arguments: Any) -> None:
    """Train a model on a table."""
    from .training import Settings, train

    header, names = _header(arguments)
    settings = Settings(
        arguments.target, arguments.task, arguments.metric, arguments.time, arguments.members, arguments.seed,
        arguments.threads, tuple(arguments.drop), arguments.weights, arguments.groups, header, names,
        arguments.output, not arguments.no_progress,
    )  # fmt: skip
    found = train(arguments.file, settings, (lambda text: None) if arguments.json else _say)
    if arguments.json:
        print(json.dumps(found, indent=2))


def _say(text: str) -> None:
    """Print at once, also where the output is not a terminal."""
    print(text, flush=True)


def _summary(arguments: Any) -> None:
    """Print what a model file holds."""
    from .summary import describe, text_of

    found = describe(arguments.file)
    if arguments.json:
        found.pop("table")
        print(json.dumps(found, indent=2))
    else:
        print(text_of(found))


def _predict(arguments: Any) -> None:
    """Write what a model predicts for a table to a file."""
    from .prediction import Settings, predict

    settings = Settings(
        arguments.proba, arguments.interval, *_header(arguments), progress=not arguments.no_progress
    )
    predict(arguments.file, arguments.input, arguments.output, settings)


def _header(arguments: Any) -> tuple[bool, list[str] | None]:
    """Return whether a CSV file has a line of names, and the names that are given instead."""
    names = arguments.names
    return not (arguments.no_header or names), None if names is None else names.split(",")


def _export(arguments: Any) -> None:
    """Write a model in another form."""
    model = dnn.load(arguments.file)
    if not hasattr(model, "to_onnx"):
        raise ValueError(
            f"{arguments.file} holds a {type(model).__name__}, whose encoding of columns has no such form: "
            "serve it from Python by dnn.load, or export each network of members_, which takes rows that "
            "encoder_ has encoded"
        )
    if arguments.onnx is not None:
        model.to_onnx(arguments.onnx)
        print(f"{arguments.onnx} was written")
    else:
        source = model.to_c(arguments.c)
        checked = "compiled and compared with Python" if source.verified else "not compiled: no C compiler"
        print(f"{source.source} and {source.header} were written ({checked})")


def _config(arguments: Any) -> None:
    """Print versions, instruction set, BLAS and threads."""
    if arguments.json:
        print(json.dumps(dnn.show_config(as_dict=True), indent=2))
    else:
        dnn.show_config()


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
