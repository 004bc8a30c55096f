"""Teams of threads: the same bits for any number, no thread after a call, fork, Ctrl-C, environment."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from networks import small_examples, small_network

import dnn
from dnn import Adam, Network, _core
from dnn import _threads as threads

# Shapes for every step kind of the core: tiny, narrow after wide, small (one barrier per step) and large. The
# batch sizes do not divide the numbers of rows.
WORK = {
    "tiny": ([2, 4, 1], 400, None),
    "narrow": ([1200, 20, 7, 5, 1], 209, None),
    "small": ([8, 64, 64, 1], 700, 64),
    "digits": ([64, 100, 10], 700, 200),
    "middle": ([300, 128, 10], 500, 128),
    "wide": ([100, 300, 200, 10], 300, 128),
}


def regression_examples(sizes, n, dtype="float32"):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, sizes[0])).astype(dtype)
    return X, rng.integers(0, 2 if sizes[-1] == 1 else sizes[-1], n)


def trained(sizes, n, batch, n_threads, *, dtype="float32", dropout=0.0, epochs=3, **more):
    X, y = regression_examples(sizes, n, dtype)
    output = "sigmoid" if sizes[-1] == 1 else "softmax"
    net = Network(sizes, output=output, dropout=dropout, dtype=dtype, random_state=1)
    net.fit(X, y, epochs=epochs, batch_size=batch, n_threads=n_threads, random_state=2, **more)
    return net


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dropout": 0.2, "clip_norm": 0.5, "alpha": 0.1, "l1": 0.01},
        {"optimizer": dnn.RMSprop(1e-3), "ema": 0.9, "dtype": "float64"},
    ],
    ids=["plain", "everything", "float64"],
)
def test_the_same_bits_on_any_number_of_threads(work, more, isa):
    nets = [trained(*WORK[work], n, **more) for n in (1, 2, 3, 4, 8)]
    assert all(net.params.tobytes() == nets[0].params.tobytes() for net in nets)


def test_the_same_bits_while_another_process_is_busy():
    alone = trained(*WORK["small"], 1, epochs=40).params.tobytes()
    spin = "import time\nend = time.time() + 20\nwhile time.time() < end: pass"
    neighbours = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2)]
    try:
        assert all(trained(*WORK["small"], 2, epochs=40).params.tobytes() == alone for _ in range(3))
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


@pytest.mark.parametrize("sizes", [[4, 64, 64, 2], [300, 200, 10], [20, 1]])
def test_predictions_on_any_number_of_threads(sizes):
    net, (X, _) = Network(sizes, random_state=0), regression_examples(sizes, 5000)
    out = [np.empty((len(X), sizes[-1]), "float32") for _ in range(3)]
    for n in (1, 2, 3):
        _core.predict(net.plan, net.params, X, out[n - 1], False, n)
    assert out[0].tobytes() == out[1].tobytes() == out[2].tobytes()


def test_the_gradient_on_any_number_of_threads():
    sizes = [30, 40, 3]
    net, (X, y) = Network(sizes, output="softmax", random_state=0), regression_examples(sizes, 999)
    found = []
    for n in (1, 2, 3):
        _core.assume_threads(n)
        try:
            cost, grad = net.loss_and_gradient(X, y, alpha=0.1)
            out, cache = net.forward(X)
            vjp, dX = net.backward(cache, np.cos(out))
            summed = vjp.copy()
            net.backward(cache, np.sin(out), out=summed, add=True)
        finally:
            _core.assume_threads(int(os.environ.get("DNN_TEST_THREADS", "0")))
        found.append((cost, grad.tobytes(), vjp.tobytes(), dX.tobytes(), summed.tobytes()))
    assert found[0] == found[1] == found[2]


def n_running():
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc to count threads")
def test_no_thread_runs_after_a_call():
    trained(*WORK["small"], 2)  # BLAS may start its own threads at its first call
    before = n_running()
    seen = []
    trained(*WORK["small"], 3, callbacks=[lambda event: seen.append(n_running())])
    trained(*WORK["middle"], 3, callbacks=[lambda event: seen.append(n_running())])
    with pytest.raises(RuntimeError, match="enough"):
        trained(*WORK["middle"], 3, callbacks=[stop_at_once])
    assert max(seen) > before == n_running()


def stop_at_once(event):
    raise RuntimeError("enough")


def fit_in_child(queue):
    queue.put(trained(*WORK["digits"], 2).params.tobytes())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_child_starts_its_own_team():
    expected = trained(*WORK["digits"], 2).params.tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = []

    def fork(event):
        """Fork during a fit, while the threads of its team are alive."""
        child = context.Process(target=fit_in_child, args=(queue,))
        child.start()
        children.append(child)

    trained(*WORK["digits"], 2, epochs=2, callbacks=[fork])
    assert [queue.get(timeout=60) for _ in children] == [expected] * 2
    for child in children:
        child.join(60)
        assert child.exitcode == 0


def test_a_fit_continues_in_a_forked_child():
    """The child returns from the callback to the fit, but only the parent has the threads of the team."""
    code = """if True:
        import os, numpy as np, dnn
        X, y = np.random.default_rng(0).standard_normal((500, 64)), np.arange(500) % 10
        def train(callbacks):
            net = dnn.Network([64, 200, 200, 10], output="softmax", random_state=0)
            net.fit(X, y, epochs=3, n_threads=2, callbacks=callbacks, random_state=0)
            return net.params.tobytes()
        expected, children = train([]), []
        def fork(event):
            if not children:
                children.append(os.fork())
        same = train([fork]) == expected
        if children[0] == 0:
            os._exit(0 if same else 1)
        print(same, os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
    """
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["True", "0"]


def test_many_fits_at_once():
    """Several teams have more members than there are processors."""
    expected = trained(*WORK["middle"], 1).params.tobytes()
    found = []
    at_once = [
        threading.Thread(target=lambda: found.append(trained(*WORK["middle"], 4).params.tobytes()))
        for _ in range(4)
    ]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join(60)
    assert found == [expected] * 4


@pytest.mark.parametrize(
    "n_threads, error", [(0, ValueError), (65, ValueError), (1.5, TypeError), ("all", TypeError)]
)
def test_n_threads_is_validated(n_threads, error):
    with pytest.raises(error, match="n_threads must be"):
        trained(*WORK["tiny"], n_threads)


def test_auto_respects_environment_variables(monkeypatch):
    monkeypatch.delenv("DNN_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    most = threads.available()
    assert 1 <= most <= len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else most >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert threads.available() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    monkeypatch.setenv("DNN_NUM_THREADS", "0")
    assert threads.available() == 1  # at least one


@pytest.mark.parametrize(
    "files, processors",
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, threads.MOST),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, threads.MOST),
        ({}, threads.MOST),
    ],
)
def test_the_cpu_quota_of_a_container(files, processors, monkeypatch):
    def read(path):
        try:
            return files[path.removeprefix("/sys/fs/cgroup/")]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(threads, "_found", None)
    monkeypatch.setattr(threads, "_read", read)
    assert threads._quota() == processors


def test_ctrl_c_ends_a_long_fit_on_a_team():
    code = """if True:
        import _thread, signal, threading, time, numpy as np, dnn
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
        X, y = np.zeros((2048, 1000), "float32"), np.zeros(2048)
        net = dnn.Network([1000, 1500, 1500, 1])
        def interrupt():
            global at
            at = time.perf_counter()
            _thread.interrupt_main()
        threading.Timer(0.5, interrupt).start()
        try:
            net.fit(X, y, epochs=10**6, batch_size=2048, n_threads=2)
        except KeyboardInterrupt:
            print(time.perf_counter() - at)
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert float(ran.stdout) < 5  # 0.2 if no other process runs


def test_one_row_alone_equals_the_same_row_of_a_batch(isa):
    """The bits are equal with dnn's kernels; the baseline uses BLAS, whose results are only close."""
    if isa == "baseline":
        X, _ = regression_examples([300], 100)
        net = Network([300, 20, 4], random_state=0)
        np.testing.assert_allclose(net(X[0]), net(X)[0], rtol=0, atol=1e-5)
        return
    for sizes in WORK.values():
        for dtype in ("float32", "float64"):
            net = Network(sizes[0], output="sigmoid", dtype=dtype, random_state=0)
            X, _ = regression_examples(sizes[0], 100, dtype)
            whole = net(X)
            assert all(net(X[i]).tobytes() == whole[i].tobytes() for i in range(0, 100, 9))
            assert net(X[:17]).tobytes() == whole[:17].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [1, 2, 3])
