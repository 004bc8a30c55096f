"""Values at the edges of bins: the same functions as rises over bins, rewritten as each other exactly."""

import numpy as np

from dnn import Network, TableEncoder
from dnn.estimators.tables.knots import Knots

RNG = np.random.default_rng(0)


def table(n=200):
    number = RNG.standard_normal(n)
    number[::7] = np.nan
    return {
        "a": number,
        "few": RNG.integers(0, 2, n),
        "b": RNG.integers(0, 9, n) * 1.5,
        "c": RNG.choice(["u", "v"], n),
    }


def test_codes_are_hat_functions():
    """The value of edge j is interpolated between 1 at edge j and 0 at its neighbours."""
    given = table()
    encoder = TableEncoder(n_bins=5).fit(given)
    encoded = encoder.transform(given)
    found = encoder.encoding_.encode(*encoder.columns_.read(given), form="knots").toarray()
    column = 0
    for part, edges, name in zip(encoder.number_slices_, encoder.edges_, ["a", "few", "b"], strict=True):
        n_plain = part.stop - part.start - max(0, len(edges) - 1)
        assert np.array_equal(found[:, column : column + n_plain], encoded.toarray()[:, part][:, :n_plain])
        column += n_plain
        if len(edges):
            values = np.nan_to_num(given[name].astype(float), nan=np.nanmedian(given["a"]))
            hats = np.stack(
                [np.interp(values, edges, np.eye(len(edges))[j]) for j in range(len(edges))], axis=1
            )
            assert np.allclose(found[:, column : column + len(edges)], hats, atol=1e-6)
            column += len(edges)
    assert np.array_equal(found[:, column:], encoded.toarray()[:, encoder.category_slices_[0].start :])


def test_a_network_on_edges_is_one_on_bins():
    given = table()
    encoder = TableEncoder(n_bins=5).fit(given)
    encoded, knots = encoder.transform(given), Knots.of(encoder)
    net = Network(
        [knots.n_outputs, 7, 6, 2], activation=["silu", "tanh"], output="softmax", dropout=0.2, random_state=0
    )
    net.params[:] = RNG.standard_normal(net.n_params)
    same = knots.network(net)
    assert same.dropout == net.dropout and same.n_inputs == encoder.n_features_out_
    assert np.allclose(
        same(encoded.toarray()),
        net(encoder.encoding_.encode(*encoder.columns_.read(given), form="knots").toarray()),
        atol=1e-5,
    )


def test_without_bins_nothing_changes():
    encoder = TableEncoder(piecewise=False).fit(table())
    knots = Knots.of(encoder)
    assert not knots.bins and knots.n_outputs == knots.n_inputs
