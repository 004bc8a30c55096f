"""A file is written as a whole or not at all, and a refused call writes nothing."""

import errno
import io
import os
import stat
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from saved_models import CLASS, NUMBER, X, fitted

import dnn
from dnn import SGD, Adam, MLPClassifier, MLPRegressor, Network, StepDecay
from dnn.cli.prediction import Settings, predict
from dnn.files import writing

OLD = Network([3, 1], random_state=0)
NEW = Network([3, 200, 1], random_state=1)

# Forks processes that save two networks in turn, kills each at a random moment, and loads the file.
KILL = """
import os, random, signal, sys, time
import dnn
path, n = sys.argv[1], int(sys.argv[2])
draws = random.Random(0)
nets = [dnn.Network([500, 200, 1], init=dnn.Full(value)) for value in (1.0, 2.0)]
nets[0].save(path)
start = time.perf_counter()
for i in range(5):
    nets[i % 2].save(path)
one = (time.perf_counter() - start) / 5
seen = set()
flush = os.fsync
os.fsync = lambda file: (time.sleep(one / 2), flush(file))  # so that many are killed before the end
for _ in range(n):
    child = os.fork()
    if not child:
        while True:
            for net in nets:
                net.save(path)
    time.sleep(draws.uniform(0, 9 * one))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    net = dnn.load(path)
    seen.add(net.params[0])
    assert (net.weights[0] == net.params[0]).all() and net.params[0] in (1, 2)
left = [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".tmp")]
print(len(left), len(seen))
"""