def test_sums_of_any_length_for_few_outputs(units, dtype, isa):
    """Sums use several vectors at once; the test has all lengths of remainders, and one to four rows."""
    rng = np.random.default_rng(units)
    for n_inputs in (*range(1, 70), 127, 1000, 4099):
        net = Network([n_inputs, units], dtype=dtype, random_state=0)
        X = rng.standard_normal((9, n_inputs)).astype(dtype)
        whole = net(X)
        exact = X.astype(np.longdouble) @ net.weights[0] + net.biases[0]
        scale = np.abs(X.astype(float)) @ np.abs(net.weights[0].astype(float)) * np.finfo(dtype).eps
        assert (np.abs(whole - exact) <= 8 * scale).all(), n_inputs
        if isa != "baseline":
            assert all(net(X[:k]).tobytes() == whole[:k].tobytes() for k in range(1, 9)), n_inputs


def test_a_waiting_team_continues_with_one_member(monkeypatch):
    """A team that has to wait continues with one member, and later with all, and gives the same bits."""
    net, other = (Network([8, 64, 64, 1], random_state=0) for _ in range(2))
    X, y = regression_examples([8, 1], 640)
    slow = [threading.Thread(target=spin, args=(time.perf_counter() + 3,)) for _ in range(2)]
    for thread in slow:
        thread.start()
    net.fit(X, y, optimizer=Adam(1e-3), epochs=200, batch_size=64, n_threads=2, random_state=0)
    for thread in slow:
        thread.join()
    other.fit(X, y, optimizer=Adam(1e-3), epochs=200, batch_size=64, n_threads=1, random_state=0)
    assert net.params.tobytes() == other.params.tobytes()


