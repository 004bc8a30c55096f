"""Modules of PyTorch become networks, and networks modules, with the same outputs and the same parameters."""

import doctest
import re
from pathlib import Path

import numpy as np
import pages
import pytest

import dnn
from dnn import ELU, Dense, Dropout, LeakyReLU, _core, exports
from dnn.interop import torch as interop

NAMES = [name for name in _core.ACTIVATIONS if name != "exp"]
OUTPUTS = [name for name, info in _core.ACTIVATIONS.items() if info.output and name != "exp"]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")


def activations(nn):
    """Return every supported module that is an activation, with its options."""
    return [
        nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.LeakyReLU(0.0), nn.ELU(),
        nn.ELU(0.4), nn.SELU(), nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.Tanh(),
        nn.Sigmoid(), nn.Softplus(), nn.Softplus(threshold=50),
    ]  # fmt: skip


def outputs_of(torch, module, X):
    """Return the outputs of a module in evaluation mode; the mode stays as it was."""
    before = {each: each.training for each in module.modules()}
    with torch.no_grad():
        outputs = module.eval()(torch.from_numpy(X.copy())).numpy()
    for each, training in before.items():
        each.training = training
    return outputs


def check(torch, module, n_inputs, dtype="float32", n=40):
    """Check that the network of a module has its outputs, and return it."""
    X = np.random.default_rng(0).normal(size=(n, n_inputs)).astype(dtype)
    net = dnn.from_torch(module)
    assert net.dtype == dtype
    expected = outputs_of(torch, module, X)
    within = (1e-6 if dtype == "float32" else 1e-12) * max(1, abs(expected).max())
    np.testing.assert_allclose(net(X), expected, rtol=0, atol=within)
    return net


def normalization(torch, n, **options):
    """Return a BatchNorm1d that has seen data."""
    module = torch.nn.BatchNorm1d(n, **options)
    module.running_mean.uniform_(-1, 1)
    module.running_var.uniform_(0.5, 2)
    if module.affine:
        torch.nn.init.uniform_(module.weight, 0.5, 2)
        torch.nn.init.uniform_(module.bias, -1, 1)
    return module


def draw(torch, seed):
    """Return a random module, and its number of inputs."""
    nn, rng = torch.nn, np.random.default_rng(seed)
    torch.manual_seed(seed)
    n_inputs = width = int(rng.integers(1, 9))

    def others(n):
        """Modules that keep the width, in any order."""
        choices = [
            lambda: nn.Dropout(rng.uniform(0, 0.9)),
            lambda: normalization(torch, width, affine=bool(rng.random() < 0.7)),
            lambda: rng.choice([nn.Identity(), nn.Flatten()]),
        ]
        return [choices[rng.integers(3)]() for _ in range(n)]

    modules = others(rng.integers(2))
    for _ in range(rng.integers(1, 5)):
        n_out = int(rng.integers(1, 13))
        block = [nn.Linear(width, n_out, bias=bool(rng.random() < 0.8))]
        width = n_out
        block += others(rng.integers(2))
        block += list(rng.choice(activations(nn), rng.integers(3)))
        block += others(rng.integers(3))
        modules += [nn.Sequential(*block)] if rng.random() < 0.3 else block
    if width > 1 and rng.random() < 0.3:
        modules += [nn.Softmax(dim=int(rng.choice([1, -1])))]
    return nn.Sequential(*modules), n_inputs


@pytest.mark.parametrize("seed", range(200))
def test_random_modules(torch, seed):
    module, n_inputs = draw(torch, seed)
    check(torch, module, n_inputs)
    check(torch, module.double(), n_inputs, "float64")


@pytest.mark.parametrize("number", range(16))
def test_every_activation(torch, number):
    """Between two layers, at the end, and after another activation."""
    nn = torch.nn
    activation = activations(nn)[number]
    torch.manual_seed(number)
    for modules in (
        [nn.Linear(5, 7), activation, nn.Linear(7, 3)],
        [nn.Linear(5, 7), nn.Linear(7, 3), activation],
        [nn.Linear(5, 7), activation, activation, nn.Linear(7, 3)],
    ):
        module = nn.Sequential(*modules)
        check(torch, module, 5)
        check(torch, module.double(), 5, "float64")


