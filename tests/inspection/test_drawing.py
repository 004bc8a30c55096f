"""Drawings have the right contents; their look was checked by eye."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from dnn import Network, plotting
from dnn.inspection.drawing import BLUE, VERMILION, Drawing, short


def axes():
    return Figure().subplots()


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_network_is_drawn():
    net = Network([2, 3, 1], output="sigmoid", random_state=0)
    svg = net.draw().svg()
    root = ElementTree.fromstring(svg)
    count = [element.tag.split("}")[1] for element in root.iter()].count
    assert count("circle") == 6 and count("line") == 9
    assert {"X", "A1 = relu(Z1)", "A2 = sigmoid(Z2)", "3 units", "1 unit"} <= set(words(svg))
    lines = [line for line in root.iter() if line.tag.endswith("line")]
    for line in lines:
        w = float(line[0].text.split("= ")[1])
        assert line.get("stroke") == (BLUE if w >= 0 else VERMILION)
        assert ("stroke-dasharray" in line.attrib) == (w < 0)
    widths = {abs(float(line[0].text.split("= ")[1])): float(line.get("stroke-width")) for line in lines[:6]}
    assert sorted(widths.values()) == [widths[w] for w in sorted(widths)]
    assert net.draw()._repr_svg_() == svg


def test_values_and_slopes_of_an_example():
    net = Network([2, 3, 1], activation="tanh", output="sigmoid", dtype="float64", random_state=0)
    x, y = np.array([1.0, -2.0]), 1
    found = words(net.draw(x, y).svg())
    out, cache = net.forward(x)
    _, dX = net.backward(cache, [-1 / out[0]])  # the gradient of -log(out)
    for value in [*x, *cache.A[0][0], out[0]]:
        assert short(value) in found
    for slope in [*dX, out[0] - 1]:
        assert "∂ " + short(slope) in found
    assert not any(word.startswith("∂") for word in words(net.draw(x).svg()))
    with pytest.raises(ValueError, match="x must come with y"):
        net.draw(y=1)


def test_wide_layers_are_abbreviated():
    svg = Network([784, 128, 10], output="softmax", random_state=0).draw(most=6).svg()
    assert svg.count("<circle") == 3 * 5
    assert words(svg).count("⋮") == 3 and "784 inputs" in words(svg)


def test_axes_and_file_show_the_same_drawing(tmp_path):
    drawing = Network([2, 2, 1], random_state=0).draw([1.0, 2.0])
    ax = drawing.on(axes())
    assert len(ax.lines) == 6 and len(ax.patches) == 5
    assert [text.get_text() for text in ax.texts] == words(drawing.svg())
    drawing.save(tmp_path / "net.svg")
    assert (tmp_path / "net.svg").read_text() == drawing.svg()


def test_boxes_and_arrows():
    drawing = Drawing(100, 50)
    drawing.box(50, 25, 20, 10)
    drawing.arrow(0, 0, 40, 25)
    drawing.text(50, 25, "a < b", bold=True)
    assert words(drawing.svg()) == ["a < b"]
    ax = drawing.on(axes())
    assert len(ax.lines) == 3 and len(ax.patches) == 1


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0.00"), (0.123, "0.12"), (-12.3, "-12.30"), (0.0012, "1e-3"), (12345, "1e4")]
)
def test_numbers_are_shortened(value, said):
    assert short(value) == said


def test_boundaries_of_two_and_of_three_classes():
    X, y = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]), np.array([0, 1, 2])
    ax = plotting.boundary(lambda P: (P[:, :1] > 1).astype(float), X[:2], y[:2], axes(), resolution=20)
    picture = ax.images[0].get_array()
    assert picture.shape == (20, 20, 3)
    ax = plotting.boundary(Network([2, 3], output="softmax", random_state=0), X, y, axes(), resolution=20)
    assert len([c for c in ax.collections if len(c.get_offsets()) == 1]) >= 3
    with pytest.raises(ValueError, match=r"\(n_samples, 2\)"):
        plotting.boundary(Network([3, 1]), np.ones((2, 3)), [0, 1], axes())


def test_boundary_colors_are_those_of_the_classes():
    X = np.array([[0.0, 0.0], [10.0, 10.0]])
    ax = plotting.boundary(lambda P: (P[:, :1] > 5).astype(float), X, [0, 1], axes(), resolution=20)
    picture = ax.images[0].get_array()
    assert picture[0, 0, 2] > picture[0, 0, 0]  # left: class 0, blue
    assert picture[0, -1, 0] > picture[0, -1, 2]  # right: class 1, orange


def test_weights_as_a_matrix_and_as_pictures():
    net = Network([6, 4, 1], random_state=0)
    assert np.array_equal(plotting.weights(net, axes()).images[0].get_array(), net.weights[0])
    picture = plotting.weights(net, axes(), shape=(2, 3), columns=2).images[0].get_array()
    assert picture.shape == (7, 9)
    first = net.weights[0][:, 0].reshape(2, 3)
    np.testing.assert_allclose(picture[1:3, 1:4], first / np.abs(first).max(), rtol=1e-6)
    with pytest.raises(ValueError, match="6 pixels"):
        plotting.weights(net, axes(), shape=(2, 2))


def test_confusion_counts():
    ax = plotting.confusion(["a", "b", "b"], ["a", "a", "b"], axes(), labels=["b", "a"])
    assert [text.get_text() for text in ax.texts] == ["1", "1", "", "1"]
    assert ax.get_title() == "2 of 3 correct" and ax.get_ylabel() == "true class"
    with pytest.raises(ValueError, match="3 classes"):
        plotting.confusion([1, 2, 3], [1], axes())


def test_residuals_are_drawn():
    ax = plotting.residuals([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], axes())
    assert ax.collections[0].get_offsets().tolist() == [[1.0, 0.0], [3.0, -1.0], [3.0, 1.0]]
    with pytest.raises(ValueError, match="2 values"):
        plotting.residuals([1, 2], [1], axes())
