"""Finds and loads open_clip models by tag or file, each with its own preprocessing.

open_clip is untyped, so what is used of it is written down here as protocols. It is imported when
a model is loaded or listed, and never before.
"""

import json
import logging
import pickle
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from safetensors import SafetensorError

from .clip_images import ImagePreprocess
from .errors import CheckpointError, EncoderError
from .torchvision_guard import ensure_torchvision

CONFIG_NAME = "open_clip_config.json"
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
# open_clip checks sizes with assert, and wraps what stops a download into a RuntimeError.
_LOAD_ERRORS = (
    *(RuntimeError, ValueError, OSError, ImportError, KeyError, TypeError, AssertionError),
    SafetensorError,
)
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_REACH_S = 5.0
_PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


class ClipModel(Protocol):
    """What is used of an open_clip model."""

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """Features, [images, dim], not normalised."""
        ...

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        """Features, [texts, dim], not normalised."""
        ...

    def state_dict(self) -> Mapping[str, torch.Tensor]:
        """All weights by name."""
        ...

    def eval(self) -> object:
        """Switch to inference."""
        ...


class Tokenizer(Protocol):
    """What is used of an open_clip tokenizer."""

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """Token numbers, [texts, context_length]."""
        ...


class _OpenClip(Protocol):
    def list_models(self) -> list[str]: ...
    def list_pretrained(self) -> list[tuple[str, str]]: ...
    def list_pretrained_tags_by_model(self, model: str) -> list[str]: ...
    def get_pretrained_cfg(self, model: str, tag: str) -> dict[str, object]: ...
    def get_model_config(self, model_name: str) -> dict[str, object] | None: ...
    def get_model_preprocess_cfg(self, model: ClipModel) -> dict[str, object]: ...
    def get_tokenizer(self, model_name: str) -> Tokenizer: ...
    def load_checkpoint(self, model: ClipModel, path: str, *, weights_only: bool) -> object: ...
    def create_model(
        self,
        model_name: str,
        pretrained: str | None = None,
        *,
        load_weights: bool = True,
        force_quick_gelu: bool = False,
        force_preprocess_cfg: dict[str, object] | None = None,
    ) -> ClipModel: ...


class _HubConstants(Protocol):
    ENDPOINT: str
    HF_HUB_OFFLINE: bool


class _Hub(Protocol):
    constants: _HubConstants

    def try_to_load_from_cache(self, repo_id: str, filename: str) -> object: ...


@dataclass(frozen=True, slots=True, eq=False)
class LoadedClip:
    """An open_clip model with everything it takes to use it.

    Attributes:
        name: By which the registry loads it again, from any folder.
        architecture: open_clip's configuration of the model; weights alone don't say which
            activation they were trained with.
        preprocess_config: Whose preprocessing `preprocess` does.
    """

    name: str
    model: ClipModel
    tokenizer: Tokenizer
    architecture: Mapping[str, object]
    preprocess_config: Mapping[str, object]
    preprocess: ImagePreprocess


def list_pretrained() -> list[tuple[str, str]]:
    """Every (model, tag) that open_clip knows; using one for the first time downloads it."""
    return [(model, tag) for model, tag in _open_clip().list_pretrained()]


def load_clip(rest: str) -> LoadedClip:
    """Load `MODEL/TAG` or `MODEL/FILE`; a tag wins over a file of the same name.

    MODEL can be left out where the file's configuration lies beside it, which says the model.

    Raises:
        EncoderError: No such model or tag, the download fails, or a dependency is missing.
        CheckpointError: The file is missing, is of an unsafe kind, or is of another model, or
            nothing says which preprocessing it needs.
    """
    model_name, _, source = rest.partition("/")
    alone = Path(rest).expanduser()
    named = model_name and source  # a model, or the first of several folders
    if alone.suffix in _SUFFIXES and (not named or _only_whole(alone, source)):
        return _load_file(_open_clip(), "", alone.absolute())
    if not model_name or not source:
        raise EncoderError(
            f"open_clip:{rest} doesn't say which weights to use",
            hint="write open_clip:MODEL/TAG or open_clip:MODEL/FILE, such as "
            "open_clip:ViT-B-32/laion2b_s34b_b79k",
        )
    open_clip = _open_clip()
    if open_clip.get_pretrained_cfg(model_name, source):
        return _load_tag(open_clip, model_name, source)
    path = Path(source).expanduser()
    if path.suffix not in _SUFFIXES and not path.exists():
        raise _unknown(open_clip, model_name, source)
    return _load_file(open_clip, model_name, path.absolute())


