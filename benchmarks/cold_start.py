"""What the first search after a login costs, against starting the libraries it can't do without.

Question: how much of a whole `omnidex search` process is ours? A collection of made texts is
indexed once; then the search process and one that only imports torch are timed turn about, after a
turn that warms the file cache up. Reading: `ratio` is the median of search / import. A search does
import torch to encode its query, so 1 can't be reached; a collection's own item as a query
(`--like`) can skip it, which `like_ratio` measures.
"""

import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from indexer import Collection, ingest
from omni_encoder import Encoder, OmniError

from .protocol import Request
from .system import SystemBenchmark
from .timing import installed_command, machine, run_command, seconds, spread

TEXTS = 200


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
        "items": TEXTS,
        "turns": turns,
        "machine": machine("omnidex", "torch", "lancedb", "numpy"),
    }


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


COLD_START = SystemBenchmark("cold-start", "A whole search process against importing torch", run)
