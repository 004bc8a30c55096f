"""The pages document every public name, and their code runs. `make docs` builds them without warnings."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pages
import pytest

import dnn

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
STEPS = (DOCS / "first_steps.rst").read_text()


def test_every_public_name_has_its_place():
    listed = re.findall(r"^   ([\w.]+)$", (DOCS / "api.rst").read_text(), re.M)
    assert len(set(listed)) == len(listed)
    assert set(dnn.__all__) <= set(listed)
    from dnn.course import vectorized
    from dnn.distributed import rounds

    assert {f"distributed.rounds.{name}" for name in rounds.__all__} <= set(listed)
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
        assert float(printed.split("accuracy: ")[1]) > 0.9
    elif section == "learner":
        assert "cost" in printed and printed.rstrip().endswith(": correct.")


def test_the_course_page_runs():
    code = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", (DOCS / "course.rst").read_text())
    names = {"X": np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]]), "Y": np.array([[0, 1, 1, 0]])}
    for block in code:
        exec(compile(re.sub(r"^   ", "", block, flags=re.M), "course.rst", "exec"), names)
    assert len(names["costs"]) > 1


def tables(page):
    """Return the tables of a page in Markdown: lists of rows of cells, the header first."""
    found = re.findall(r"(?:^\|.*\n)+", (DOCS / page).read_text(), re.M)
    rows = [[line.strip()[1:-1].split("|") for line in table.strip().split("\n")] for table in found]
    return [[[cell.strip() for cell in row] for row in (table[0], *table[2:])] for table in rows]


@pytest.mark.parametrize("page", ["benchmarks.md", "coming_from_scikit_learn.md"])
def test_one_unit_per_column(page):
    for table in tables(page):
        cells = [cell for row in table[1:] for cell in row[1:]]
        assert [cell for cell in cells if re.match(r"[\d.,]+ (ns|us|µs|ms|s|min|h|MB)\b", cell)] == []


def test_claims_of_speed_are_in_the_tables():
    page = (DOCS / "benchmarks.md").read_text()
    ratios = [table for table in tables("benchmarks.md") if table[0][0] == "time / dnn's time"]
    assert "avx512f" in page and page.index("begin training ") < page.index("begin prediction ")
    training, prediction = ratios[0], next(table for table in ratios if "ONNX Runtime" in table[0])

    def column(table, name):
        return [float(row[table[0].index(name)]) for row in table[1:] if row[table[0].index(name)] != "-"]

    verdict = re.sub(r"\s+", " ", page.split("**")[1])
    said = {
        "scikit-learn": re.search(r"scikit-learn takes ([\d.]+) to ([\d.]+) times", verdict).groups(),
        "PyTorch": re.search(r"PyTorch ([\d.]+) to ([\d.]+) times", verdict).groups(),
    }
    for name, (least, most) in said.items():
        assert (float(least), float(most)) == (min(column(training, name)), max(column(training, name)))
    assert all(
        min(column(training, name)) > 1 for name in ("PyTorch", "JAX", "scikit-learn", "NumPy", "loops")
    )
    onnx = column(prediction, "ONNX Runtime")
    least, most = re.search(r"takes ([\d.]+) to ([\d.]+) times as long\.$", verdict).groups()
    assert [float(most), float(least)] == onnx[:2] and onnx[2] < 1
    # The claims of the README about one row and about the size
    one_row, onnx_runtime = re.search(r"One row in ([\d.]+) µs.*?takes ([\d.]+) µs", README, re.S).groups()
    assert re.search(
        rf"^\| 64-100-10, one row \|.*\| {one_row} \(1\) \|.*\| {onnx_runtime} \(1\)", page, re.M
    )
    size = re.search(r"package has ([\d.]+) MB", README)[1]
    assert re.search(rf"^\| measured \|.*\| {size} \|$", page, re.M)


def test_the_picture_of_speed_shows_the_measurements():
    record = json.loads((DOCS / "_static" / "fast.json").read_text())
    names = [figure["network"] for figure in record["figures"]["training"]]
    assert names == ["12288-20-7-5-1", "8-64-64-1"]
    for figure in record["figures"]["training"]:
        assert {"dnn", "NumPy", "scikit-learn", "PyTorch", "loops"} == set(figure["times"])
    assert f"{record['machine']['processor']} with AVX2" in README
    assert "avx512f" not in record["machine"]["instruction sets"]


def test_the_readme_has_its_pictures():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).stat().st_size < 150_000
    assert README.count("![") == 2


def test_the_readme_is_short_and_its_links_exist():
    assert len(README.splitlines()) < 90
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", README)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.long
def test_the_readme_runs(monkeypatch, tmp_path):
    """The example reads a table from a file, trains a model, saves it and loads it again."""
    pytest.importorskip("pandas")
    pytest.importorskip("distributed")
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    # Another test may hold the port of Dask's pages, which would be a warning
    pages.run(README.replace("Client()", 'Client(dashboard_address=":0")'), "README.md")
    assert (tmp_path / "penguins.dnn").exists()


RUNNABLE = ["index.md", *sorted(f"guide/{page.name}" for page in (DOCS / "guide").glob("*.md"))]


@pytest.mark.long
@pytest.mark.parametrize("page", RUNNABLE)
def test_pages_print_what_they_say(page, monkeypatch, tmp_path):
    needed = {
        "guide/streams.md": ["pyarrow"],
        "guide/cluster.md": ["distributed", "joblib"],
        "guide/many_fits.md": ["distributed", "optuna"],
        "guide/tuning.md": ["optuna"],
        "guide/onnx.md": ["onnxruntime", "skl2onnx"],
        "guide/explaining.md": ["matplotlib", "pandas"],
    }
    for package in needed.get(page, []):
        pytest.importorskip(package, reason=f"{page} needs {package}")
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    pages.run((DOCS / page).read_text(), page)


def test_no_page_with_code_is_left_out():
    with_code = {
        page.relative_to(DOCS).as_posix()
        for folder in (DOCS, DOCS / "guide")
        for page in folder.glob("*.md")
        if pages.blocks(page.read_text())
    }
    assert with_code == {*RUNNABLE, "raw_tables.md", "coming_from_scikit_learn.md"} - {"guide/faq.md"}


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("right: 0.90", "right: 0.97"),
        ("right: 0.90", "wrong: 0.90"),
        ("7 rows", "8 rows"),
        ("right: 0.90, 1", "right: 0.90"),
    ],
)
def test_wrong_output_on_a_page_is_noticed(printed, said):
    with pytest.raises(AssertionError):
        pages.check_output(printed, said)
    pages.check_output("right:  0.961, 1,000 rows", "right: 0.97, 1000 rows\n")


def test_output_missing_from_a_page_is_noticed():
    with pytest.raises(AssertionError, match="does not say"):
        pages.run("```python\nprint(1)\n```\n")


def section(page, number):
    """Return a section of a page by its number, without the sections before it."""
    return "\n## " + (DOCS / page).read_text().split("\n## ")[number]


def test_a_raw_table_with_gaps(monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(ROOT)
    pages.run(section("raw_tables.md", 1), "raw_tables.md, section 1")


# Files in the data folder, and their names on the page
FILES = {
    "housing.csv": "california_housing/housing.csv",
    "adult.csv": "adult/adult-train.csv",
    "hour.csv": "bike_sharing/hour.csv",
}


@pytest.mark.long
@pytest.mark.parametrize("number", [2, 3, 4])
def test_raw_tables(number, data_folder, monkeypatch, tmp_path):
    pytest.importorskip("pandas")
    for name, place in FILES.items():
        (tmp_path / name).symlink_to((data_folder / place).resolve())
    monkeypatch.chdir(tmp_path)
    text = section("raw_tables.md", number)
    assert "read_csv" in text
    pages.run(text, f"raw_tables.md, section {number}")


def test_coming_from_scikit_learn():
    pages.run((DOCS / "coming_from_scikit_learn.md").read_text(), "coming_from_scikit_learn.md")


def test_every_parameter_is_on_the_page():
    page = (DOCS / "coming_from_scikit_learn.md").read_text()
    for kind in (dnn.MLPClassifier, dnn.MLPRegressor):
        for parameter in kind().get_params():
            assert f"`{parameter}`" in page, parameter


def test_the_demonstration_installs_what_it_needs_only(tmp_path):
    command = ["make", "-n", "demo", f"VENV={tmp_path / 'venv'}"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-e '.[all]'" in printed and "[dev]" not in printed and "400 MB" in printed
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / ".installed").touch()
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "[all]" not in printed and "-m dnn demo" in printed
