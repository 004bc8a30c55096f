"""The command `dnn`: help, version, and one line for what is missing."""

import importlib
import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from dnn import cli
from dnn.cli import demonstrations


def test_a_missing_package_is_reported_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        demonstrations,
        "find_spec",
        lambda name: None if name == "matplotlib" else importlib.util.find_spec(name),
    )
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "dnn demo: digits needs matplotlib: pip install 'dnn-core[all]'\n"


def test_a_folder_that_cannot_be_created(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_version(capsys):
    try:
        installed = version("dnn-core")
    except PackageNotFoundError:
        pytest.skip("dnn is not installed, and so has no version")
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dnn {installed}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 0
    assert "demo" in capsys.readouterr().out


def test_no_command_gives_help(capsys):
    assert cli.main([]) == 0
    assert "--version" in capsys.readouterr().out


def test_the_module_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dnn", "--help"])
    monkeypatch.delitem(sys.modules, "dnn.__main__", raising=False)  # runpy warns if it was imported before
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("runpy").run_module("dnn", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: dnn")