def _only_whole(alone: Path, source: str) -> bool:
    """Whether there is a file of the whole name, and none of what follows its first folder."""
    return alone.is_file() and not Path(source).expanduser().is_file()


def _open_clip() -> _OpenClip:
    try:
        ensure_torchvision()
        return cast("_OpenClip", cast("object", import_module("open_clip")))
    except (ImportError, RuntimeError) as error:
        raise EncoderError(
            f"open_clip can't be imported: {error}",
            hint="install matching versions: pip install open_clip_torch torch torchvision",
        ) from error


def _unknown(open_clip: _OpenClip, model_name: str, source: str) -> EncoderError:
    known = open_clip.list_models()
    if model_name not in known:
        close = get_close_matches(model_name, known, n=3)
        return EncoderError(
            f"open_clip has no model called {model_name!r}",
            hint=f"did you mean {', '.join(close)}?" if close else "see `omnidex models`",
        )
    tags = ", ".join(open_clip.list_pretrained_tags_by_model(model_name)) or "none"
    return EncoderError(
        f"{source!r} is neither a pretrained tag of {model_name} nor a file",
        hint=f"tags of {model_name}: {tags}",
    )


def _load_tag(open_clip: _OpenClip, model_name: str, tag: str) -> LoadedClip:
    config = open_clip.get_pretrained_cfg(model_name, tag)
    cached = _cached(str(config.get("hf_hub", "")))
    try:
        if cached is None and config.get("hf_hub"):
            _reach_hub()
        with _quiet():
            model = open_clip.create_model(
                model_name,
                cached or tag,
                force_quick_gelu=bool(config.get("quick_gelu")),
                force_preprocess_cfg=_preprocess_keys(config),
            )
    except (*_LOAD_ERRORS, pickle.UnpicklingError) as error:
        raise EncoderError(
            f"the weights of open_clip:{model_name}/{tag} can't be downloaded or read: "
            f"{_first_line(error)}",
            hint=f"go online once, or name a local file: open_clip:{model_name}/FILE.safetensors",
        ) from error
    name = f"open_clip:{model_name}/{tag}"
    return _finish(open_clip, name, model_name, model, open_clip.get_model_config(model_name) or {})


def _cached(location: str) -> str | None:
    """The file of a hub location such as `laion/NAME/` that an earlier download left, if any.

    open_clip itself would ask the hub first, even for a file it has.
    """
    repository, _, file = location.rpartition("/")
    if not repository:
        return None
    hub = cast("_Hub", cast("object", import_module("huggingface_hub")))
    files = (str(Path(file).with_suffix(".safetensors")), file) if file else _HUB_FILES
    found = (hub.try_to_load_from_cache(repository, name) for name in files)
    return next((path for path in found if isinstance(path, str)), None)


def _reach_hub() -> None:
    """Fail at once when there is no network: the hub's client retries for most of a minute.

    Raises:
        OSError: The hub can't be reached.
    """
    hub = cast("_Hub", cast("object", import_module("huggingface_hub")))
    if hub.constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    request = Request(hub.constants.ENDPOINT, method="HEAD")  # noqa: S310 -- the hub's own address
    try:
        with urlopen(request, timeout=_REACH_S):  # noqa: S310
            pass
    except HTTPError:
        pass  # an answer, whatever it says


