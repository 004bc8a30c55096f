"""dnn train, and the other commands on the models that it writes."""

import gzip
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import dnn
from dnn import cli
from dnn.cli import reading

pandas = pytest.importorskip("pandas")
pytest.importorskip("sklearn")

ROWS = 60
RNG = np.random.default_rng(0)
TABLE = pandas.DataFrame(
    {
        "size": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(size=ROWS).round(3)),
        "code": [("007", "42", "a")[i] for i in RNG.integers(3, size=ROWS)],
        "day": [f"2024-0{1 + i % 9}-11" for i in range(ROWS)],
        "unit": "kg",
        "person": [f"p{i // 4}" for i in range(ROWS)],
        "weight": RNG.random(ROWS).round(2),
    }
)
SIZE = TABLE["size"].fillna(0)
TABLE["price"] = (10 * SIZE + 3 * (TABLE["code"] == "a") + 100).round(2)
TABLE["kind"] = np.where(SIZE > 0.5, "large", np.where(SIZE < -0.5, "small, or none", "usual"))
TABLE["stars"] = 1 + (SIZE > 0).astype(int) + (SIZE > 1)
QUICK = ("--members", "1")


def run(capsys, *arguments):
    """Return the exit code, the output and the errors of a command."""
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys, *arguments):
    """Return the error of a command, which is one line."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "") and err.count("\n") == 1
    return err.removesuffix("\n")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder of its own, in which the table is data.csv."""
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("data.csv", index=False)
    return tmp_path


def test_from_a_csv_to_predictions(capsys, folder):
    code, out, err = run(
        capsys, "train", "data.csv", "--target", "kind", "--drop", "price", "--drop", "stars"
    )
    assert (code, err) == (0, "")
    assert out.startswith(
        "data.csv: 60 rows, 6 columns, and the target 'kind'\n"
        "classification, because 'kind' holds text: large, small, or none, usual\n\n"
        "column  kind      missing  range or levels\n"
    )
    assert re.search(r"^code    category           3: '007', '42', 'a'$", out, re.M)
    assert re.search(r"^unit    dropped            constant: 'kg'$", out, re.M)
    share = TABLE["kind"].value_counts(normalize=True).max()
    assert f"({share:.4g} if every row were usual, the most frequent class)\n" in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.endswith(
        "data.dnn was written. Predict the rows of another file:\n"
        "  dnn predict data.dnn --input new.csv --output predictions.csv\n"
    )
    TABLE[["day", "code", "size", "person", "weight"]].to_csv("new.csv", index=False)
    said = out.splitlines()[-1].split()[1:]
    assert run(capsys, *said) == (0, "", "")
    model = dnn.load("data.dnn")
    assert type(model) is dnn.TableClassifier and "price" not in model.feature_names_in_
    found = pandas.read_csv("predictions.csv")
    assert found.columns.tolist() == ["label"] and found["label"].tolist() == model.predict(TABLE).tolist()
    assert np.mean(found["label"] == TABLE["kind"]) > 0.8
    assert run(capsys, *said, "--proba")[0] == 0
    found = pandas.read_csv("predictions.csv")
    assert found.columns.tolist() == ["large", "small, or none", "usual"]
    np.testing.assert_allclose(found, model.predict_proba(TABLE), rtol=1e-6)


