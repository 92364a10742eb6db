"""Whether everything that encoding needs is there and works: what `omnidex doctor` asks."""

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import cast

from .errors import OmniError
from .registry import load_encoder
from .shipped import shipped_checkpoint
from .types import MediaItem, Modality

PACKAGES = (
    *("omnidex", "torch", "torchvision", "open_clip_torch", "numpy", "pillow", "pillow-heif"),
    *("av", "resvg-py", "lancedb", "pyarrow", "safetensors", "tokenizers", "typer", "rich"),
)
_IMAGE_FEATURES = ("jpg", "webp", "avif")
_CODECS = ("h264", "hevc", "vp9", "av1", "aac", "mp3", "flac", "opus", "vorbis")
_PRODUCT_SIDE = 512


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: How it is; a failure means that something asked for can't work.
        detail: What was seen, and what to do about it.
    """

    name: str
    state: State
    detail: str


def diagnose() -> list[Finding]:
    """Look at versions, torch, torchvision, the decoders and the shipped checkpoint. No network."""
    findings: list[Finding] = []
    for name, look in (
        ("versions", _versions),
        ("torch threads", _threads),
        ("torchvision", _torchvision),
        ("image decoders", _image_decoders),
        ("audio and video decoders", _codecs),
        ("shipped checkpoint", _checkpoint),
    ):
        findings.append(_guarded(name, look))
    return findings


def package_versions() -> dict[str, str | None]:
    """The installed version of every package that matters, None where it is missing."""
    return {name: _version(name) for name in PACKAGES}


def _guarded(name: str, look: Callable[[], tuple[State, str]]) -> Finding:
    try:
        return Finding(name, *look())
    except OmniError as error:
        return Finding(name, State.FAILURE, f"{error.message} {error.hint}".strip())
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return Finding(name, State.FAILURE, f"{type(error).__name__}: {error}")


def _versions() -> tuple[State, str]:
    found = package_versions()
    missing = [name for name, number in found.items() if number is None]
    if missing:
        return State.FAILURE, f"not installed: {', '.join(missing)}; install omnidex again"
    listed = ", ".join(f"{name} {number}" for name, number in found.items())
    return State.OK, f"Python {platform.python_version()}, {listed}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _threads() -> tuple[State, str]:
    """Torch's threads, and whether they gain anything: on a busy machine more can be slower."""
    import torch

    threads = torch.get_num_threads()
    try:
        many = _product_ms()
        torch.set_num_threads(1)
        one = _product_ms()
    finally:
        torch.set_num_threads(threads)
    detail = f"{threads}; a {_PRODUCT_SIDE} x {_PRODUCT_SIDE} product takes {many:.1f} ms"
    if threads == 1:
        return State.OK, detail
    detail += f", with one thread {one:.1f} ms"
    if many > 1.5 * one:
        return State.WARNING, f"{detail}: fewer are faster here now; try --threads 1"
    return State.OK, detail


def _product_ms() -> float:
    """The fastest of a few products, in milliseconds."""
    import torch

    matrix = torch.ones(_PRODUCT_SIDE, _PRODUCT_SIDE)
    times: list[float] = []
    for _ in range(6):
        start = perf_counter()
        _ = matrix @ matrix
        times.append(perf_counter() - start)
    return 1000 * min(times[1:])


def _torchvision() -> tuple[State, str]:
    from .torchvision_guard import GuardState, ensure_torchvision

    if ensure_torchvision() is GuardState.PATCHED:
        return State.OK, "imports with two operators defined for it (CUDA build beside a CPU torch)"
    return State.OK, "fits torch"


def _image_decoders() -> tuple[State, str]:
    import pillow_heif
    from PIL import features

    import_module("resvg_py")
    missing = [name for name in _IMAGE_FEATURES if not features.check(name)]
    heif = pillow_heif.libheif_version()
    if missing:
        return State.FAILURE, f"this Pillow can't read {', '.join(missing)}; install its own wheel"
    return State.OK, f"JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, SVG, HEIC (libheif {heif})"


def _codecs() -> tuple[State, str]:
    import av

    missing = [name for name in _CODECS if name not in av.codecs_available]
    if missing:
        return State.WARNING, f"this PyAV lacks {', '.join(missing)}; install its own wheel"
    return State.OK, f"{', '.join(_CODECS)} (PyAV {av.__version__})"


def _checkpoint() -> tuple[State, str]:
    """Load the shipped model, compare it with its recorded digest, and let it encode a word."""
    path = shipped_checkpoint()
    if not path.is_file():
        return State.FAILURE, f"there is none at {path}; install omnidex again, or use omni:FILE"
    recorded = recorded_digest(path)
    if recorded is not None and recorded != file_digest(path):
        return State.FAILURE, f"{path} is not the file that was shipped; install omnidex again"
    encoder = load_encoder()
    encoder.encode([MediaItem(Modality.TEXT, "a test")])
    checked = "digest ok" if recorded else "no digest recorded"
    return State.OK, f"{path}, fingerprint {encoder.spec.fingerprint[:12]}, {checked}"


def recorded_digest(checkpoint: Path) -> str | None:
    """The BLAKE3 digest that the JSON file beside a checkpoint records, if any."""
    try:
        content: object = json.loads(checkpoint.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    digest = cast("dict[str, object]", content).get("blake3")
    return digest if isinstance(digest, str) else None


def file_digest(path: Path) -> str:
    """The BLAKE3 digest of a file, in hex."""
    from blake3 import blake3

    return blake3().update_mmap(path).hexdigest()
