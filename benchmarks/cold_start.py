"""What the first search after a login costs, against starting the libraries it can't do without.

Question: how much of a whole `omnidex search` process is ours? A collection of made texts is
indexed once; then the search process and one that only imports torch are timed turn about, after a
turn that warms the file cache up. Reading: `ratio` is the median of search / import. A search by
words encodes them in numpy, so it can be below 1; a query that is no text would be above. A
collection's own item as a query (`--like`) encodes nothing, which `like_ratio` measures.

`cached_like_ratio` is of CPU times: `--like` over a collection of `items` made items, whose cache
is there, against importing what it can't do without. At most `cached_like_target` is wanted.
"""

import statistics
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from indexer import Collection, ingest
from indexer.entries import ContentKey, ContentRow, FileRow, FileStamp
from indexer.rows import ItemRow
from omni_encoder import Encoder, EncoderSpec, Modality, OmniError
from omni_encoder.media import MediaInfo

from .ann_data import make_mixture
from .protocol import Request
from .system import SystemBenchmark
from .timing import cpu_seconds, installed_command, machine, run_command, seconds, spread

TEXTS = 200
ITEMS = 100_000
LIKE_TARGET = 1.5
_IMPORTS = "import numpy, faiss, typer, rich"
_AT_ONCE = 5000


def run(request: Request) -> Mapping[str, object]:
    """Measure whole processes.

    Raises:
        OmniError: omnidex isn't installed, or a process fails.
    """
    encoder = request.encoder()
    turns = 2 if request.quick else 7
    with TemporaryDirectory() as scratch:
        collection = Path(scratch) / "collection"
        like = _index_texts(Path(scratch) / "texts", collection, encoder)
        command = [*installed_command(), "search", "-c", str(collection)]
        floor = [sys.executable, "-c", "import torch"]
        actions = ([*command, "a dog on a beach"], [*command, "--like", like], floor)
        timed: list[list[float]] = []
        for turn in range(turns + 1):
            timed.append([seconds(lambda c=action: run_command(c)) for action in actions])
            if request.progress is not None:
                request.progress("Measuring", turn + 1, turns + 1)
    search, by_item, imports = zip(*timed[1:], strict=True)
    ratios = [a / b for a, b in zip(search, imports, strict=True)]
    like_ratios = [a / b for a, b in zip(by_item, imports, strict=True)]
    return {
        "encoder": {"name": encoder.spec.name, "fingerprint": encoder.spec.fingerprint},
        "ratio": statistics.median(ratios),
        "ratios": spread(ratios),
        "unit": "time of a whole search process / of importing torch",
        "like_ratio": statistics.median(like_ratios),
        "like_ratios": spread(like_ratios),
        "search_s": spread(search),
        "like_s": spread(by_item),
        "import_torch_s": spread(imports),
        "texts": TEXTS,
        **cached(encoder.spec, items=2000 if request.quick else ITEMS, turns=turns),
        "turns": turns,
        "machine": machine("omnidex", "torch", "lancedb", "numpy"),
    }


def cached(spec: EncoderSpec, *, items: int, turns: int) -> dict[str, object]:
    """Measure `search --like` over the cache of many made items, against its libraries' import.

    Args:
        spec: Whose the items' vectors seem to be; nothing is encoded.
        items: How many.
        turns: How many pairs of processes are timed.

    Raises:
        OmniError: omnidex isn't installed, or a process fails.
    """
    with TemporaryDirectory() as scratch:
        collection = Path(scratch) / "collection"
        like = _fill(collection, spec, items)
        search = [*installed_command(), "search", "-c", str(collection), "--like", like]
        floor = [sys.executable, "-c", _IMPORTS]
        measure = partial(cpu_seconds, byte_code=Path(scratch) / "byte-code")
        pairs = [(measure(search), measure(floor)) for _ in range(turns + 1)][1:]
    ratios = [ours / imports for ours, imports in pairs]
    return {
        "cached_like_ratio": statistics.median(ratios),
        "cached_like_target": LIKE_TARGET,
        "cached_like_ratios": spread(ratios),
        "cached_like_cpu_s": spread([ours for ours, _ in pairs]),
        "imports_cpu_s": spread([imports for _, imports in pairs]),
        "imports": _IMPORTS,
        "items": items,
    }


def _fill(directory: Path, spec: EncoderSpec, items: int) -> str:
    """Store made images, and make the cache; returns the id of one of them."""
    vectors = make_mixture(items, spec.dim, 1).images
    info = MediaInfo(Modality.IMAGE, "image/jpeg", width=640, height=480)
    last = True  # of one part
    keys = [ContentKey(f"{number:032x}"[::-1], Modality.IMAGE) for number in range(items)]
    with Collection.create(directory, spec) as collection:
        with collection.writing("bench cold-start") as writer:
            for start in range(0, items, _AT_ONCE):
                some = range(start, min(start + _AT_ONCE, items))
                of_some = vectors[start : some.stop].astype(np.float32)
                writer.add(
                    [
                        ItemRow(keys[number], 0, last, None, None, info, vector)
                        for number, vector in zip(some, of_some, strict=True)
                    ]
                )
                for number in some:
                    file = f"/media/{number % 100}/{number}.jpg".encode()
                    stamp = FileStamp(100_000, number, number + 1)
                    content = ContentRow(keys[number], 1, partial=False)
                    writer.enter(FileRow(file, stamp, keys[number]), content)
        found = collection.nearest(vectors[0].astype(np.float32), k=1)
        return collection.records(found.rows)[0].id


def _index_texts(folder: Path, directory: Path, encoder: Encoder) -> str:
    """Index made texts; returns the id of one of them."""
    folder.mkdir()
    for number in range(TEXTS):
        (folder / f"{number:03d}.txt").write_text(f"note {number} about thing {number % 17}\n")
    with Collection.create(directory, encoder.spec, means=encoder.means) as collection:
        report = ingest([folder], collection, encoder, progress=None)
        if report.items != TEXTS:
            raise OmniError(f"{report.items} of {TEXTS} made texts were indexed")
        found = collection.nearest(np.ones(collection.spec.dim, np.float32), k=1)
        return collection.records(found.rows)[0].id


COLD_START = SystemBenchmark(
    "cold-start", "A whole search process against importing torch, or its libraries", run, version=2
)