def _load_file(open_clip: _OpenClip, model_name: str, path: Path) -> LoadedClip:
    if path.suffix not in _SUFFIXES:
        raise CheckpointError(
            f"{path} is not a kind of checkpoint that can be loaded safely",
            hint=f"use one of {', '.join(_SUFFIXES)}",
        )
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    beside = _config_beside(path)
    if not model_name and not beside.get("model_cfg"):
        raise CheckpointError(
            f"{path} doesn't say which model it is of",
            hint=f"name it: open_clip:MODEL/{path}; or put its {CONFIG_NAME} into the same folder",
        )
    architecture = beside.get("model_cfg") or open_clip.get_model_config(model_name)
    if not isinstance(architecture, dict):
        raise _unknown(open_clip, model_name, str(path))
    architecture = cast("dict[str, object]", architecture)
    # With a configuration of its own, the model is built from that and MODEL is but a label.
    origin = f"local-dir:{path.parent}" if "model_cfg" in beside else model_name
    preprocess = beside.get("preprocess_cfg")
    if not isinstance(preprocess, dict):
        preprocess = _preprocess_of(open_clip, model_name, architecture, path)
    try:
        with _quiet():
            model = open_clip.create_model(
                origin,
                load_weights=False,
                force_preprocess_cfg=cast("dict[str, object]", preprocess),
            )
            open_clip.load_checkpoint(model, str(path), weights_only=True)
    except _LOAD_ERRORS as error:
        raise CheckpointError(
            f"{path} can't be loaded as {model_name or CONFIG_NAME}: {_first_line(error)}",
            hint="name the model that the weights were saved from",
        ) from error
    except (pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors, so it isn't safe to load",
            hint="save the model's state_dict as .safetensors",
        ) from error
    name = f"open_clip:{model_name}/{path}" if model_name else f"open_clip:{path}"
    return _finish(open_clip, name, origin, model, architecture)


def _config_beside(path: Path) -> dict[str, object]:
    """The open_clip configuration in the file's folder, as hubs publish it; empty without one."""
    config = path.with_name(CONFIG_NAME)
    if not config.is_file():
        return {}
    try:
        content: object = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{config} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{config} is not a JSON object")
    return cast("dict[str, object]", content)


def _preprocess_of(
    open_clip: _OpenClip, model_name: str, architecture: Mapping[str, object], path: Path
) -> dict[str, object]:
    """The preprocessing of a bare file: that of all of the model's tags, if they agree.

    A model without tags gets open_clip's own default, which open_clip trains with, unless it is
    of the sigmoid family, whose towers were trained with another.
    """
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    configs: list[dict[str, object]] = []
    for tag in tags:
        config = open_clip.get_pretrained_cfg(model_name, tag)
        kept = _preprocess_keys(config)
        if kept not in configs:
            configs.append(kept)
    if len(configs) == 1:
        return configs[0]
    if not tags and "init_logit_bias" not in architecture:
        return {}
    raise CheckpointError(
        f"{path.name} doesn't say which preprocessing it needs, and {model_name} has "
        f"{len(configs) or 'no'} known ones",
        hint=f"put the {CONFIG_NAME} with its preprocess_cfg into the same folder",
    )


def _preprocess_keys(config: Mapping[str, object]) -> dict[str, object]:
    return {key: config[key] for key in _PREPROCESS_KEYS if key in config}


def _finish(
    open_clip: _OpenClip,
    name: str,
    origin: str,
    model: ClipModel,
    architecture: Mapping[str, object],
) -> LoadedClip:
    model.eval()
    config = open_clip.get_model_preprocess_cfg(model)
    try:
        with _quiet():
            tokenizer = open_clip.get_tokenizer(origin)
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        raise EncoderError(
            f"the tokenizer of {name} can't be loaded: {_first_line(error)}",
            hint="it may need `pip install transformers`, and its files or a network",
        ) from error
    try:
        preprocess = ImagePreprocess.from_config(config)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the preprocessing of {name} is malformed: {error}") from error
    return LoadedClip(name, model, tokenizer, architecture, config, preprocess)


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


@contextmanager
def _quiet() -> Generator[None]:
    """Keep open_clip from setting up logging: it logs to the root logger, which does that."""
    handler, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
