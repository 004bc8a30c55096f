"""``dnn bench``: positive figures that fit each other, text that fits a terminal, wrong arguments."""

import json
import os
import time
import warnings

import pytest

from dnn import cli
from dnn.cli import bench


def figures(found):
    """Yield every figure of a result, by its name."""
    for name, item in found.items():
        if isinstance(item, dict):
            yield from figures(item)
        elif isinstance(item, (int, float)):
            yield name, item


@pytest.fixture
def short(monkeypatch):
    """Make the measurements short; the product of 1024 x 1024 takes longest."""
    monkeypatch.setattr(bench, "PRODUCT", 64)
    monkeypatch.setattr(bench, "SLOTS", {True: (3, 0.001), False: (5, 0.001)})


def test_json(short, capsys, monkeypatch):
    monkeypatch.setenv("DNN_NUM_THREADS", "5")
    arguments = ["bench", "--quick", "--json", "--network", "3-4-1", "--network", "4-3-5"]
    assert cli.main([*arguments, "--batch", "4", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert os.environ["DNN_NUM_THREADS"] == "5"
    assert (found["batch"], found["turns"], found["machine"]["threads"]) == (4, 3, 1)
    assert found["product_gflops"] > 0 and found["machine"]["processor"]
    assert [item["network"] for item in found["networks"]] == ["3-4-1", "4-3-5"]
    assert [item["parameters"] for item in found["networks"]] == [21, 35]
    for item in found["networks"]:
        values = dict(figures(item))
        assert len(values) >= 8 and all(value > 0 for value in values.values())
        training = item["training"]
        assert training["rows_per_second"] == pytest.approx(4 / training["seconds_per_step"])
        assert training["fraction_of_product"] == pytest.approx(training["gflops"] / found["product_gflops"])
        if item["sklearn"]:
            ratio = item["sklearn"]["seconds_per_step"] / training["seconds_per_step"]
            assert item["sklearn"]["ratios"]["train"] == pytest.approx(ratio)
            rows = item["prediction"]["rows_per_second"] / item["sklearn"]["rows_per_second"]
            assert item["sklearn"]["ratios"]["rows"] == pytest.approx(rows)
    # 2 (3 + 4 products forward, for dW, and for dA of the second layer), in billions
    first = found["networks"][0]["training"]
    flops = 2 * (3 * 16 - 12) * 4
    assert first["gflops"] == pytest.approx(flops / first["seconds_per_step"] / 1e9)


def test_what_is_counted():
    """A repetition that sleeps: its time by the units, whatever n is; and n is a multiple of an epoch."""
    counts = []

    def run(n):
        counts.append(n)
        time.sleep(0.001 * n)

    timing = bench.Timing(run, units=10, n=1, most=8)
    timing.measure(0.05)
    assert 1e-4 <= timing.seconds[0] < 5e-4
    assert counts[0] == 1 and counts[-1] >= 16 and all(n < 8 or n % 8 == 0 for n in counts)


def test_scikit_learn_does_the_same_work(monkeypatch):
    """So many steps with batches of the same size."""
    neural_network = pytest.importorskip("sklearn.neural_network")
    fitted = []
    fit = neural_network.MLPClassifier.fit
    monkeypatch.setattr(
        neural_network.MLPClassifier, "fit", lambda clf, X, y: fitted.append(fit(clf, X, y)) or clf
    )
    monkeypatch.setattr(bench, "ROWS", 40)
    for sizes in ((3, 4, 1), (3, 2), (3, 4, 5)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged
            bench.Case(sizes, 4, True).sklearn["train"].run(20)
        clf = fitted[-1]
        assert clf.t_ == 20 * 4 and clf.n_iter_ == 2 and clf.batch_size == 4 and clf.alpha == 0
        assert clf.coefs_[0].dtype == "float32"
        assert [len(W) for W in clf.coefs_] + [clf.n_outputs_] == list(sizes)


@pytest.mark.parametrize("with_sklearn", [True, False])
def test_text_fits_a_terminal(with_sklearn, short, capsys, monkeypatch):
    if with_sklearn:
        pytest.importorskip("sklearn")
    else:
        monkeypatch.setattr(bench, "find_spec", lambda name: None)
    assert cli.main(["bench", "--quick", "--network", "2-4-1", "--network", "784-12-10"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and max(map(len, out.splitlines()[3:])) <= 80
    heads = [line.split() for line in out.splitlines() if "rows/s" in line]
    assert heads[0][:4] == ["rows/s", "us/step", "GFLOP/s", "of"] and len(heads) == 2
    assert ("scikit-learn" in out) == ("ratio" in out) == with_sklearn
    assert sum(line.startswith("784-12-10 ") for line in out.splitlines()) == 2


def test_numbers_of_any_size():
    values = [0, 0.00012, 0.0999, 1.234, 12.34, 999.6, 1234567.0]
    assert [bench._digits(value) for value in values] == [
        "0.00000", "0.00012", "0.0999", "1.23", "12.3", "1,000", "1,234,567"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--network 3", "--network: must be sizes from 1 to 1048576, such as 64-100-10, got '3'"),
        ("--network 3-0-1", "got '3-0-1'"),
        ("--network 3-x", "got '3-x'"),
        ("--batch 0", "--batch: must be a whole number from 1 to 1048576, got '0'"),
        ("--threads 65", "--threads: must be a whole number from 1 to 64, got '65'"),
        ("--threads two", "got 'two'"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *arguments.split()])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
