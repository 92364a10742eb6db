"""Seconds, their spread, what they were measured on, and commands to measure."""

import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import TypedDict

from omni_encoder import OmniError


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = perf_counter()
    action()
    return perf_counter() - start


class Spread(TypedDict):
    """Least, middle and greatest of some values, and the values in the order they were measured."""

    min: float
    median: float
    max: float
    values: list[float]


def spread(values: Sequence[float]) -> Spread:
    """See `Spread`.

    Raises:
        ValueError: There are none.
    """
    if not values:
        raise ValueError("a spread needs at least one value")
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
        "values": list(values),
    }


def machine(*packages: str) -> dict[str, object]:
    """Python, platform, cores, load and the versions of `packages`, for a benchmark's record."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": {name: _version(name) for name in packages},
    }


def installed_command() -> list[str]:
    """What starts the `omnidex` that is installed beside this Python.

    Raises:
        OmniError: There is none.
    """
    script = Path(sys.executable).parent / "omnidex"
    if not script.is_file():
        raise OmniError(
            f"no omnidex is installed beside {sys.executable}",
            hint="install the project in this environment: pip install -e .",
        )
    return [sys.executable, str(script)]


def run_command(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, with its output dropped.

    Args:
        command: Which.
        environment: Its environment variables; None stands for this process's.

    Raises:
        OmniError: It fails; the hint is the last line that it wrote to stderr.
    """
    # What is started is a script of ours or what the caller named; no shell is involved.
    done = subprocess.run(command, capture_output=True, check=False, env=environment)  # noqa: S603
    if done.returncode:
        error = done.stderr.decode(errors="replace").strip().splitlines()
        raise OmniError(
            f"{' '.join(command)} failed with status {done.returncode}",
            hint=error[-1] if error else "",
        )


def cpu_seconds(command: Sequence[str], *, byte_code: Path) -> float:
    """CPU time of a whole process, and of those it waited for.

    Args:
        command: What runs.
        byte_code: A folder that keeps what Python compiles, so that the second time it isn't done
            again, as if it were installed, whatever this process's environment says.

    Raises:
        OmniError: It fails, as with `run_command`.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(byte_code)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_command(command, environment=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
