"""Looking after a collection: optimize, verify, list its versions and go back to one."""

import numpy as np

from omni_encoder import CollectionError

from .collection import Collection
from .manifest import LANCE_NAME, has_table, read_manifest
from .types import Restored, Version


def optimize(collection: Collection, *, recall: float | None = None) -> None:
    """Merge the table's pieces, and write the cache anew.

    Args:
        collection: What is optimized.
        recall: The least share of the true 10 nearest that codes must find; None keeps it.

    Raises:
        CollectionError: Another process is writing, or the collection is damaged.
        ValueError: `recall` is not above 0 and at most 1.
    """
    if recall is not None and not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    with collection.writing("optimize") as writer:
        writer.compact()
    if has_table(collection.directory, collection.spec):
        from .reader import Reader

        manifest = read_manifest(collection.directory)
        Reader(collection.directory).refresh(manifest, anew=True, target=recall)


def verify(collection: Collection) -> int:
    """Read every vector of the table, and check the cache against its hashes.

    A cache that isn't what was published is made anew.

    Returns:
        How many items the table holds.

    Raises:
        CollectionError: The table can't be read, or holds what is no vector.
    """
    directory, spec = collection.directory, collection.spec
    if not has_table(directory, spec):
        return 0
    from .reader import Reader
    from .table import VectorTable

    sums = VectorTable.open(directory, spec).sums()
    if not all(np.isfinite(total).all() for _, total in sums.values()):
        raise CollectionError(
            f"there are damaged vectors in {directory / LANCE_NAME}",
            hint="index again into a new folder: omnidex index -c NEW PATH",
        )
    Reader(directory).verify(read_manifest(directory))
    return sum(count for count, _ in sums.values())


def history(collection: Collection) -> list[Version]:
    """The states that a collection can be brought back to, newest first.

    Raises:
        CollectionError: The table can't be read.
    """
    if not has_table(collection.directory, collection.spec):
        return []
    from .table import VectorTable

    return VectorTable.open(collection.directory, collection.spec).history()


def restore(collection: Collection, version: int) -> Restored:
    """Bring back the items of an earlier state, as a new version on top.

    Files whose items go are read again by the next ingest of their folder, and items whose files
    are not known any more have no path until then.

    Raises:
        QueryError: There is no such version, or it has been cleaned up.
        CollectionError: Another process is writing, or the collection is damaged.
    """
    with collection.writing("restore") as writer:
        changed = writer.restore(version)
        without_files = writer.catalogue.items_without_files()
    return Restored(sum(collection.counts().values()), without_files, changed)
