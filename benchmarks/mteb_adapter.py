"""Any encoder of ours as a model of `mteb`, so that its tasks run on it unchanged.

    import mteb
    from omnidex_benchmarks.mteb_adapter import MtebEncoder
    mteb.evaluate(MtebEncoder(load_encoder()), mteb.get_tasks(tasks=["Flickr30kT2IRetrieval"]))

Media are decoded by omnidex, not by mteb, so that a file gets here the vector that it gets in a
collection; torchcodec isn't needed. A row of several kinds (a photo with a question, a video with
its sound) gets the normalised sum of their vectors. Instructions and prompts are not used. mteb
comes with the extra `bench`; its own tasks fetch their data from the network when they run.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast, runtime_checkable

import numpy as np
from jaxtyping import Float32

from omni_encoder import Encoder, MediaItem, Modality, OmniError
from retrieval.embed import embed_file, embed_texts, unit

_BATCH_ROWS = 32
_BLANK = "."  # what stands for a text without words, which no encoder takes


class Rows(Protocol):
    """What is used of a `datasets.Dataset`."""

    @property
    def features(self) -> Mapping[str, object]:
        """The columns."""
        ...

    def cast_column(self, column: str, feature: object) -> "Rows":
        """The same rows with a column read otherwise."""
        ...

    def __iter__(self) -> Iterator[Mapping[str, object]]: ...


class Loader(Protocol):
    """What is used of a `torch.utils.data.DataLoader`."""

    @property
    def dataset(self) -> Rows:
        """What it loads from."""
        ...


class _Picture(Protocol):
    """What is used of a `PIL.Image.Image`."""

    def convert(self, mode: str) -> "_Picture": ...


@runtime_checkable
class _Call(Protocol):
    """A function or class of a package without types."""

    def __call__(self, *arguments: object, **named: object) -> object: ...


def require_mteb() -> None:
    """Make sure that mteb is there.

    Raises:
        OmniError: It isn't.
        ImportError: torchvision doesn't fit torch.
    """
    if find_spec("mteb") is None:
        raise OmniError("mteb isn't installed", hint="pip install 'omnidex[bench]'")
    from omni_encoder.torchvision_guard import ensure_torchvision

    ensure_torchvision()  # transformers, which mteb imports, imports torchvision


class MtebEncoder:
    """An encoder of ours under mteb's `EncoderProtocol`."""

    def __init__(self, encoder: Encoder) -> None:
        """Wrap an encoder.

        Raises:
            OmniError: mteb isn't installed.
        """
        require_mteb()
        self._encoder = encoder
        self.mteb_model_meta = _model_meta(encoder)

    def encode(
        self,
        inputs: Loader,
        *,
        task_metadata: object = None,  # noqa: ARG002 -- mteb passes it
        hf_split: str = "",  # noqa: ARG002
        hf_subset: str = "",  # noqa: ARG002
        prompt_type: object = None,  # noqa: ARG002
        **_: object,
    ) -> Float32[np.ndarray, "rows dim"]:
        """One unit row for each row of a data loader, in its order."""
        rows = _undecoded(inputs.dataset)
        known = [modality for modality in Modality if modality in rows.features]
        parts: list[Float32[np.ndarray, "some dim"]] = []
        waiting: list[Mapping[str, object]] = []
        with TemporaryDirectory() as scratch:
            for row in rows:
                waiting.append(row)
                if len(waiting) == _BATCH_ROWS:
                    parts.append(self._rows(waiting, known, Path(scratch)))
                    waiting = []
            if waiting:
                parts.append(self._rows(waiting, known, Path(scratch)))
        if not parts:
            return np.zeros((0, self._encoder.spec.dim), dtype=np.float32)
        return np.concatenate(parts)

    def similarity(self, embeddings1: object, embeddings2: object) -> object:
        """The cosines of all pairs of rows, as mteb computes them; its tasks want its own type."""
        return _function(import_module("mteb.similarity_functions"), "cos_sim")(
            embeddings1, embeddings2
        )

    def similarity_pairwise(self, embeddings1: object, embeddings2: object) -> object:
        """The cosine of each row with that of the same number, as mteb computes it."""
        return _function(import_module("mteb.similarity_functions"), "pairwise_cos_sim")(
            embeddings1, embeddings2
        )

    def _rows(
        self, rows: Sequence[Mapping[str, object]], known: Sequence[Modality], scratch: Path
    ) -> Float32[np.ndarray, "rows dim"]:
        total = np.zeros((len(rows), self._encoder.spec.dim))
        for modality in known:
            places = [i for i, row in enumerate(rows) if _present(row[modality])]
            values = [rows[i][modality] for i in places]
            if modality is Modality.TEXT:
                texts = [text if text.strip() else _BLANK for text in map(str, values)]
                vectors = embed_texts(texts, self._encoder)
            elif modality is Modality.IMAGE:
                vectors = self._images(values)
            else:
                vectors = self._files(values, scratch)
            total[places] += vectors
        return unit(total)

    def _images(self, values: Sequence[object]) -> Float32[np.ndarray, "some dim"]:
        pictures = [cast("_Picture", value).convert("RGB") for value in values]
        items = [
            MediaItem(Modality.IMAGE, np.ascontiguousarray(np.asarray(picture, dtype=np.uint8)))
            for picture in pictures
        ]
        return self._encoder.encode(items)

    def _files(self, values: Sequence[object], scratch: Path) -> Float32[np.ndarray, "some dim"]:
        vectors: list[Float32[np.ndarray, " dim"]] = []
        for value in values:
            stored = cast("Mapping[str, object]", value)
            content = stored.get("bytes")
            path = Path(str(stored.get("path")))
            if isinstance(content, bytes):
                path = scratch / f"media{path.suffix if stored.get('path') else ''}"
                path.write_bytes(content)
            vectors.append(embed_file(path, self._encoder).vector)
        return np.stack(vectors)