def test_all_activations_are_tested(torch):
    kinds = {type(each).__name__ for each in activations(torch.nn)}
    others = {"Sequential", "Linear", "BatchNorm1d", "Dropout", "Flatten", "Identity", "Softmax"}
    assert kinds | others == set(interop._SUPPORTED) and len(activations(torch.nn)) == 16


def test_dropout_keeps_its_place(torch):
    nn = torch.nn
    module = nn.Sequential(
        nn.Dropout(0.1), nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 5), nn.Dropout(0.3),
        nn.Tanh(), nn.Linear(5, 2), nn.Softmax(1),
    )  # fmt: skip
    net = check(torch, module, 4)
    assert net.dropout == (0.1, 0.2, 0.3, 0.0)
    assert [layer.activation for layer in net.layers] == ["relu", "identity", "tanh", "softmax"]


def test_normalization_is_folded(torch):
    """Before a layer, after it, and after its activation, no layer is added; at the end one is."""
    nn = torch.nn

    def norm(n, **options):
        return normalization(torch, n, **options)

    folded = nn.Sequential(
        norm(4), nn.Linear(4, 6, bias=False), norm(6), nn.ReLU(), norm(6, affine=False), nn.Dropout(0.5),
        norm(6), nn.Linear(6, 2), norm(2, eps=0.1),
    )  # fmt: skip
    assert len(check(torch, folded, 4).layers) == 2
    assert len(check(torch, nn.Sequential(nn.Linear(4, 6), nn.ReLU(), norm(6)), 4).layers) == 2
    assert len(check(torch, norm(4), 4).layers) == 1


def test_a_module_that_is_used_twice(torch):
    """`children()` would name it once."""
    nn = torch.nn
    relu, linear = nn.ReLU(), nn.Linear(5, 5)
    net = check(torch, nn.Sequential(linear, relu, linear, relu, nn.Linear(5, 1)), 5)
    assert [layer.activation for layer in net.layers] == ["relu", "relu", "identity"]


def test_subclasses(torch):
    """One that computes the same is read; one that computes something else is refused."""
    nn = torch.nn

    class Named(nn.Sequential):
        def __init__(self, n):
            super().__init__(nn.Linear(n, 3), nn.Tanh())

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    check(torch, Named(4), 4)
    with pytest.raises(ValueError, match=r"^module\[0\]: Doubled is not supported, only Sequential, Linear"):
        dnn.from_torch(nn.Sequential(Doubled(4, 3)))


def test_the_network_is_independent(torch):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5), torch.nn.Linear(2, 1))
    module.train()
    before = [each.clone() for each in module.parameters()]
    net = dnn.from_torch(module)
    net.params[:] = 0
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert module.training and module[1].training


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_becomes_float32(torch, dtype):
    module = torch.nn.Linear(3, 2).to(getattr(torch, dtype))
    net = dnn.from_torch(module)
    assert net.dtype == np.float32
    np.testing.assert_array_equal(net.weights[0].T, module.weight.detach().float().numpy())


