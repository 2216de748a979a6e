"""The peers, each as the cells that set it up, do one call, move 100 MB, and take it down again.

Every peer runs inside the same kind of kernel as our cells, with its own defaults where those work without a
cluster: one worker process on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """Code for one way of running work elsewhere.

    Args:
        setup: Runs once in a fresh kernel.
        trivial: One small variable in, one out.
        upload: The array `big` in, one element of each page read there.
        download: A 100 MB array back into the notebook.
        teardown: Runs once at the end.
    """

    setup: str
    trivial: str
    upload: str | None = None
    download: str | None = None
    teardown: str = ""


LOCAL = Peer(
    setup="touch = lambda a: int(a[::4096].sum())",
    trivial="y = x + 1",
    upload="touch(big.copy())",
    download="z = np.ones(100 * 1024 * 1024, dtype=np.uint8)",
)

WARMCELL = Peer(
    setup="%load_ext warmcell",
    trivial="%%gpu cpu\ny = x + 1",
    upload="%%gpu cpu\ns = int(big[::4096].sum())",
    download="%%gpu cpu -o z\nimport numpy\nz = numpy.ones(100 * 1024 * 1024, dtype=numpy.uint8)",
    teardown="%gpu stop",
)

RAY = Peer(
    setup="""
import logging, ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
@ray.remote
class Actor:
    def add(self, x): return x + 1
    def touch(self, a): return int(a[::4096].sum())
    def make(self):
        import numpy
        return numpy.ones(100 * 1024 * 1024, dtype=numpy.uint8)
actor = Actor.remote()
assert ray.get(actor.add.remote(1)) == 2
""",
    trivial="y = ray.get(actor.add.remote(x))",
    upload="ray.get(actor.touch.remote(big))",
    download="z = ray.get(actor.make.remote())",
    teardown="ray.shutdown()",
)

DASK = Peer(
    setup="""
from distributed import Client
client = Client(n_workers=1, threads_per_worker=1, dashboard_address=None)
def add(x): return x + 1
def touch(a): return int(a[::4096].sum())
def make():
    import numpy
    return numpy.ones(100 * 1024 * 1024, dtype=numpy.uint8)
""",
    trivial="y = client.submit(add, x, pure=False).result()",
    upload="client.submit(touch, client.scatter(big, hash=False), pure=False).result()",
    download="z = client.submit(make, pure=False).result()",
    teardown="client.close()",
)

IPYPARALLEL = Peer(
    setup="""
import ipyparallel
cluster = ipyparallel.Cluster(n=1, log_level=40)
view = cluster.start_and_connect_sync(activate=False)[0]
view.block = True
def add(x): return x + 1
def touch(a): return int(a[::4096].sum())
def make():
    import numpy
    return numpy.ones(100 * 1024 * 1024, dtype=numpy.uint8)
""",
    trivial="y = view.apply_sync(add, x)",
    upload="view.apply_sync(touch, big)",
    download="z = view.apply_sync(make)",
    teardown="cluster.stop_cluster_sync()",
)

PEERS: Mapping[str, Peer] = {
    "local cell": LOCAL,
    "warmcell": WARMCELL,
    "ray": RAY,
    "dask": DASK,
    "ipyparallel": IPYPARALLEL,
}