def check_kills(folder, n):
    # Python 3.12 and later warn of a fork where BLAS has started its threads
    command = [sys.executable, "-W", "ignore", "-c", KILL, str(folder / "model"), str(n)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert not ran.stderr
    n_left, n_seen = map(int, ran.stdout.split())
    assert 0 < n_left <= n  # some were killed in the middle of a save
    assert n_seen == 2
    assert {path.name[:5] for path in folder.iterdir()} == {"model", ".dnn-"}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork and kill processes")


@needs_fork
def test_killed_processes_leave_a_whole_file(tmp_path):
    check_kills(tmp_path, 20)


@needs_fork
@pytest.mark.long
def test_many_killed_processes_leave_a_whole_file(tmp_path):
    check_kills(tmp_path, 100)


def check_nothing_is_written(path, call, *expected):
    """Hold that a call raises, and that the old file is the only one."""
    OLD.save(path)
    before = path.read_bytes(), os.stat(path)
    with pytest.raises(expected[0], match=expected[1]) as refused:
        call()
    assert path.read_bytes() == before[0] and os.stat(path).st_ino == before[1].st_ino
    assert os.listdir(path.parent) == [path.name]
    return refused.value


FULL = """
import resource, sys
import dnn
net = dnn.Network([3, 20000, 1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try: net.save(sys.argv[1])
except OSError as error: print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limit of the size of files")
def test_a_disk_that_is_full(tmp_path):
    """A limit of the size of files ends a write in the middle, as a full disk does."""
    OLD.save(tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "model")], capture_output=True, text=True
    )
    text = "File too large: nothing was saved, and a file that was there is as it was"
    assert (
        ran.stdout.strip() == f"[Errno {errno.EFBIG}] {text}: {str(tmp_path / 'model')!r}" and not ran.stderr
    )
    assert (tmp_path / "model").read_bytes() == before and os.listdir(tmp_path) == ["model"]


def failing(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Failing(io.FileIO):
    """A file that cannot be written."""

    write = failing


class Short(io.FileIO):
    """A file of a system that writes less than it is asked to."""

    def write(self, data):
        return super().write(data[:100])


def opening(kind):
    """A function like os.fdopen, whose files are of a kind."""
    return lambda file, mode: io.BufferedWriter(kind(file, mode))


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_errors_of_the_system_leave_the_old_file(name, tmp_path, monkeypatch):
    def save():
        with monkeypatch.context() as patch:
            if name == "write":
                patch.setattr(writing.os, "fdopen", opening(Failing))
            else:
                patch.setattr(writing.os, name, failing)
            NEW.save(tmp_path / "model")

    error = check_nothing_is_written(
        tmp_path / "model", save, OSError, "nothing was saved, and a file that was"
    )
    assert error.errno == errno.ENOSPC and error.filename == str(tmp_path / "model")


def test_an_interrupt_leaves_the_old_file(tmp_path, monkeypatch):
    def interrupted(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "fsync", lambda file: None)
    OLD.save(tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    monkeypatch.setattr(writing.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        NEW.save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == before and os.listdir(tmp_path) == ["model"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(writing.os, "fdopen", opening(Short))
    NEW.save(tmp_path / "model")
    assert dnn.load(tmp_path / "model").params.tobytes() == NEW.params.tobytes()


def test_what_is_written_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    """The file, then its name, then the folder: a loss of power at any moment leaves a whole file."""
    done = []
    fsync, replace = os.fsync, os.replace

    def noted(file):
        done.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        fsync(file)

    monkeypatch.setattr(writing.os, "fsync", noted)
    monkeypatch.setattr(writing.os, "replace", lambda *names: (done.append("name"), replace(*names)))
    NEW.save(tmp_path / "model")
    assert done == (["file", "name", "folder"] if os.name == "posix" else ["file", "name"])


def writing_predictions(net, path):
    net.save(path.parent / "net")
    np.save(path.parent / "rows.npy", X)
    return partial(predict, path.parent / "net", path.parent / "rows.npy", path, Settings(progress=False))


def writing_onnx(net, path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    return partial(net.to_onnx, path)


# Each makes a function that writes a file of this name
WRITERS = {
    "model": lambda net, path: partial(net.save, path),
    "predictions.npy": writing_predictions,
    "net.onnx": writing_onnx,
    "net.c": lambda net, path: partial(net.to_c, path, verify=False),
    "net.h": lambda net, path: partial(net.to_c, path.with_suffix(".c"), verify=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_everything_is_written_as_a_whole(name, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](OLD, path)()
    path.chmod(0o640)
    again = WRITERS[name](NEW, path)
    before, files = path.read_bytes(), sorted(os.listdir(tmp_path))
    for step in ("open", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(writing.os, step, failing)
            with pytest.raises(OSError, match="nothing was saved") as refused:
                again()
        assert refused.value.errno == errno.ENOSPC and os.path.dirname(refused.value.filename) == str(
            tmp_path
        )
        assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == files
    again()
    assert path.read_bytes() != before and sorted(os.listdir(tmp_path)) == files
    assert os.name != "posix" or stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_several_files_are_replaced_after_all_are_on_the_disk(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(writing.os, "fsync", lambda file: (done.append("on the disk"), fsync(file)))
    monkeypatch.setattr(writing.os, "replace", lambda *names: (done.append("replaced"), replace(*names)))
    with writing.replacing(tmp_path / "a", tmp_path / "b") as files:
        for file in files:
            file.write(b"x")
        assert not any((tmp_path / name).exists() for name in "ab")
    assert done[:4] == ["on the disk"] * 2 + ["replaced"] * 2
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_an_error_of_another_file_is_not_changed(tmp_path):
    """Such as one of the table that is read while its predictions are written."""
    with pytest.raises(FileNotFoundError) as refused, writing.replacing(tmp_path / "a"):
        (tmp_path / "missing").read_bytes()
    assert refused.value.filename == str(tmp_path / "missing") and "saved" not in str(refused.value)
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write in any folder")
def test_a_folder_that_is_read_only(tmp_path):
    OLD.save(tmp_path / "model")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="nothing was saved"):
            NEW.save(tmp_path / "model")
        assert dnn.load(tmp_path / "model").n_params == OLD.n_params
    finally:
        tmp_path.chmod(0o700)


def test_a_file_that_is_read_only(tmp_path, monkeypatch):
    """Replacing it needs the permission of its folder only, and so must be refused by hand."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:  # root may write all files
        monkeypatch.setattr(writing.os, "access", lambda path, mode: False)

    def save():
        (tmp_path / "model").chmod(0o400)
        NEW.save(tmp_path / "model")

    check_nothing_is_written(tmp_path / "model", save, PermissionError, "The file that is there is read-only")


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="nothing was saved"):
        OLD.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing was saved"):
        OLD.save(tmp_path / "missing" / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PermissionError, match="or no regular file"):
        OLD.save(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_and_links_are_kept(tmp_path):
    umask = os.umask(0o027)
    try:
        OLD.save(tmp_path / "model")
        assert stat.S_IMODE(os.stat(tmp_path / "model").st_mode) == 0o640
        for mode in (0o600, 0o664, 0o755):
            (tmp_path / "model").chmod(mode)
            NEW.save(tmp_path / "model")
            assert stat.S_IMODE(os.stat(tmp_path / "model").st_mode) == mode
    finally:
        os.umask(umask)
    (tmp_path / "link").symlink_to("model")
    OLD.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert dnn.load(tmp_path / "model").n_params == OLD.n_params


def test_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("a", tmp_path / "é \N{SNAKE} 'x'", os.path.join(".", "b.safetensors"), "n" * 250):
        OLD.save(path)
        assert dnn.load(path).params.tobytes() == OLD.params.tobytes()
    for path in (None, 3, b"model"):
        with pytest.raises(TypeError, match="path must be a str or a path such as "):
            OLD.save(path)


class Tagged(Network):
    """A subclass, which no file can hold."""


class Halving(StepDecay):
    """A schedule of a user."""


class Ones(dnn.Initializer):
    """An initializer of a user."""


def tagged_network():
    net = Network([3, 1])
    net.tag = "x"
    return net


def tagged_estimator(name, value):
    est = fitted(MLPClassifier(2, max_iter=2), y=CLASS)
    setattr(est, name, value)
    return est


def endless():
    items = []
    items.append(items)
    return items


WITH_DATES = np.array(["2020-01-01", "2021-01-01"], "M8[D]")
REFUSED = {
    "a subclass": (lambda: Tagged([3, 1]), "save must be called on a Network, .* got .*Tagged: pickle it"),
    "an attribute": (tagged_network, "tag cannot be saved: it is an attribute of your own, got 'x'"),
    "its attribute": (
        lambda: tagged_estimator("note", 1),
        "note cannot be saved: dnn knows no such attribute",
    ),
    "other classes": (
        lambda: tagged_estimator("classes_", np.arange(3) + 5),
        "classes_ cannot be saved: they must",
    ),
    "a callback": (
        lambda: MLPRegressor(callbacks=(print,)),
        r"callbacks\[0\] cannot be saved: .* got <built-in",
    ),
    "a scorer": (
        lambda: MLPRegressor(scoring=lambda e, X, y: 1.0),
        "scoring cannot be saved: it must be of numbers",
    ),
    "a schedule": (lambda: MLPRegressor(schedule=Halving(0.1)), "schedule cannot be saved: .*Halving"),
    "a rate": (lambda: MLPRegressor(solver=SGD(Halving(0.1))), "solver.rate cannot be saved: .*Halving"),
    "an initializer": (lambda: MLPRegressor(init=["he", Ones()]), r"init\[1\] cannot be saved: .*Ones"),
    "a class": (lambda: MLPRegressor(solver=Adam), "solver cannot be saved: .* got <class"),
    "a key": (lambda: MLPClassifier(class_weight={(): 1, print: 2}), "a key of class_weight cannot be saved"),
    "an item": (lambda: MLPClassifier(class_weight={"a": print}), r"class_weight\['a'\] cannot be saved"),
    "complex": (lambda: MLPRegressor(alpha=1j), "alpha cannot be saved"),
    "dates": (
        lambda: MLPRegressor(init=[WITH_DATES]),
        r"init\[0\] cannot be saved: its dtype must be of numbers",
    ),
    "objects": (lambda: MLPRegressor(init=np.array([print])), r"init\[0\] cannot be saved"),
    "an endless list": (lambda: MLPRegressor(init=endless()), "cannot be saved: it is nested too deeply"),
    "a huge integer": (lambda: MLPRegressor(alpha=10**10_000), "alpha cannot be saved"),
    "an iterator": (lambda: MLPRegressor(hidden_layer_sizes=iter([3])), "hidden_layer_sizes cannot be saved"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_cannot_hold_is_named(name, tmp_path):
    make, expected = REFUSED[name]
    model = make()
    error = check_nothing_is_written(
        tmp_path / "model", lambda: type(model).save(model, tmp_path / "model"), TypeError, expected
    )
    assert len(str(error)) < 700


def test_a_model_with_too_many_layers(tmp_path):
    net = Network([1] * 8000)
    check_nothing_is_written(
        tmp_path / "model",
        lambda: net.save(tmp_path / "model"),
        ValueError,
        "the model must have fewer layers",
    )
    deep = Network([1] * 3300, activation="tanh", random_state=0)
    deep.save(tmp_path / "model")
    assert dnn.load(tmp_path / "model").params.tobytes() == deep.params.tobytes()


def test_saving_changes_nothing(tmp_path):
    from saved_models import MODELS, facts

    for make in MODELS.values():
        model = make()
        before = facts(model.__getstate__())
        model.save(tmp_path / "model")
        assert facts(model.__getstate__()) == before


def test_a_program_without_the_metadata_of_packages(tmp_path, monkeypatch):
    """As one that was bundled to a single file."""
    from importlib import metadata

    from dnn.files import models

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    models.version_here.cache_clear()
    monkeypatch.setattr(metadata, "version", missing)
    try:
        OLD.save(tmp_path / "model")
        assert dnn.load(tmp_path / "model").params.tobytes() == OLD.params.tobytes()
        assert models.version_here() == "unknown"
    finally:
        models.version_here.cache_clear()


def test_saving_in_a_callback(tmp_path):
    """Each epoch a checkpoint, which is the network as it was then."""
    seen = []

    def save(event):
        event.net.save(tmp_path / f"{event.epoch}")
        seen.append(event.net.params.copy())

    Network([3, 4, 1], random_state=0).fit(X, NUMBER, epochs=3, callbacks=[save])
    for epoch, params in enumerate(seen):
        assert dnn.load(tmp_path / f"{epoch}").params.tobytes() == params.tobytes()
