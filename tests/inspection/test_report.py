"""Reports of table estimators: complete, one file, well-formed, the same figures as the estimator."""

import copy
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from table_models import KINDS, fitted, table_of, target_of

pytest.importorskip("matplotlib")

SECTIONS = {
    "regressor": ["Predicted and true values", "Residuals", "Intervals"],
    "binary": ["Calibration", "Confusion matrix", "ROC curve"],
    "multiclass": ["Calibration", "Confusion matrix"],
}
VOID = {"meta", "br"}


class Checker(HTMLParser):
    """Collects ids and texts, and checks that each element is closed."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.handle_attributes(attrs)

    def handle_startendtag(self, tag, attrs):
        self.handle_attributes(attrs)

    def handle_attributes(self, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.attributes += [(name, value) for name, value in attrs if value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    page = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    return page, checker, " ".join("".join(checker.text).split())


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_complete(kind, tmp_path):
    est, (table, y) = fitted(kind), table_of(seed=5)
    est.report(tmp_path / "report.html", table, target_of(kind, y))
    page, _, text = read(tmp_path / "report.html")
    expected = [
        "Scores",
        "Learning curves",
        *SECTIONS[kind],
        "Importance of the columns",
        "Data",
        "Parameters",
    ]
    assert re.findall("<h2>(.*?)</h2>", page) == expected
    assert len(page) < 300_000 and page.count("<figcaption>") == page.count("<figure>")
    assert page.count('role="img"') == page.count("<svg") > 2
    shown = f"{est.summary_['scores'][est._metric()]:.4g}"
    assert shown in text and f"{est.summary_['n_rows']:,}" in text and est.summary_["version"] in text
    for name in table:
        assert f"<td>{name}</td>" in page
    assert "constant: 'kg'" in text and "(16, 16)" in text and "default: (128, 128)" in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_one_file_with_the_colors_of_its_page(kind, tmp_path):
    fitted(kind).report(tmp_path / "report.html")
    page, checker, _ = read(tmp_path / "report.html")
    assert len(checker.ids) == len(set(checker.ids)), "ids must differ between the figures of a page"
    for name, value in checker.attributes:
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#") and value[1:] in checker.ids
    outside = set(re.findall(r"https?://[\w./]+", page))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not files
    assert "prefers-color-scheme: dark" in page and "#010203" not in page and "#0072b2" in page
    drawings = "".join(re.findall("<svg.*?</svg>", page, re.S))
    assert not re.search("#0072b2|#d55e00|#000000", drawings) and "var(--blue)" in drawings


def test_a_report_does_not_need_members_histories_or_rows(tmp_path):
    """A model file holds the summary, but neither the histories nor the predictions of the rows."""
    est = copy.copy(fitted("binary"))
    del est.histories_, est.oof_
    est.report(str(tmp_path / "report.html"))
    fitted("binary").report(tmp_path / "again.html")
    assert (tmp_path / "report.html").read_bytes() == (tmp_path / "again.html").read_bytes()


@pytest.mark.parametrize(("kind", "metric"), [("binary", "accuracy"), ("regressor", "mae")])
def test_another_metric_has_a_figure_of_its_own(kind, metric, tmp_path):
    est = fitted(kind, metric=metric, epochs=3)
    est.report(tmp_path / "report.html")
    page, _, _ = read(tmp_path / "report.html")
    assert 'aria-label="Validation score of each network by epoch"' in page
    assert 'aria-label="Loss of each network by epoch"' not in page


def test_names_are_escaped(tmp_path):
    from dnn import TableClassifier

    table = {"<b>$x$": [1.0, 2.0, 3.0, 4.0] * 10, "y&z": ["<i>", "a"] * 20}
    y = ["<u>", "$k$", "$k$", "<u>", "$k$"] * 8
    clf = TableClassifier(n_members=1, epochs=2, hidden_layer_sizes=(4,), random_state=0).fit(table, y)
    clf.report(tmp_path / "report.html", table, y)
    page, _, text = read(tmp_path / "report.html")
    assert "<b>$x$" in text and "y&z" in text and "<u>" in text
    assert not re.search("<b>|<u>|<i>", page)


def test_errors_of_reports(tmp_path):
    est, (table, y) = fitted("binary"), table_of()
    with pytest.raises(ValueError, match="X and y must be given both or not at all, got only X"):
        est.report(tmp_path / "report.html", table)
    with pytest.raises(ValueError, match="y must hold labels of fit"):
        est.report(tmp_path / "report.html", table, ["?"] * 240)
    assert not (tmp_path / "report.html").exists()
    assert np.isfinite(y).all()
