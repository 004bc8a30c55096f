"""Rounds on tasks of Ray have the bits of the plain engine, also after processes were killed."""

import os
import sys

import numpy as np
import pytest
from round_engines import Deadly, check_bits, check_groups, few, fit

from dnn import DivergedError
from dnn.distributed.ray import Workers

pytestmark = pytest.mark.long  # Ray takes seconds to start


@pytest.fixture(scope="module")
def ray():
    """Return Ray, started on three processes of this machine."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # of `round_engines`
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")  # it would send figures to its makers
        ray = pytest.importorskip("ray", reason="needs Ray: pip install 'dnn-core[ray]'")
        ray.init(
            "local", num_cpus=3, include_dashboard=False, log_to_driver=False, configure_logging=False,
            object_store_memory=100_000_000,
        )  # fmt: skip
        yield ray
        ray.shutdown()


def test_same_bits(ray):
    workers = Workers(timeout=30)
    check_bits(workers, "float32")
    check_bits(workers, "float64")
    check_groups(workers)


def test_two_processors_per_shard(ray):
    """One shard at a time, on three processors."""
    assert fit(few(), Workers(timeout=30, num_cpus=2))[0].params.tobytes() == fit(few())[0].params.tobytes()


def test_references_are_shards(ray):
    @ray.remote
    def rows(k):
        return few()[k]

    net, _ = fit([rows.remote(k) for k in range(3)], Workers(timeout=30))
    assert net.params.tobytes() == fit(few())[0].params.tobytes()


def test_killed_process(ray, tmp_path):
    """Ray computes again what was lost: to the same bits, and not for ever."""
    (tmp_path / "often").mkdir()
    (tmp_path / "once").mkdir()
    plain, _ = fit(few(Deadly(tmp_path, 0)))
    net, _ = fit(few(Deadly(tmp_path / "once", 1)), Workers(timeout=30))
    assert len(list((tmp_path / "once").iterdir())) == 1
    assert net.params.tobytes() == plain.params.tobytes()
    with pytest.raises(RuntimeError, match="Ray could not compute a round: The worker died"):
        fit(few(Deadly(tmp_path / "often", 99)), Workers(timeout=30, max_retries=1))
    assert len(list((tmp_path / "often").iterdir())) == 2


def test_errors_name_the_shard(ray):
    workers = Workers(timeout=30)
    with pytest.raises(ValueError, match=r"^shard 3: X must be finite, got nan in row 0, column 1"):
        fit(few((np.array([[0, np.nan, 0]]), [1])), workers)
    for n in (3, 40):  # one sum, or sums of sums
        with pytest.raises(DivergedError, match=rf"^shard {n}: training diverged in epoch 0") as caught:
            fit(few((np.ones((4, 3)), np.full(4, 1e30)), n=n), workers)
        assert caught.value.epoch == 0


def test_waits_are_bounded(ray):
    with pytest.raises(TimeoutError, match=r"a round took longer than timeout=0\.5 s"):
        fit(few(), Workers(timeout=0.5, resources={"absent": 1}))
    with pytest.raises(ValueError, match="timeout must be finite and above 0"):
        Workers(timeout=0)
    assert fit(few(), Workers(timeout=30))[1].stopped_by == "epochs"
