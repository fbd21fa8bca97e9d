"""Spread a long map over the processes that the environment names, here or on other machines.

CATWISE_BACKEND is loky (processes of this machine, the default), dask or ray, and CATWISE_WORKERS
their number. With DASK_SCHEDULER_ADDRESS or RAY_ADDRESS a cluster that runs already is used: start
it in this folder, on a disk that all its machines share, and with PYTHONPATH=. All of this is no
parameter of the pipeline, because it changes no result.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catwise.core.allocation import keep_freed_memory
from catwise.core.errors import InputError, optional_packages
from catwise.core.spread import Spread, Workers

if TYPE_CHECKING:
    import torch

__all__ = ["open_workers", "pool", "worker_count"]


@contextmanager
def pool(
    device: "torch.device | str", threads: int, workers: int | None = None
) -> Iterator[Spread]:
    """Open the workers and give ``spread(function, calls)``, which yields function(*call) in order.

    Each worker may use ``threads`` threads; a single worker of loky is this process itself, which
    also does a single call. The workers serve every map of the block, because a new one needs
    seconds to import torch, and they are gone when the block ends or fails. ``workers`` is their
    number, by default that of ``worker_count``.
    """
    backend, workers = _backend(), workers or worker_count(device, threads)
    if backend == "loky" and workers == 1:
        yield lambda function, calls: (function(*call) for call in calls)
        return
    with BACKENDS[backend](workers) as options:

        def spread(
            function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
        ) -> Generator[Any]:
            calls = iter(calls)
            beginning = list(islice(calls, 2))
            if backend == "loky" and len(beginning) < 2:
                yield from (function(*call) for call in beginning)
                return
            import joblib

            with joblib.parallel_config(backend, n_jobs=workers, **options):
                parallel = joblib.Parallel(return_as="generator")
            yield from parallel(joblib.delayed(function)(*call) for call in chain(beginning, calls))

        yield spread


@contextmanager
def open_workers(device: "torch.device | str" = "cpu", threads: int = 1) -> Iterator[Workers]:
    """Open the pool, and give what ``diagnose`` and ``influence_vectors`` take as ``workers``.

    There is a process for each GPU where ``device`` is CUDA, or auto and there is one, else as many
    as ``worker_count`` says. Functions and models of a script are sent to them whole, those of
    modules by name.

    Raises InputError without the package joblib, and for CUDA where there is none.
    """
    with optional_packages("open_workers", "cluster"):
        import joblib  # noqa: F401
    import torch

    from catwise.core.device import torch_device

    kind = str(device).partition(":")[0]
    device = torch_device(kind) if kind in ("auto", "cuda") else torch.device(device)
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    count = gpus or worker_count(device, threads)
    devices = tuple(f"cuda:{number}" for number in range(gpus)) or (str(device),) * count
    with pool(device, threads, count) as spread:
        yield Workers(spread, devices, threads)


def _backend() -> str:
    name = os.environ.get("CATWISE_BACKEND") or "loky"
    if name not in BACKENDS:
        raise InputError(f"CATWISE_BACKEND: expected {', '.join(BACKENDS)}; got {name!r}")
    package = {"dask": "distributed"}.get(name, name)
    if name != "loky" and find_spec(package) is None:
        raise InputError(
            f"CATWISE_BACKEND: expected requirements-cluster.txt to be installed; got no {package}"
        )
    return name


def worker_count(device: "torch.device | str", threads: int) -> int:
    """Return how many processes work on a map: those of CATWISE_WORKERS, or one for each core."""
    count = os.environ.get("CATWISE_WORKERS")
    if not count:
        import joblib

        on_gpu = str(device).startswith("cuda")
        return 1 if on_gpu else max(1, joblib.cpu_count() // threads)
    if not (count.isdecimal() and int(count)):
        raise InputError(f"CATWISE_WORKERS: expected a whole number of at least 1; got {count!r}")
    return int(count)


@contextmanager
def _loky(workers: int) -> Iterator[dict[str, Any]]:
    from joblib.externals.loky import get_reusable_executor

    try:
        yield {"initializer": _begin, "initargs": (os.getpid(),)}
    finally:
        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


def _begin(parent: int) -> None:
    """Let this process keep freed memory, and end within a second of its parent.

    Loky's workers outlive it by minutes.
    """
    keep_freed_memory()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _dask(workers: int) -> Iterator[dict[str, Any]]:
    from distributed import Client, LocalCluster

    if address := os.environ.get("DASK_SCHEDULER_ADDRESS"):
        with Client(address) as client:
            # This fails if the code is not on the path of the cluster; joblib would wait for ever.
            client.submit(_backend).result()
            yield {"client": client}
        return
    here = {
        "threads_per_worker": 1,
        "memory_limit": 0,
        "dashboard_address": None,
        "silence_logs": logging.CRITICAL,
    }
    with (
        LocalCluster(n_workers=workers, processes=True, **here) as cluster,
        Client(cluster) as client,
    ):
        yield {"client": client}


@contextmanager
def _ray(workers: int) -> Iterator[dict[str, Any]]:
    import joblib
    import ray
    from ray.util.joblib.ray_backend import RayBackend

    class Streaming(RayBackend):
        # Its base says no, but its pool hands over each result.
        supports_return_generator = True

    joblib.register_parallel_backend("ray", Streaming)
    here = {
        "num_cpus": workers,
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    code = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}}
    ours = signal.getsignal(signal.SIGTERM)
    ray.init(runtime_env=code, **({} if os.environ.get("RAY_ADDRESS") else here))
    signal.signal(signal.SIGTERM, ours)  # that of ray aborts, and what is open stays open
    try:
        yield {}
    finally:
        ray.shutdown()


BACKENDS = {"loky": _loky, "dask": _dask, "ray": _ray}
