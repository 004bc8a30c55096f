"""What the pages of the docs show runs, and says what they say."""

import re
from pathlib import Path

import pytest

import dnn

DOCS = Path(__file__).parents[1] / "docs"


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
