"""Dask clusters for tests: of processes, whose workers may be killed, and of threads of this process."""

from contextlib import contextmanager

from distributed import LocalCluster
from distributed.core import Status


@contextmanager
def local_cluster(**options):
    """Return a LocalCluster; close it at the end, also where Dask stumbles over a worker that was killed."""
    cluster = LocalCluster(threads_per_worker=1, dashboard_address=":0", **options)
    try:
        yield cluster
    finally:
        try:
            cluster.close()
        except KeyError:
            # Scheduler and workers are closed by then; the cluster was told of the end of a worker whose
            # beginning it had not noticed. A second close would wait for the first one forever.
            cluster.status = Status.closed


def cluster_of(n_workers):
    """Return a cluster whose workers are threads of this process."""
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, processes=False, dashboard_address=":0", memory_limit=0
    )