ONLY = "is not supported, only Sequential, Linear, BatchNorm1d, "
REFUSED = {
    "unknown": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(1, 1, 1))),
        f"module[1][1]: Conv2d {ONLY}",
    ),
    "named": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), named(nn, act=nn.PReLU())),
        f"module[1].act: PReLU {ONLY}",
    ),
    "log_softmax": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)),
        f"module[1]: LogSoftmax {ONLY}",
    ),
    "softmax of columns": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Softmax(0)),
        f"module[1]: Softmax(dim=0) {ONLY}",
    ),
    "hidden softmax": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1), nn.Linear(3, 3)),
        "module[1]: softmax must be the last activation, of at least 2 units",
    ),
    "softplus": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Softplus(2.0)),
        f"module[1]: Softplus(beta=2.0, threshold=20.0) {ONLY}",
    ),
    "flatten": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Flatten(0)),
        f"module[1]: Flatten(start_dim=0, end_dim=-1) {ONLY}",
    ),
    "slope": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.LeakyReLU(-0.5)),
        "module[1]: LeakyReLU: slope must be finite and at least 0, got -0.5",
    ),
    "rate": (
        lambda nn: nn.Sequential(nn.Dropout(1.0), nn.Linear(4, 3)),
        "module[0]: the rate of dropout must be finite and at least 0 and below 1, got 1.0",
    ),
    "no statistics": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        "module[1]: BatchNorm1d must have running statistics, got track_running_stats=False",
    ),
    "widths": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3)),
        "module[1]: there must be 3 inputs, as the part before gives, got 4",
    ),
    "nothing": (lambda nn: nn.Sequential(), "module: the model must have a dense layer, got none"),
    "activation first": (
        lambda nn: nn.Sequential(nn.ReLU(), nn.Linear(4, 3)),
        "module[0]: the activation relu must come after a dense layer, got none before it",
    ),
    "hooks": (
        lambda nn: nn.Sequential(nn.Linear(4, 3), hooked(nn.ReLU())),
        "module[1]: ReLU must not have forward hooks",
    ),
    "lazy": (
        lambda nn: nn.Sequential(nn.LazyLinear(3)),
        "module[0]: LazyLinear must not have forward pre hooks",
    ),
    "parametrizations": (
        lambda nn: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))),
        "module[0]: ParametrizedLinear must not have parametrizations",
    ),
}


def named(nn, **modules):
    """Return a Sequential whose modules have names."""
    found = nn.Sequential()
    for name, module in modules.items():
        found.add_module(name, module)
    return found


def hooked(module):
    module.register_forward_hook(lambda module, args, output: 2 * output)
    return module


@pytest.mark.parametrize("case", REFUSED)
def test_refused_modules_are_named_by_their_path(torch, case):
    build, text = REFUSED[case]
    module = build(torch.nn)
    with pytest.raises(ValueError, match="^" + re.escape(text)):
        dnn.from_torch(module)


def test_no_module():
    with pytest.raises(TypeError, match=r"^module must be a torch\.nn\.Module, got list$"):
        dnn.from_torch([1, 2])


# From networks to modules


