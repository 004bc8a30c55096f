"""Large tables are predicted in blocks of rows, with the same bits."""

import numpy as np
import pytest
from table_models import KINDS, fitted, table_of

from dnn.estimators.tables import passes


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_do_not_change_predictions(kind, monkeypatch):
    table, _ = table_of(90, seed=3)
    est = fitted(kind)
    whole = est.predict(table)
    used = []
    monkeypatch.setattr(passes, "rows_per_block", lambda width: used.append(width) or 16)
    assert np.array_equal(est.predict(table), whole) and used


def test_the_order_of_rows_is_kept_with_several_threads(monkeypatch):
    monkeypatch.setattr(passes, "rows_per_block", lambda width: 7)
    table, _ = table_of(90, seed=3)
    est = fitted("binary")
    alone = [
        est.predict_proba({name: column[i : i + 1] for name, column in table.items()}) for i in range(90)
    ]
    est.set_params(n_threads=3)
    try:
        assert np.allclose(est.predict_proba(table), np.concatenate(alone), rtol=1e-6)
    finally:
        est.set_params(n_threads="auto")


def test_blocks_hold_few_elements():
    for width in (1, 100, 5000, 10**6):
        blocks = list(passes.blocks_of(20_000, width))
        assert blocks[0].start == 0 and blocks[-1].stop == 20_000
        assert max((block.stop - block.start) * width for block in blocks) <= max(1 << 19, 256 * width)
