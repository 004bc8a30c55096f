"""The commands on model files: summary, predict, export; and config."""

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pages
import pytest

import dnn
from dnn import cli
from dnn.cli import prediction, reading

KINDS = np.array(["setosa, wild", "versicolor"], dtype=object)
NAMES = ["width", "height"]


def run(capsys, *arguments):
    """Return the exit code, the output and the errors of a command."""
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys, tmp_path, *arguments):
    """Return the error of a command that fails, which is one line and leaves no new file."""
    before = sorted(tmp_path.iterdir())
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "") and err.count("\n") == 1 and err.endswith("\n")
    assert sorted(tmp_path.iterdir()) == before
    return err.removesuffix("\n")


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((50, 2))


@pytest.fixture
def classifier(tmp_path, rows):
    """Return a classifier that knows names of columns, and its file."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    y = KINDS[(rows[:, 0] > rows[:, 1]).astype(int)]
    clf = dnn.MLPClassifier((3,), solver="lbfgs", alpha=1.0, max_iter=500, random_state=0)
    clf.fit(pandas.DataFrame(rows, columns=NAMES), y)
    clf.save(tmp_path / "clf.safetensors")
    return clf, tmp_path / "clf.safetensors"


@pytest.fixture
def network(tmp_path):
    """Return a network of 2 inputs and 3 outputs, and its file."""
    net = dnn.Network([2, 4, 3], dropout=[0.0, 0.5], random_state=0)
    net.freeze(0)
    net.save(tmp_path / "net.safetensors")
    return net, tmp_path / "net.safetensors"


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(prediction, "MOST_ROWS", 7)


# summary


def test_summary_of_a_network(network, capsys):
    net, path = network
    code, out, _ = run(capsys, "summary", path)
    assert code == 0 and "kind        Network\n" in out and f"written by  dnn {dnn.__version__}\n" in out
    assert out.endswith(f"\n\n{net.summary()}\n") and "classes" not in out
    found = json.loads(run(capsys, "summary", path, "--json")[1])
    assert found["layers"] == [
        {"units": 4, "activation": "relu", "dropout": 0.0, "frozen": True},
        {"units": 3, "activation": "identity", "dropout": 0.5, "frozen": False},
    ]
    assert (found["inputs"], found["parameters"], found["dtype"]) == (2, 27, "float32")
    assert found["loss"] is None and found["features"] is None


def test_summary_of_a_classifier(classifier, capsys):
    clf, path = classifier
    code, out, _ = run(capsys, "summary", path)
    assert code == 0 and "features    width, height\n" in out
    assert "classes     setosa, wild, versicolor\nloss        log_loss\n" in out
    found = json.loads(run(capsys, "summary", path, "--json")[1])
    assert found["classes"] == KINDS.tolist() and found["features"] == NAMES
    assert found["fitted"] and found["epochs"] == clf.n_iter_


def test_summary_of_an_estimator_that_is_not_fitted(tmp_path, capsys):
    pytest.importorskip("sklearn")
    dnn.MLPRegressor(loss=dnn.Huber(2.0)).save(tmp_path / "reg")
    code, out, _ = run(capsys, "summary", tmp_path / "reg")
    assert code == 0 and out.endswith("It has not been fitted.\n") and "Huber(" in out
    assert json.loads(run(capsys, "summary", tmp_path / "reg", "--json")[1])["layers"] is None


@pytest.mark.parametrize("command", ["summary", "predict", "export"])
def test_a_file_that_is_no_model(command, capsys, tmp_path):
    path = tmp_path / "model"
    more = {"predict": ["--input", "x.csv", "--output", "y.csv"], "export": ["--c", "x.c"]}.get(command, [])
    err = refused(capsys, tmp_path, command, path, *more)
    assert err == f"dnn {command}: {path}: No such file or directory"
    path.write_bytes(b"0" * 20)
    assert refused(capsys, tmp_path, command, path, *more).startswith(
        f"dnn {command}: {path} cannot be loaded: "
    )


# predict


def test_columns_are_found_by_name(classifier, rows, small_blocks, capsys, tmp_path):
    pandas = pytest.importorskip("pandas")
    clf, path = classifier
    table = pandas.DataFrame({"id": "a", "height": rows[:, 1], "width": rows[:, 0]})
    table.to_csv(tmp_path / "x.csv", index=False)
    pytest.importorskip("polars").from_pandas(table[["height", "width"]]).write_parquet(
        tmp_path / "x.parquet"
    )
    expected = clf.predict(pandas.DataFrame(rows, columns=NAMES))
    proba = clf.predict_proba(pandas.DataFrame(rows, columns=NAMES))
    for source in ("x.csv", "x.parquet"):
        model = ("predict", path, "--input", tmp_path / source, "--output")
        assert run(capsys, *model, tmp_path / "y.csv") == (0, "", "")
        found = pandas.read_csv(tmp_path / "y.csv")
        assert found.columns.tolist() == ["label"] and found["label"].tolist() == expected.tolist()
        assert run(capsys, *model, tmp_path / "y.npy")[0] == 0
        assert np.load(tmp_path / "y.npy").tolist() == expected.tolist()
        assert run(capsys, *model, tmp_path / "p.csv", "--proba")[0] == 0
        found = pandas.read_csv(tmp_path / "p.csv")
        assert found.columns.tolist() == KINDS.tolist()
        np.testing.assert_allclose(found, proba, rtol=1e-12)


def test_arrays_of_numpy(network, rows, small_blocks, capsys, tmp_path):
    net, path = network
    np.save(tmp_path / "x.npy", rows)
    model = ("predict", path, "--input", tmp_path / "x.npy", "--output")
    assert run(capsys, *model, tmp_path / "y.npy") == (0, "", "")
    found = np.load(tmp_path / "y.npy")
    assert found.dtype == np.float32 and found.shape == (50, 3)
    np.testing.assert_allclose(found, net(rows), rtol=1e-5, atol=1e-6)
    assert run(capsys, *model, tmp_path / "y.csv")[0] == 0
    lines = (tmp_path / "y.csv").read_text().splitlines()
    assert lines[0] == "output_0,output_1,output_2"
    assert lines[1].split(",")[0] == str(found[0, 0])  # the digits of float32
    assert np.array_equal(np.loadtxt(lines[1:], delimiter=",", dtype=np.float32), found)


def test_quantiles_are_named(rows, capsys, tmp_path):
    pytest.importorskip("sklearn")
    reg = dnn.MLPRegressor(loss=dnn.Quantile((0.1, 0.9)), hidden_layer_sizes=(), max_iter=500, tol=0.1)
    reg.fit(rows, rows[:, 0]).save(tmp_path / "reg")
    np.save(tmp_path / "x.npy", rows)
    code = run(
        capsys, "predict", tmp_path / "reg", "--input", tmp_path / "x.npy", "--output", tmp_path / "y.csv"
    )[0]
    assert code == 0 and (tmp_path / "y.csv").read_text().startswith("quantile_0.1,quantile_0.9\n")


# Tables that are refused, for the features "width" and "height", and what the error says after the file
TABLES = {
    "width,depth\n1,2\n": (
        "must have one column 'height', a feature of the model, got no such column among width, depth"
    ),
    "width,height,width\n1,2,3\n": "must have one column 'width', a feature of the model, got 2 of them",
    "width,height\n" + "1,2\n" * 9 + "1,?\n": (
        "must hold numbers, got '?' in row 9, column 'height': fill in missing values, or drop their rows or "
        "columns"
    ),
    "height,width\n" + "1,2\n" * 9 + ",2\n": "must be finite, got nan in row 9, column 1 ('height')",
    "width,height\n" + "1,2\n" * 9 + "\n1,2\n": "must be finite, got nan in row 9, column 0 ('width')",
    "width,height\n" + "1,2\n" * 9 + "1\n": "must be finite, got nan in row 9, column 1 ('height')",
    "width,height\n1,2,3\n": "must have 2 values in each line, as many as its first one, got more",
    "width,height\n": "must have at least one row, got none",
    "\nwidth,height\n1,2\n": "cannot be read: No columns to parse from file",
    "": "must have a line of column names, got an empty file",
}


@pytest.mark.parametrize("text", TABLES, ids=range(len(TABLES)))
@pytest.mark.parametrize("result", ["y.csv", "y.npy"])
def test_tables_that_are_refused(text, result, classifier, small_blocks, capsys, tmp_path):
    source = tmp_path / "x.csv"
    source.write_text(text)
    (tmp_path / result).write_text("before")
    err = refused(
        capsys, tmp_path, "predict", classifier[1], "--input", source, "--output", tmp_path / result
    )
    assert err == f"dnn predict: {source} {TABLES[text]}"
    assert (tmp_path / result).read_text() == "before"


def test_blocks_of_a_file_with_many_columns_have_fewer_rows(monkeypatch, tmp_path):
    pytest.importorskip("pandas")
    monkeypatch.setattr(reading, "VALUES", 10)
    (tmp_path / "x.csv").write_text("a,b,c,d,e\n" + "1,2,3,4,5\n" * 5)
    blocks, size, unit = reading.blocks_of(tmp_path / "x.csv", reading.Wanted(["d"]), 100)
    found = list(blocks)
    assert [block.shape for block, _ in found] == [(2, 1), (2, 1), (1, 1)]
    assert (found[-1][1], unit) == (size, "B")


def test_text_that_is_not_utf_8(classifier, capsys, tmp_path):
    source = tmp_path / "x.csv"
    source.write_bytes(b"width,height,name\n1,2,\xff\n")
    err = refused(
        capsys, tmp_path, "predict", classifier[1], "--input", source, "--output", tmp_path / "y.csv"
    )
    assert err.startswith(f"dnn predict: {source} cannot be read: 'utf-8' codec can't decode byte 0xff")


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">f8", "g", "i1", "u8"])
def test_arrays_of_other_types(dtype, network, capsys, tmp_path):
    net, path = network
    X = np.array([[1, 2], [3, 4], [5, 6]], dtype, order="F")
    np.save(tmp_path / "x.npy", X)
    source, target = tmp_path / "x.npy", tmp_path / "y.npy"
    assert run(capsys, "predict", path, "--input", source, "--output", target) == (0, "", "")
    np.testing.assert_allclose(np.load(target), net(X.astype(np.float32)), rtol=1e-6)


def test_a_line_with_more_values_in_a_later_block(classifier, small_blocks, capsys, tmp_path):
    source = tmp_path / "x.csv"
    source.write_text("width,height\n" + "1,2\n" * 9 + "1,2,3\n1,2\n")
    err = refused(
        capsys, tmp_path, "predict", classifier[1], "--input", source, "--output", tmp_path / "y.csv"
    )
    assert err.startswith(f"dnn predict: {source} ") and "line" in err


def test_all_columns_of_a_model_without_names(network, capsys, tmp_path):
    pytest.importorskip("pandas")
    net, path = network
    source = tmp_path / "x.csv"
    model = ("predict", path, "--input", source, "--output", tmp_path / "y.npy")
    source.write_text("0,1\n3,4\n")  # names that pandas gives to columns without names
    assert run(capsys, *model)[0] == 0
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), net([[3, 4]]), rtol=1e-6)
    source.write_text("1.5,2\n3,4\n")
    assert "must begin with a line of column names, got the values 1.5, 2" in refused(
        capsys, tmp_path, *model
    )
    source.write_text("a,b,c\n1,2,3\n")
    assert "must have 2 columns, as many as the model has inputs, got 3" in refused(capsys, tmp_path, *model)


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.zeros(3), "must hold an array of rows and columns, got (3,)"),
        (np.zeros((2, 3)), "must have 2 columns, as many as the model has inputs, got 3"),
        (np.array([[1.0, 2]] * 9 + [[1, np.inf]]), "must be finite, got inf in row 9, column 1"),
        (np.array([[1.0, 2]] * 9 + [[1e300, 1]]), "must fit float32, got 1e+300 in row 9, column 0"),
        (np.array([["a", "b"]]), "must hold numbers, got 'a' in row 0, column 0: "),
        (np.zeros((0, 2)), "must have at least one row, got none"),
        (np.array([[None, 1]]), "cannot be read: "),
    ],
    ids=["vector", "columns", "infinite", "large", "text", "empty", "objects"],
)
def test_arrays_that_are_refused(array, wanted, network, small_blocks, capsys, tmp_path):
    source = tmp_path / "x.npy"
    np.save(source, array)
    err = refused(capsys, tmp_path, "predict", network[1], "--input", source, "--output", tmp_path / "y.csv")
    assert err.startswith(f"dnn predict: {source} {wanted}")


def test_paths_that_are_refused(network, capsys, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    np.save(tmp_path / "x.npy", np.zeros((1, 2)))

    def error(source, target, *more):
        return refused(
            capsys, tmp_path, "predict", network[1], "--input", tmp_path / source,
            "--output", tmp_path / target, *more
        )  # fmt: skip

    assert "the table (--input) must end with .csv, .csv.gz, .npy, .parquet, got " in error("x.txt", "y.csv")
    assert "--output must end with .csv, .npy, got " in error("x.npy", "y.txt")
    assert "--output must be a file, got a folder" in error("x.npy", "folder.csv")
    assert "y.csv: No such file or directory: nothing was saved" in error("x.npy", "none/y.csv")
    assert "none.npy: No such file or directory" in error("none.npy", "y.csv")
    assert "--proba needs a classifier: " in error("x.npy", "y.csv", "--proba")


@pytest.mark.parametrize(("package", "suffix"), [("pandas", "csv"), ("polars", "parquet")])
def test_packages_for_tables_are_named(package, suffix, network, monkeypatch, capsys, tmp_path):
    (tmp_path / f"x.{suffix}").write_text("a,b\n1,2\n")
    monkeypatch.setitem(sys.modules, package, None)
    err = refused(
        capsys, tmp_path, "predict", network[1], "--input", tmp_path / f"x.{suffix}",
        "--output", tmp_path / "y.csv",
    )  # fmt: skip
    what = {"csv": "a CSV file", "parquet": "a Parquet file"}[suffix]
    assert err == f"dnn predict: {what} needs {package}: pip install 'dnn-core[tables]'"


def test_an_estimator_that_is_not_fitted(capsys, tmp_path):
    pytest.importorskip("sklearn")
    dnn.MLPRegressor().save(tmp_path / "reg")
    np.save(tmp_path / "x.npy", np.zeros((1, 2)))
    source, target = tmp_path / "x.npy", tmp_path / "y.npy"
    err = refused(capsys, tmp_path, "predict", tmp_path / "reg", "--input", source, "--output", target)
    assert "not fitted yet" in err


def test_an_interrupt_leaves_no_file(network, rows, small_blocks, monkeypatch, capsys, tmp_path):
    np.save(tmp_path / "x.npy", rows)
    before = sorted(tmp_path.iterdir())

    def interrupt(self, n_rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction._Writer, "end", interrupt)
    source, target = tmp_path / "x.npy", tmp_path / "y.npy"
    assert run(capsys, "predict", network[1], "--input", source, "--output", target) == (130, "", "")
    assert sorted(tmp_path.iterdir()) == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("progress", [True, False])
def test_progress_in_a_terminal(progress, network, rows, small_blocks, monkeypatch, tmp_path):
    pytest.importorskip("tqdm")
    np.save(tmp_path / "x.npy", rows)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    more = [] if progress else ["--no-progress"]
    source, target = str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    assert cli.main(["predict", str(network[1]), "--input", source, "--output", target, *more]) == 0
    assert ("50.0/50.0" in terminal.getvalue()) == progress


# export


def test_export_as_onnx(network, rows, capsys, tmp_path):
    onnx = pytest.importorskip("onnx")
    assert run(capsys, "export", network[1], "--onnx", tmp_path / "net.onnx")[0] == 0
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"))
    again = dnn.from_onnx(tmp_path / "net.onnx")
    np.testing.assert_allclose(again(rows), network[0](rows), rtol=1e-6)


def test_export_as_c(network, monkeypatch, capsys, tmp_path):
    called = []

    def to_c(self, path):  # the compiler is run by the tests of to_c
        called.append(path)
        return SimpleNamespace(source=path, header=path.with_suffix(".h"), verified=True)

    monkeypatch.setattr(dnn.Network, "to_c", to_c)
    code, out, _ = run(capsys, "export", network[1], "--c", tmp_path / "net.c")
    assert code == 0 and called == [tmp_path / "net.c"]
    assert out == f"{tmp_path}/net.c and {tmp_path}/net.h were written (compiled and compared with Python)\n"
    monkeypatch.undo()
    assert "net.txt" in refused(capsys, tmp_path, "export", network[1], "--c", tmp_path / "net.txt")


# config


def test_config(capsys):
    code, out, _ = run(capsys, "config", "--json")
    found = json.loads(out)
    assert code == 0 and found == dnn.show_config(as_dict=True)
    assert found["numpy"] == np.__version__ and found["dnn"] == dnn.__version__
    assert found["python"] == sys.version.split()[0] and "torch" in found["optional"]
    code, out, _ = run(capsys, "config")
    assert code == 0 and f"instruction set   {found['instruction_set']}\n" in out
    assert f"\nnumpy             {np.__version__}\n" in out
    assert dnn.show_config() is None
    assert capsys.readouterr().out == out
    with pytest.raises(TypeError, match="as_dict must be a bool, got 1"):
        dnn.show_config(as_dict=1)


# all commands


def test_the_page_prints_what_it_says(monkeypatch, capsys, tmp_path):
    for package in ("sklearn", "pandas"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "guide" / "command_line.md").read_text()
    pages.run(page)
    commands = re.findall(r"^\$ (\w+) (.*)\n((?:(?!\$ |```).*\n)*)", page, re.M)
    assert [arguments.split()[0] for _, arguments, _ in commands] == [
        "summary", "predict", "predict", "proba.csv", "config"
    ]  # fmt: skip
    for program, arguments, said in commands:
        if program == "cat":
            printed = Path(arguments).read_text()
        else:
            assert program == "dnn" and cli.main(shlex.split(arguments)) == 0
            printed = capsys.readouterr().out
        if arguments == "config":  # versions differ, names do not
            printed, said = (re.sub(r"  .*|(?<=platform).*", "", text) for text in (printed, said))
            printed, said = (re.sub(r"(instruction sets?) .*", r"\1", text) for text in (printed, said))
        pages.check_output(printed, said)


@pytest.mark.parametrize(
    "command", ["demo", "train", "summary", "predict", "report", "export", "bench", "config"]
)
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"examples:\n  dnn {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["summary"],
        ["predict", "m"],
        ["export", "m"],
        ["export", "m", "--c", "a.c", "--onnx", "a"],
        ["frob"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: dnn" in capsys.readouterr().err


# Commands of somebody who has not read the page; M: a model file, T: its table


@pytest.fixture
def table(classifier, rows, tmp_path, monkeypatch):
    """Go to a folder with the files of model and table, and return what the model predicts for the table."""
    clf, _ = classifier
    monkeypatch.chdir(tmp_path)
    np.savetxt("T.csv", rows, delimiter=",", header=",".join(NAMES), comments="")
    np.savetxt("values.csv", rows, delimiter=",")
    clf.save("M")
    return clf.predictor()(rows)


def test_a_model_file_alone_is_summarized(table, capsys):
    assert run(capsys, "M") == run(capsys, "summary", "M")
    assert json.loads(run(capsys, "M", "--json")[1])["kind"] == "MLPClassifier"
    assert "T.csv cannot be loaded" in run(capsys, "T.csv")[2]


def test_predictions_are_printed(table, small_blocks, capsys):
    for arguments in (["T.csv"], ["--input", "T.csv"]):
        code, out, err = run(capsys, "predict", "M", *arguments)
        assert (code, err) == (0, "") and sorted(map(str, Path().iterdir())) == sorted(
            ["M", "T.csv", "values.csv", "clf.safetensors"]
        )
        assert list(csv.reader(io.StringIO(out))) == [["label"], *([label] for label in table)]
    assert run(capsys, "predict", "M", "T.csv", "--output", "y.csv") == (0, "", "")
    assert Path("y.csv").read_text() == out


def test_the_form_of_an_export_is_that_of_its_path(table, capsys):
    pytest.importorskip("onnx")
    assert run(capsys, "export", "M", "m.onnx")[:2] == (0, "m.onnx was written\n")
    assert "m.c and m.h were written" in run(capsys, "export", "M", "m.c")[1]
    assert Path("m.onnx").exists() and Path("m.c").exists() and Path("m.h").exists()


@pytest.mark.parametrize("arguments", ["version", "-V", "--version"])
def test_the_version_by_any_name(arguments, capsys):
    assert run(capsys, arguments) == (0, f"dnn {dnn.__version__}\n", "")


@pytest.mark.parametrize("arguments", ["help", "help predict"])
def test_help_by_name(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: dnn{arguments[4:]} [-h]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("info M", "there is no command 'info': use dnn summary, or see dnn --help"),
        ("load", "there is no command 'load': use dnn summary"),
        ("sumary M", "there is no command 'sumary': use dnn summary"),
        ("Predict M T.csv", "there is no command 'Predict': use dnn predict"),
        ("nothing", "'nothing' is neither a command nor a file: dnn --help lists the commands"),
        ("predict M", "give one table: dnn predict M TABLE.csv --output RESULT.csv"),
        ("predict M T.csv --input T.csv", "give one table: dnn predict M TABLE.csv"),
        ("export M.safetensors", "say what to write: dnn export M.safetensors M.onnx, or dnn export M.sa"),
        ("export M m.txt", "say what to write: dnn export M M.onnx, or dnn export M M.c"),
        ("export M m.c --onnx m.onnx", "say what to write"),
    ],
)
def test_what_to_type_instead(arguments, message, table, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("T.csv M", "the model file comes first: dnn predict M T.csv"),
        ("M values.csv", "values.csv must begin with a line of column names, got the values"),
    ],
)
def test_tables_that_are_not_what_was_meant(arguments, message, table, tmp_path, capsys):
    assert message in refused(capsys, tmp_path, "predict", *arguments.split())


def test_the_exit_code_of_a_process(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "dnn", "summary", tmp_path / "none"], capture_output=True, text=True
    )
    assert ran.returncode == 1 and ran.stdout == ""
    assert ran.stderr == f"dnn summary: {tmp_path}/none: No such file or directory\n"