def test_a_regression_with_intervals(capsys):
    out = run(capsys, "train", "data.csv", "--target", "price", *QUICK, "-o", "flats.dnn")[1]
    assert f"regression, because 'price' holds {TABLE['price'].nunique()} different numbers\n" in out
    score, baseline = map(
        float, re.search(r"rmse +([\d.]+) +\(([\d.]+) if every row were the mean", out).groups()
    )
    assert baseline == pytest.approx(TABLE["price"].std(ddof=0), rel=1e-3) and score < baseline
    model = dnn.load("flats.dnn")
    assert model.validation_score_ == pytest.approx(score, rel=1e-3)
    predict = ("predict", "flats.dnn", "--input", "data.csv", "--output")
    assert run(capsys, *predict, "p.csv", "--interval", "0.8")[0] == 0
    found = pandas.read_csv("p.csv")
    assert found.columns.tolist() == ["prediction", "lower", "upper"]
    np.testing.assert_allclose(found["prediction"], model.predict(TABLE), rtol=1e-12)
    np.testing.assert_allclose(found[["lower", "upper"]], model.predict_interval(TABLE, 0.8), rtol=1e-12)
    assert run(capsys, *predict, "p.npy")[0] == 0
    assert np.load("p.npy").tobytes() == model.predict(TABLE).tobytes()
    assert "--proba needs a classifier" in refused(capsys, *predict, "p.csv", "--proba")
    assert "--interval must be finite and above 0 and below 1, got 2" in refused(
        capsys, *predict, "p.csv", "--interval", "2"
    )


@pytest.mark.parametrize(
    ("target", "more", "task", "reason"),
    [
        (
            "stars",
            (),
            "classification",
            "'stars' holds 3 different whole numbers, 1, 2, 3 (otherwise: --task",
        ),
        ("stars", ("--task", "regression"), "regression", "--task says so"),
        (
            "person",
            ("--task", "classification"),
            "classification",
            "--task says so; 'person' holds text: p0, ",
        ),
        ("weight", (), "regression", "'weight' holds 4"),
        ("on", (), "classification", "'on' holds true and false"),
        ("gaps", ("--drop", "on"), "classification", "'gaps' holds 2 different whole numbers, 0, 1"),
        ("thousands", (), "regression", "'thousands' holds 60 different whole numbers"),
    ],
)
def test_what_the_target_is(target, more, task, reason, capsys):
    on = TABLE["size"] > 0
    gaps = on.astype(float).where(TABLE.index != 5)
    thousands = [f"1,{i:03}" for i in range(ROWS)]
    TABLE.assign(on=on, gaps=gaps, thousands=thousands).to_csv("data.csv", index=False)
    found = json.loads(run(capsys, "train", "data.csv", "--target", target, *QUICK, "--json", *more)[1])
    assert found["task"] == task and found["reason"].startswith(reason)
    assert found["rows_left_out"] == (target == "gaps") and found["rows"] == ROWS - found["rows_left_out"]
    assert found["model"] == "data.dnn" and found["members"] == 1
    assert {each["name"]: each["kind"] for each in found["columns"]}["unit"] == "dropped"
    model = dnn.load("data.dnn")
    assert found["scores"][0]["score"] == model.validation_score_
    if target == "gaps":
        assert model.classes_.tolist() == [0, 1] and model.classes_.dtype == np.int64


def test_options_reach_the_estimator(capsys):
    more = ("--metric", "mae", "--seed", "7", "--threads", "1", "--time", "30", "--members", "2")
    assert run(capsys, "train", "data.csv", "--target", "price", *more)[0] == 0
    model = dnn.load("data.dnn")
    given = {"metric": "mae", "random_state": 7, "n_threads": 1, "time_limit": 30.0, "n_members": 2}
    assert given.items() <= model.get_params().items() and not model.progress


def test_weights_and_groups(capsys, monkeypatch):
    """They are no features, and rows without a target have none."""
    seen = {}

    def fit(self, X, y, sample_weight=None, *, groups=None):
        seen.update(columns=list(X), n=len(X), stars=X["stars"].tolist())
        seen.update(weights=sample_weight, groups=groups)
        raise ValueError("column 'size' of X must be known, got 3 in row 5")

    monkeypatch.setattr(dnn.TableRegressor, "fit", fit)
    TABLE.assign(price=TABLE["price"].where(TABLE.index != 2)).to_csv("data.csv", index=False)
    more = ("--weights", "weight", "--groups", "person", "--drop", "kind")
    code, _, err = run(capsys, "train", "data.csv", "--target", "price", *more)
    assert (code, err) == (1, "dnn train: column 'size' of data.csv must be known, got 3 in row 6\n")
    assert seen["columns"] == ["size", "code", "day", "unit", "stars"] and seen["n"] == ROWS - 1
    assert seen["stars"] == TABLE["stars"].drop(2).tolist()
    assert seen["weights"].tolist() == TABLE["weight"].drop(2).tolist()
    assert (np.diff(seen["groups"]) != 0).sum() == 14 and len(set(seen["groups"])) == 15