def mock_run(encoder: Encoder) -> dict[str, str]:
    """Run mteb's mock tasks, which need no data: `passed`, `skipped` or why it failed, by task.

    Raises:
        OmniError: mteb isn't installed.
    """
    model = MtebEncoder(encoder)
    module = import_module("mteb.mocks.mock_run")
    results = cast("_MockResults", _function(module, "mock_run")(model))
    failed = _function(module, "is_dependency_error")
    statuses: dict[str, str] = {}
    for name, status in results.items():
        if status is None:
            statuses[name] = "skipped: not for this encoder's media"
        elif hasattr(status, "exception"):
            reason = str(getattr(status, "exception"))  # noqa: B009 -- the class has no types
            statuses[name] = f"{'skipped' if failed(status) else 'failed'}: {reason}"
        else:
            statuses[name] = "passed"
    return statuses


def run_tasks(encoder: Encoder, tasks: Sequence[str], *, output: Path) -> dict[str, float]:
    """Run tasks of mteb by name and keep its own result files; the network is used for their data.

    Returns:
        The main score of each task, in mteb's own metric.

    Raises:
        OmniError: mteb isn't installed, or has no such task.
    """
    require_mteb()
    mteb = import_module("mteb")
    try:
        found = _function(mteb, "get_tasks")(tasks=list(tasks))
    except (KeyError, ValueError) as error:
        raise OmniError(f"mteb has no such task: {error}") from error
    cache = _function(import_module("mteb.cache"), "ResultCache")(output)
    results = _function(mteb, "evaluate")(MtebEncoder(encoder), found, cache=cache)
    scored = cast("Sequence[_TaskScore]", getattr(results, "task_results", ()))
    return {result.task_name: float(result.get_score()) for result in scored}


class _MockResults(Protocol):
    def items(self) -> Sequence[tuple[str, object]]: ...


class _TaskScore(Protocol):
    task_name: str

    def get_score(self) -> float: ...


def _function(module: object, name: str) -> _Call:
    found: object = getattr(module, name)
    assert isinstance(found, _Call)  # of a package whose version pyproject states
    return found


def _undecoded(rows: Rows) -> Rows:
    """The rows with sounds and videos as bytes, for us to decode."""
    datasets = import_module("datasets")
    for column, kind in ((Modality.AUDIO, "Audio"), (Modality.VIDEO, "Video")):
        if column in rows.features:
            rows = rows.cast_column(str(column), _function(datasets, kind)(decode=False))
    return rows


def _present(value: object) -> bool:
    return value is not None


def _model_meta(encoder: Encoder) -> object:
    module = import_module("mteb.models.model_meta")
    name = encoder.spec.name.replace("/", "-").replace(":", "-")
    return _function(module, "ModelMeta")(
        loader=None,
        name=f"omnidex/{name}",
        revision=encoder.spec.fingerprint[:16],
        release_date=None,
        languages=["eng-Latn"],
        n_parameters=None,
        memory_usage_mb=None,
        max_tokens=None,
        embed_dim=encoder.spec.dim,
        license=None,
        open_weights=None,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=False,
        training_datasets=None,
        modalities=[str(modality) for modality in encoder.spec.modalities],
    )