def spin(until):
    while time.perf_counter() < until:
        pass


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="reads /proc")
def test_members_may_run_on_every_core_of_the_caller():
    """Each member starts on its own core and is not pinned to it."""
    sizes, n, batch = WORK["wide"]
    X, y = regression_examples(sizes, n)
    seen = []

    def look(event):
        for task in os.listdir("/proc/self/task"):
            seen.append(os.sched_getaffinity(int(task)))

    before = os.sched_getaffinity(0)
    Network(sizes, output="softmax").fit(X, y, epochs=2, batch_size=batch, n_threads=3, callbacks=[look])
    assert len(seen) >= 6  # three threads, twice
    assert all(cores == before for cores in seen), (before, seen)
    assert os.sched_getaffinity(0) == before


SMALL_STACK = """
import threading
import numpy as np
import dnn
X = np.random.default_rng(0).normal(size=(600, 784)).astype("f4")
done = []
def work():
    for sizes in ([784, 20, 10], [784, 600, 10]):
        dnn.Network(sizes, output="softmax", random_state=0).fit(
            X, np.arange(600) % 10, epochs=1, batch_size=600, n_threads=1
        )
    done.append(True)
threading.stack_size(256 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert done
"""


def test_a_thread_with_a_small_stack(isa):
    """Operands are packed into memory of the core, not on the stack."""
    ran = subprocess.run(
        [sys.executable, "-c", SMALL_STACK], env=dict(os.environ, DNN_ISA=isa), capture_output=True, text=True
    )
    assert ran.returncode == 0, (ran.returncode, ran.stderr)


def test_two_networks_train_at_once():
    X, y = small_examples(5000, "float32")

    def work(net):
        net.fit(X, y, epochs=3, batch_size=16)

    alone = small_network("float32", dropout=0.1)
    work(alone)
    nets = [small_network("float32", dropout=0.1) for _ in range(2)]
    threads = [threading.Thread(target=work, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {net.params.tobytes() for net in nets} == {alone.params.tobytes()}
