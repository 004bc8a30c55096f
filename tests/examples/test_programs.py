"""The programs in examples/ are short, public and listed, with pages and pictures; `dnn demo` runs them."""

import ast
from pathlib import Path

import pytest

from dnn import cli
from dnn.demos import programs

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
PAGES = ROOT / "docs" / "programs"
SUPPORT = {"mnist", "cartpole"}  # modules that programs share


def path_of(name):
    return FOLDER / f"{name.replace('-', '_')}.py"


def private_names(text):
    """Return the private names of dnn that a module imports or reads."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dnn":
            found += [part for part in (node.module or "").split(".") if part.startswith("_")]
            found += [alias.name for alias in node.names if alias.name.startswith("_")]
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            found += [] if ast.unparse(node.value) == "self" else [node.attr]
    return found


def test_every_program_is_listed():
    assert {path.stem for path in FOLDER.glob("*.py")} - SUPPORT == {
        path_of(name).stem for name in programs.PROGRAMS
    }


def test_private_names_are_seen():
    assert private_names("from dnn._core import Plan\nfrom dnn import _checks") == ["_core", "_checks"]
    assert private_names("net._plan; self._own; a.__doc__") == ["_plan"]


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_a_program_is_short_and_uses_the_public_interface(name):
    text = path_of(name).read_text()
    assert len(text.splitlines()) < 200
    assert private_names(text) == []
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert {"main", "tell", "draw"} <= defined


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_a_program_has_a_page_with_a_picture(name):
    page = (PAGES / f"{path_of(name).stem}.md").read_text()
    assert f"examples/{path_of(name).name}" in page and f"dnn demo {name}" in page
    pictures = sorted(PAGES.glob(f"{path_of(name).stem}*.png"))
    assert pictures and all(picture.name in page for picture in pictures)
    assert all(picture.stat().st_size <= 150_000 for picture in pictures)


def test_the_command_runs_a_program(tmp_path, monkeypatch, capsys):
    (tmp_path / "mnist.py").write_text("")
    (tmp_path / "small_program.py").write_text(
        "from matplotlib.figure import Figure\n"
        "def main(quick=True, seed=0):\n    return {'quick': quick}\n"
        "def tell(found):\n    return f'quick: {found[\"quick\"]}'\n"
        "def draw(found):\n    return Figure()\n"
    )
    monkeypatch.setattr(programs, "folder", lambda: tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(programs.PROGRAMS, "small-program", "for this test")
    for arguments, said in ((["--quick"], "quick: True"), ([], "quick: False")):
        assert cli.main(["demo", "small-program", *arguments, "--out", str(tmp_path)]) == 0
        assert said in capsys.readouterr().out
        (tmp_path / "dnn-small-program.png").unlink()
    assert cli.main(["demo", "linear", "--quick"]) == 1
    assert "takes no --quick" in capsys.readouterr().err


def test_a_package_that_a_program_lacks_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "lacking_program.py").write_text("def main(quick=True):\n    import nowhere_installed\n")
    monkeypatch.setattr(programs, "folder", lambda: tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(programs.PROGRAMS, "lacking-program", "for this test")
    assert cli.main(["demo", "lacking-program", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said == "dnn demo: lacking-program needs nowhere_installed: pip install nowhere_installed\n"


def test_the_folder_is_that_of_the_package_or_of_the_checkout():
    assert (programs.folder() / "mnist.py").is_file()
