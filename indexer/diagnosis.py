"""Which FAISS is loaded, and whether several are installed that overwrite each other."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from omni_encoder.diagnosis import Finding, State

DISTRIBUTIONS = (
    *("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs"),
    *("faiss-gpu-cu12-cuvs", "faiss-gpu-cu13-cuvs", "faiss-cuda", "faiss-cpu-noavx2"),
)
"""All of these install the same module `faiss`, and pip doesn't know that they clash."""


def installed_builds() -> dict[str, str]:
    """The distributions that install `faiss`, with their versions."""
    found: dict[str, str] = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def diagnose_faiss(builds: Mapping[str, str]) -> Finding:
    """What there is to say of the builds that are installed, and of the one that is loaded."""
    named = ", ".join(f"{name} {release}" for name, release in builds.items()) or "none from PyPI"
    if len(builds) > 1:
        return Finding(
            "faiss",
            State.WARNING,
            f"{named} overwrite each other; pip uninstall all of them and install one",
        )
    try:
        import faiss

        loaded, options = faiss.__version__, faiss.get_compile_options().strip()
        devices = faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0
    except (ImportError, AttributeError) as error:
        return Finding("faiss", State.FAILURE, f"{named}, but it can't be loaded: {error}")
    gpus = f", {devices} GPUs" if devices else ""
    return Finding("faiss", State.OK, f"{named}; {loaded} is loaded ({options}{gpus})")
