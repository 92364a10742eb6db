"""Seconds, their spread, and what they were measured on."""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = perf_counter()
    action()
    return perf_counter() - start


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, middle and greatest of some values.

    Raises:
        ValueError: There are none.
    """
    if not values:
        raise ValueError("a spread needs at least one value")
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def machine(*packages: str) -> dict[str, object]:
    """Python, platform, cores, load and the versions of `packages`, for a benchmark's record."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
