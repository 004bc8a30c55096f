"""The pages: every public name has its place, and code runs. `make docs` builds them; a warning fails it."""

import re
from pathlib import Path

import pytest

import dnn

DOCS = Path(__file__).parents[1] / "docs"
STEPS = (DOCS / "first_steps.rst").read_text()


def test_every_public_name_has_its_place():
    listed = re.findall(r"^   ([\w.]+)$", (DOCS / "api.rst").read_text(), re.M)
    assert len(set(listed)) == len(listed)
    assert set(dnn.__all__) <= set(listed)
    from dnn.course import vectorized

    assert {f"course.vectorized.{name}" for name in vectorized.__all__} <= set(listed)


@pytest.mark.parametrize("section", ["learner", "practitioner", "embedder"])
def test_first_steps_run(section, capsys):
    text = STEPS.split(f".. _{section}:")[1].split("\n.. _")[0]
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
    names = {}
    for block in blocks:
        code = re.sub(r"^   ", "", block, flags=re.M)
        assert len(code.strip().splitlines()) <= 12
        exec(compile(code, "first_steps.rst", "exec"), names)
    printed = capsys.readouterr().out
    if section == "practitioner":
        assert float(printed.split("right: ")[1]) > 0.9
    elif section == "learner":
        assert "cost" in printed and printed.rstrip().endswith(": right.")


def test_the_readme_has_its_pictures():
    readme = (DOCS.parent / "README.md").read_text()
    for path in re.findall(r"!\[.*?\]\((.*?)\)", readme):
        assert (DOCS.parent / path).stat().st_size < 150_000
    assert readme.count("![") == 2


def blocks(page):
    """The Python of a page, block by block."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.mark.long
@pytest.mark.parametrize(("number", "least"), [(0, 0.75), (1, 0.84)])
def test_raw_tables(number, least, data_folder, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(data_folder)
    exec(blocks("raw_tables.md")[number], {})
    printed = capsys.readouterr().out
    assert float(re.search(r"not seen: (\S+)", printed)[1]) >= least


def test_coming_from_scikit_learn():
    names = {}
    for block in blocks("coming_from_scikit_learn.md"):
        exec(block, names)


def test_every_parameter_is_on_the_page():
    page = (DOCS / "coming_from_scikit_learn.md").read_text()
    for kind in (dnn.MLPClassifier, dnn.MLPRegressor):
        for parameter in kind().get_params():
            assert f"`{parameter}`" in page, parameter
