"""The command line: ``dnn COMMAND``, or ``python -m dnn COMMAND``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import dnn

from . import demonstrations

# What others may call our commands
OTHER_NAMES = {
    "info": "summary", "show": "summary", "load": "summary", "inspect": "summary", "describe": "summary",
    "fit": "train", "learn": "train", "apply": "predict", "run": "predict", "convert": "export",
    "benchmark": "bench", "speed": "bench",
}  # fmt: skip


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
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demonstrations.add(commands)
    _add_train(commands)
    _add_summary(commands)
    _add_predict(commands)
    _add_report(commands)
    _add_export(commands)
    _add_bench(commands)
    _add_config(commands)
    arguments = parser.parse_args(_meant(list(sys.argv[1:] if argv is None else argv), parser, commands))

    if arguments.version:
        print("dnn", dnn.__version__)
        return 0
    if arguments.command is None:
        parser.print_help()
        return 0
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


def _meant(argv: list[str], parser: argparse.ArgumentParser, commands: Any) -> list[str]:
    """Return the arguments that a caller means who does not know the commands: `dnn FILE`, `dnn help`.

    A word that is no command ends the program, with the command that is probably meant.
    """
    first = argv[0] if argv else ""
    if not first or first.startswith("-") or first in commands.choices:
        return argv
    if first == "version":
        return ["--version"]
    if first == "help":
        return [*argv[1:2], "--help"]
    if Path(first).is_file():
        return ["summary", *argv]
    known = [*OTHER_NAMES, *commands.choices]
    close = get_close_matches(first.lower(), known, 1)
    if not close:
        parser.error(f"{first!r} is neither a command nor a file: dnn --help lists the commands")
    meant = OTHER_NAMES.get(close[0], close[0])
    parser.error(f"there is no command {first!r}: use dnn {meant}, or see dnn --help")


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
    command.add_argument("file", type=Path, metavar="TABLE", help="a .csv, .csv.gz or .parquet")
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
        "dnn predict iris.safetensors flowers.csv\n"
        "dnn predict iris.safetensors flowers.csv --output labels.csv\n"
        "dnn predict iris.safetensors flowers.parquet --output proba.npy --proba",
    )  # fmt: skip
    command.add_argument("file", type=Path, metavar="FILE", help="a model file, written by save")
    command.add_argument(
        "table",
        type=Path,
        nargs="?",
        metavar="TABLE",
        help="a .csv (or .csv.gz) with a line of column names, a .npy or a .parquet. If the model has "
        "feature names, these columns are read, in any order; otherwise all columns are",
    )
    command.add_argument("--input", type=Path, metavar="TABLE", help="the same as TABLE")
    command.add_argument(
        "--output",
        type=Path,
        metavar="RESULT",
        help="a .csv or a .npy; replaced if it exists; default: print the lines of a CSV",
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
    command.set_defaults(error=command.error)


def _add_report(commands: Any) -> None:
    command = _add(
        commands, "report", "write an HTML page about a table model: its scores and mistakes", _report,
        "dnn report penguins.dnn\n"
        "dnn report penguins.dnn --output report.html --input new.csv --target species",
    )  # fmt: skip
    command.add_argument("file", type=Path, metavar="FILE", help="a model file, written by dnn train")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PAGE",
        help="the page; default: the name of the model with .html",
    )
    command.add_argument(
        "--input",
        type=Path,
        metavar="TABLE",
        help="rows for the importance of each column, other than those of train",
    )
    command.add_argument("--target", metavar="COLUMN", help="the target in that table")
    _add_header(command)


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
        "dnn export iris.safetensors iris.onnx\ndnn export iris.safetensors --onnx iris.onnx\n"
        "dnn export iris.safetensors --c iris.c",
    )  # fmt: skip
    command.add_argument("file", type=Path, metavar="FILE", help="a model file, written by save")
    command.add_argument("path", type=Path, nargs="?", metavar="PATH", help="a path that ends in .onnx or .c")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--onnx", type=Path, metavar="PATH", help="an ONNX file, as by to_onnx")
    form.add_argument(
        "--c", type=Path, metavar="PATH", help="C source, .c, and its header beside it, as by to_c"
    )
    command.set_defaults(error=command.error)


def _add_bench(commands: Any) -> None:
    command = _add(
        commands, "bench", "measure how fast this machine trains and predicts, in about 15 seconds", _bench,
        "dnn bench --quick\ndnn bench --network 64-100-10 --network 30-256-256-1 --batch 32\n"
        "dnn bench --threads 1 --json",
    )  # fmt: skip
    command.add_argument(
        "--network",
        type=_sizes,
        action="append",
        metavar="SIZES",
        help="the sizes of a network, inputs first, such as 64-100-10; may be given several times; default: "
        "2-4-1, 8-64-64-1, 64-100-10 and 784-128-10",
    )
    command.add_argument(
        "--batch",
        type=_whole(2**20),
        default=128,
        metavar="ROWS",
        help="rows of a training step; default: 128",
    )
    command.add_argument(
        "--threads", type=_whole(64), metavar="N", help="at most so many threads; default: all that are there"
    )
    command.add_argument("--quick", action="store_true", help="rougher figures in about 3 seconds")
    command.add_argument("--json", action="store_true", help="print JSON, with times in seconds")
    command.add_argument("--no-progress", action="store_true", help="show no progress bar in a terminal")


def _sizes(text: str) -> tuple[int, ...]:
    """Return the sizes of a network."""
    sizes = text.split("-")
    if len(sizes) < 2 or not all(item.isdecimal() and 0 < int(item) <= 2**20 for item in sizes):
        raise argparse.ArgumentTypeError(f"must be sizes from 1 to {2**20}, such as 64-100-10, got {text!r}")
    return tuple(map(int, sizes))


def _whole(most: int) -> Callable[[str], int]:
    """Return a function that reads a whole number."""

    def read(text: str) -> int:
        if not text.isdecimal() or not 0 < int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}, got {text!r}")
        return int(text)

    return read


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

    if (arguments.table is None) == (arguments.input is None):
        arguments.error(f"give one table: dnn predict {arguments.file} TABLE.csv --output RESULT.csv")
    source = arguments.input if arguments.table is None else arguments.table
    settings = Settings(
        arguments.proba, arguments.interval, *_header(arguments), progress=not arguments.no_progress
    )
    predict(arguments.file, source, arguments.output, settings)


def _header(arguments: Any) -> tuple[bool, list[str] | None]:
    """Return whether a CSV file has a line of names, and the names that are given instead."""
    names = arguments.names
    return not (arguments.no_header or names), None if names is None else names.split(",")


def _report(arguments: Any) -> None:
    """Write a page about a table model."""
    from .training import rows_for

    output = arguments.output or Path(f"{arguments.file.stem}.html")
    model = dnn.load(arguments.file)
    if not hasattr(model, "report"):
        raise ValueError(f"a report needs a table model: {arguments.file} holds a {type(model).__name__}")
    rows = {}
    if arguments.input is not None:
        rows = rows_for(model, arguments.input, arguments.target, *_header(arguments))
    model.report(output, **rows)
    print(f"{output} was written")


def _export(arguments: Any) -> None:
    """Write a model in another form."""
    forms = {".onnx": arguments.onnx, ".c": arguments.c}
    if arguments.path is not None and arguments.path.suffix in forms and not any(forms.values()):
        forms[arguments.path.suffix] = arguments.path
    elif arguments.path is not None or not any(forms.values()):
        name = arguments.file
        arguments.error(
            f"say what to write: dnn export {name} {name.stem}.onnx, or dnn export {name} {name.stem}.c"
        )
    model = dnn.load(arguments.file)
    if not hasattr(model, "to_onnx"):
        raise ValueError(
            f"{arguments.file} holds a {type(model).__name__}, whose encoding of columns has no such form: "
            "serve it from Python by dnn.load, or export each network of members_, which takes rows that "
            "encoder_ has encoded"
        )
    if forms[".onnx"] is not None:
        model.to_onnx(forms[".onnx"])
        print(f"{forms['.onnx']} was written")
    else:
        source = model.to_c(forms[".c"])
        checked = "compiled and compared with Python" if source.verified else "not compiled: no C compiler"
        print(f"{source.source} and {source.header} were written ({checked})")


def _bench(arguments: Any) -> None:
    """Print how fast this machine trains and predicts."""
    from .bench import NETWORKS, measure, text_of

    networks = arguments.network or NETWORKS
    found = measure(networks, arguments.batch, arguments.threads, arguments.quick, not arguments.no_progress)
    print(json.dumps(found, indent=2) if arguments.json else text_of(found))


def _config(arguments: Any) -> None:
    """Print versions, instruction set, BLAS and threads."""
    if arguments.json:
        print(json.dumps(dnn.show_config(as_dict=True), indent=2))
    else:
        dnn.show_config()