def test_a_parquet_file(capsys):
    polars = pytest.importorskip("polars")
    polars.DataFrame({name: TABLE[name].to_list() for name in TABLE}).write_parquet("data.parquet")
    more = ("--weights", "weight", "--groups", "person")
    assert run(capsys, "train", "data.parquet", "--target", "price", *QUICK, *more)[0] == 0
    for kind in ("csv", "parquet"):
        assert (
            run(capsys, "predict", "data.dnn", "--input", f"data.{kind}", "--output", f"{kind}.npy")[0] == 0
        )
    assert np.load("parquet.npy").tobytes() == np.load("csv.npy").tobytes()


def test_a_file_without_names(capsys):
    TABLE.to_csv("data.csv", index=False, header=False)
    for more in ((), ("--target", "kind")):
        assert refused(capsys, "train", "data.csv", *more) == (
            "dnn train: data.csv begins with the values "
            f"{TABLE.iloc[0, 0]}, {TABLE.iloc[0, 1]}, 2024-01-11, ... in the place of names: add "
            "--no-header, which calls the columns x0 ... x8, and name the target, such as --target x8 for "
            "the last column; or give names by --names"
        )
    out = run(
        capsys, "train", "data.csv", "--no-header", "--target", "x8", "--drop", "x6", "--drop", "x7", *QUICK
    )[1]
    assert out.endswith(" --no-header\n")
    predict = ("predict", "data.dnn", "--input", "data.csv", "--output", "p.npy")
    assert run(capsys, *predict, "--no-header")[0] == 0
    all_of_it = np.load("p.npy")
    TABLE.iloc[:, :6].to_csv("data.csv", index=False, header=False)  # as many columns as the model has
    assert run(capsys, *predict, "--no-header")[0] == 0
    assert np.load("p.npy").tolist() == all_of_it.tolist()
    assert refused(capsys, *predict).endswith("has values and no names, add --no-header")
    TABLE.to_csv("data.csv", index=False, header=False)
    names = ",".join(TABLE)
    assert run(capsys, "train", "data.csv", "--names", names, "--target", "stars", *QUICK)[0] == 0
    assert dnn.load("data.dnn").feature_names_in_.tolist() == TABLE.columns.drop("stars").tolist()
    TABLE.drop(columns="stars").to_csv("new.csv", index=False, header=False)
    by_place = ("predict", "data.dnn", "--input", "new.csv", "--output", "p.npy", "--no-header")
    assert run(capsys, *by_place) == (0, "", "")
    assert np.load("p.npy").tolist() == dnn.load("data.dnn").predict(TABLE).tolist()
    assert refused(capsys, *predict, "--names", "a,b").endswith(
        "--names must name all 9 columns of data.csv, got 2: a, b"
    )


def test_other_separators(capsys):
    TABLE.to_csv("data.csv", index=False, sep=";")
    assert run(capsys, "train", "data.csv", "--target", "kind", *QUICK)[0] == 0
    assert dnn.load("data.dnn").n_features_in_ == 8
    assert run(capsys, "predict", "data.dnn", "--input", "data.csv", "--output", "p.csv")[0] == 0