def network(seed, dtype="float32"):
    """Return a random network that has a module."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, rng.integers(2, 6)).tolist()
    hidden = [name for name in NAMES if name != "softmax"]
    choices = [*hidden, LeakyReLU(0.25), ELU(0.5)]
    spec = []
    for units in sizes[1:]:
        rate = rng.choice([0.0, 0.3])
        spec += [Dropout(rate)] if rate else []
        spec += [Dense(units, choices[rng.integers(len(choices))])]
    spec[-1] = Dense(sizes[-1], str(rng.choice(OUTPUTS)))
    net = dnn.Network(sizes[0], spec, dtype=dtype, random_state=seed)
    for b in net.biases:
        b[:] = rng.normal(size=b.shape)
    return net


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(torch, seed, dtype):
    net = network(seed, dtype)
    state = torch.get_rng_state()
    module = net.to_torch()
    assert torch.equal(state, torch.get_rng_state()) and not module.training
    X = np.random.default_rng(seed).normal(size=(40, net.n_inputs)).astype(dtype)
    expected = net(X)
    within = (1e-6 if dtype == "float32" else 1e-12) * max(1, abs(expected).max())
    np.testing.assert_allclose(outputs_of(torch, module, X), expected, rtol=0, atol=within)
    again = dnn.from_torch(module)
    np.testing.assert_array_equal(again.params, net.params, strict=True)
    assert again.layers == net.layers and again.dropout == net.dropout


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_has_its_module(torch, name):
    n = 3
    activation = {"leaky_relu": LeakyReLU(0.3), "elu": ELU(0.3)}.get(name, name)
    layers = [Dense(n, activation)] if name in OUTPUTS else [Dense(n, activation), Dense(n)]
    net = dnn.Network(2, layers, dtype="float64", random_state=0)
    net.params[:] *= 30  # softplus is also computed above PyTorch's default threshold
    X = np.random.default_rng(0).normal(size=(50, 2))
    expected = net(X)
    within = 1e-13 * max(1, abs(expected).max())
    np.testing.assert_allclose(outputs_of(torch, net.to_torch(), X), expected, rtol=0, atol=within)
    assert dnn.from_torch(net.to_torch()).layers == net.layers


def test_a_module_trains_and_is_independent(torch):
    net = dnn.Network([3, 4, 1], dropout=0.5, random_state=0)
    params = net.params.copy()
    module = net.to_torch().train()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    assert all(each.grad is not None for each in module.parameters())
    np.testing.assert_array_equal(net.params, params)
    assert (dnn.from_torch(module).params != params).any()


def test_exp_has_no_module(torch):
    text = r"^to_torch does not support the activation exp of layers\[1\]: torch\.nn has none$"
    with pytest.raises(ValueError, match=text):
        dnn.Network([2, 3, 1], output="exp").to_torch()


def test_estimators(torch):
    pytest.importorskip("sklearn")
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["no", "yes", "yes", "no"]
    clf = dnn.MLPClassifier((8,), activation="tanh", solver="lbfgs", random_state=0).fit(X, y)
    outputs = outputs_of(torch, clf.to_torch(), np.array(X, float))
    np.testing.assert_allclose(outputs[:, 0], clf.predict_proba(X)[:, 1], rtol=1e-12)


@pytest.mark.parametrize("module", [interop, exports], ids=lambda module: module.__name__)
def test_examples(torch, module):
    """The examples of docstrings, which are skipped elsewhere because they need PyTorch."""
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    runner = doctest.DocTestRunner()
    for test in tests:
        if "torch" not in test.name:
            continue
        for example in test.examples:
            assert example.options.pop(doctest.SKIP, False) or "import" in example.source
        assert runner.run(test).failed == 0
    assert runner.tries >= 2


def test_the_page(torch):
    """The code of the page that needs PyTorch, which the tests of the pages leave out."""
    page = (Path(__file__).parents[2] / "docs/guide/other_libraries.md").read_text()
    section = page.split("\n## PyTorch\n")[1].split("\n## ")[0]
    pages.run(section.replace("```py\n", "```python\n"))


# Without PyTorch: objects that look like its modules are enough


class Tensor:
    """What is read of a tensor."""

    def __init__(self, array):
        self.array, self.itemsize = np.asarray(array), np.asarray(array).itemsize

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(self.array.astype(np.float32))

    def numpy(self):
        return self.array


class Module:
    def __init__(self, **attributes):
        vars(self).update(attributes)

    def forward(self, x):
        raise AssertionError("no code of a module is run")


def module_class(name):
    return type(name, (Module,), {"forward": Module.forward})


def test_without_pytorch():
    Linear, ReLU, Sequential = map(module_class, ("Linear", "ReLU", "Sequential"))
    layers = {
        "0": Linear(weight=Tensor(np.full((2, 3), 2.0, np.float32)), bias=None),
        "act": ReLU(),
        "2": Linear(weight=Tensor(np.ones((1, 2), np.float32)), bias=Tensor(np.ones(1, np.float32))),
    }
    net = dnn.from_torch(Sequential(_modules=layers))
    assert net([[1, 2, 3], [-1, -2, -3]]).tolist() == [[25.0], [1.0]]
    layers["act"] = module_class("Conv2d")()
    with pytest.raises(ValueError, match=r"^module\.act: Conv2d is not supported"):
        dnn.from_torch(Sequential(_modules=layers))


def test_parameters_that_are_no_tensors():
    """As in quantized modules, where `weight` is a method."""
    linear = module_class("Linear")(weight=lambda: None, bias=None)
    with pytest.raises(ValueError, match=r"^module: parameters must be tensors with a shape, got a function"):
        dnn.from_torch(linear)