ERRORS = {
    "no target": ((), "--target must name the column to predict, one of: size, code, day, unit, person, "),
    "another target": (
        ("--target", "prise"),
        "--target must name a column of data.csv, got 'prise'; did you mean 'price'?",
    ),
    "another column": (
        ("--target", "price", "--drop", "zzz"),
        "--drop must name a column of data.csv, got 'zzz': it has size, code, day",
    ),
    "one column twice": (
        ("--target", "price", "--weights", "price"),
        "--target, --weights, --groups and --drop must name different columns",
    ),
    "text as number": (
        ("--target", "code", "--task", "regression"),
        "column 'code' of data.csv must hold numbers for --task regression, got 'a' in row "
        f"{list(TABLE['code']).index('a')}",
    ),
    "dates": (
        ("--target", "day"),
        "column 'day' of data.csv must hold classes or numbers to be the target, got dates",
    ),
    "a metric of the other task": (
        ("--target", "price", "--metric", "accuracy"),
        "--metric must be one of rmse, mae for regression, got accuracy",
    ),
    "text as weights": (
        ("--target", "price", "--weights", "person"),
        "column 'person' of data.csv must hold weights, got text",
    ),
    "missing weights": (
        ("--target", "price", "--weights", "size"),
        "column 'size' of data.csv must hold weights, finite and at least 0, got ",
    ),
    "one class": (("--target", "unit"), "y must have at least 2 classes, got only 1 class: 'kg'"),
    "a folder that is not there": (
        ("--target", "price", "-o", "none/m.dnn"),
        "none/m.dnn: --output must be in a folder that exists",
    ),
    "a folder": (("--target", "price", "-o", "."), ".: --output must be a file, got a folder"),
    "the data": (("--target", "price", "-o", "data.csv"), "--output must be another file than the data, got"),
    "no time": (("--target", "price", "--time", "0"), "time_limit must be finite and above 0, got 0.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_refused(name, capsys, folder):
    arguments, expected = ERRORS[name]
    code, _, err = run(capsys, "train", "data.csv", *arguments)
    assert code == 1 and err.count("\n") == 1 and err.startswith(f"dnn train: {expected}")
    assert [path.name for path in folder.iterdir()] == ["data.csv"]


def test_a_packed_csv(capsys, folder):
    Path("data.csv.gz").write_bytes(gzip.compress(Path("data.csv").read_bytes()))
    for name in ("data.csv", "data.csv.gz"):
        code, _, _ = run(capsys, "train", name, "--target", "stars", *QUICK, "--output", f"{name}.dnn")
        assert code == 0
    code, packed, _ = run(capsys, "predict", "data.csv.dnn", "data.csv.gz")
    assert code == 0 and packed.count("\n") == ROWS + 1
    for model in ("data.csv.dnn", "data.csv.gz.dnn"):
        assert run(capsys, "predict", model, "data.csv") == (0, packed, "")
    whole = Path("data.csv.gz").read_bytes()
    for damaged in (whole[:300], whole[:100] + b"damage" + whole[106:], b"not packed"):
        Path("data.csv.gz").write_bytes(damaged)
        for command in (
            ["train", "data.csv.gz", "--target", "stars"],
            ["predict", "data.csv.dnn", "data.csv.gz"],
        ):
            assert "data.csv.gz cannot be unpacked: " in refused(capsys, *command)


def test_tables_that_are_refused(capsys):
    assert refused(capsys, "train", "none.csv") == "dnn train: none.csv: No such file or directory"
    assert "the data must end with .csv, .csv.gz, .parquet, got data.txt" in refused(
        capsys, "train", "data.txt"
    )
    with open("data.csv", "w") as file:
        file.write("a,a,y\n1,2,3\n")
    assert "data.csv must have one column 'a'" in refused(capsys, "train", "data.csv", "--target", "y")
    with open("data.csv", "w") as file:
        file.write("a,y\n")
    assert "must have at least one row, got none" in refused(capsys, "train", "data.csv", "--target", "y")
    with open("data.csv", "w") as file:
        file.write("a,y\n1,?\n2,\n")
    assert "must hold the target, got missing values only" in refused(
        capsys, "train", "data.csv", "--target", "y"
    )
    pandas.DataFrame({"a": range(200), "y": [f"t{i}" for i in range(200)]}).to_csv("data.csv", index=False)
    assert (
        "got 200 different texts, such as 't0' in row 0; if these are classes, add --task classification"
        in (refused(capsys, "train", "data.csv", "--target", "y"))
    )
    pandas.DataFrame({"a": range(40), "b": [2.5, 1.5] * 20, "y": [1, 0] * 20}).to_csv("data.csv", index=False)
    err = run(capsys, "train", "data.csv", "--target", "y")[2]
    assert "column 'b' stand for the classes of y one to one: leave it out with --drop\n" in err


def test_rows_are_counted_over_all_blocks(capsys, monkeypatch):
    from dnn.cli import prediction

    monkeypatch.setattr(prediction, "MOST_ROWS", 7)
    assert run(capsys, "train", "data.csv", "--target", "price", *QUICK, "--drop", "kind")[0] == 0
    predict = ("predict", "data.dnn", "--input", "new.csv", "--output", "p.npy")
    # In blocks of numbers alone, "007" is text as elsewhere
    table = TABLE.assign(code=["007"] * 30 + ["a"] * 30)
    table.to_csv("new.csv", index=False)
    assert run(capsys, *predict) == (0, "", "")
    assert np.load("p.npy").tolist() == dnn.load("data.dnn").predict(table).tolist()
    table.astype({"size": object}).assign(size=["large" if i == 23 else i for i in range(ROWS)]).to_csv(
        "new.csv"
    )
    before = np.load("p.npy").tolist()
    assert refused(capsys, *predict) == (
        "dnn predict: column 'size' of new.csv must hold numbers, as in fit, got 'large' in row 23"
    )
    assert np.load("p.npy").tolist() == before
    table.drop(columns="day").to_csv("new.csv", index=False)
    assert refused(capsys, *predict).endswith(
        "new.csv must have one column 'day', a feature of the model, got no such column among size, code, "
        "unit, person, weight, ..."
    )


def test_models_of_arrays_without_names(capsys):
    X = TABLE[["size", "weight"]].to_numpy()
    reg = dnn.TableRegressor(n_members=1, random_state=0).fit(X, TABLE["price"])
    reg.save("m.dnn")
    np.save("x.npy", X)
    TABLE[["size", "weight"]].to_csv("x.csv", index=False)
    for source in ("x.npy", "x.csv"):
        assert run(capsys, "predict", "m.dnn", "--input", source, "--output", "p.npy") == (0, "", "")
        assert np.load("p.npy").tobytes() == reg.predict(X).tobytes()
    assert refused(capsys, "predict", "m.dnn", "--input", "data.csv", "--output", "p.npy") == (
        "dnn predict: data.csv must have 2 columns, as in fit, got 9"
    )
    dnn.TableRegressor().save("m.dnn")
    assert "not fitted yet" in refused(capsys, "predict", "m.dnn", "--input", "x.csv", "--output", "p.npy")


def test_summary_and_export(capsys):
    run(capsys, "train", "data.csv", "--target", "kind", "--members", "2")
    model = dnn.load("data.dnn")
    code, out, _ = run(capsys, "summary", "data.dnn")
    assert (
        code == 0
        and "kind        TableClassifier\n" in out
        and "classes     large, small, or none, usual\n" in out
    )
    assert re.search(r"^members     2, of \d+ inputs, with \d+ parameters together$", out, re.M)
    score = reading.figure(model.validation_score_)
    assert f"validation  log_loss {score}, on rows that the members had not seen\n" in out
    assert out.endswith(f"\n\n{model.encoder_.describe()}\n")
    found = json.loads(run(capsys, "summary", "data.dnn", "--json")[1])
    assert found["members"] == 2 and found["validation_score"] == model.validation_score_ and found["fitted"]
    assert found["columns"][1] == {"name": "code", "kind": "category"}
    err = refused(capsys, "export", "data.dnn", "--c", "m.c")
    assert err.startswith(
        "dnn export: data.dnn holds a TableClassifier, whose encoding of columns has no such form"
    )
    assert "dnn.load" in err and "members_" in err
    dnn.TableClassifier().save("m.dnn")
    assert run(capsys, "summary", "m.dnn")[1].endswith("It has not been fitted.\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("progress", [True, False])
def test_progress_in_a_terminal(progress, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    more = [] if progress else ["--no-progress"]
    assert cli.main(["train", "data.csv", "--target", "price", "--members", "2", *more]) == 0
    assert ("network/s" in terminal.getvalue()) == progress
    assert not dnn.load("data.dnn").progress
    assert (
        "TableRegressor" not in capsys.readouterr().out
    )  # the line of progress=True says less than this one


def test_an_interrupt_leaves_no_file(capsys, monkeypatch, folder):
    def interrupt(self, *arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(dnn.TableRegressor, "fit", interrupt)
    assert run(capsys, "train", "data.csv", "--target", "price")[0] == 130
    assert [path.name for path in folder.iterdir()] == ["data.csv"]


@pytest.mark.parametrize(("package", "suffix"), [("pandas", "csv"), ("polars", "parquet")])
def test_packages_for_tables_are_named(package, suffix, monkeypatch, capsys, folder):
    (folder / f"x.{suffix}").write_text("a,b\n1,2\n")
    monkeypatch.setitem(sys.modules, package, None)
    err = refused(capsys, "train", f"x.{suffix}", "--target", "b")
    assert err.endswith(f"needs {package}: pip install 'dnn-core[tables]'")


def test_report(capsys, monkeypatch):
    """What the page shows is tested with the method."""
    called = []
    monkeypatch.setattr(
        dnn.TableClassifier,
        "report",
        lambda self, path, X=None, y=None: called.append((path, X, y)),
        raising=False,
    )
    run(capsys, "train", "data.csv", "--target", "kind", *QUICK, "--drop", "price")
    assert run(capsys, "report", "data.dnn") == (0, "data.html was written\n", "")
    assert called == [(Path("data.html"), None, None)]
    more = ("--input", "data.csv", "--target", "kind")
    assert run(capsys, "report", "data.dnn", "-o", "r.html", *more)[0] == 0
    path, X, y = called[1]
    assert path == Path("r.html") and list(X) == ["size", "code", "day", "person", "weight", "stars"]
    assert y.tolist() == TABLE["kind"].tolist()
    assert "--target must name the target in data.csv, one of: size, " in refused(
        capsys, "report", "data.dnn", "--input", "data.csv"
    )
    dnn.Network([2, 1]).save("net.dnn")
    assert refused(capsys, "report", "net.dnn") == (
        "dnn report: a report needs a table model: net.dnn holds a Network"
    )


def test_the_guide_prints_what_it_says(monkeypatch, capsys):
    import shlex

    import pages

    page = (Path(__file__).parents[2] / "docs" / "guide" / "tables.md").read_text()
    setup = pages.blocks(page)[0][0]
    exec(compile(setup, "tables.md", "exec"), {})
    monkeypatch.setenv("COLUMNS", "80")
    commands = re.findall(r"^\$ (\w+) (.*)\n((?:(?!\$ |```).*\n)*)", page, re.M)
    assert [program for program, _, _ in commands] == ["dnn", "dnn", "cat"]
    for program, arguments, said in commands:
        if program == "cat":
            printed = Path(arguments).read_text()
        else:
            assert cli.main(shlex.split(arguments)) == 0
            printed = capsys.readouterr().out
        seconds = r"(?<=trained in )[\d.]+"
        pages.check_output(re.sub(seconds, "1", printed), re.sub(seconds, "1", said), within=0.1)
