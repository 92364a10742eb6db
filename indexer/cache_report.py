"""What the cache of a collection holds, read from its manifest alone."""

from pathlib import Path

from omni_encoder import Modality

from .cache_files import CacheManifest, Entry, read_published
from .manifest import Manifest, newest_version, table_name
from .types import CacheReport, Partition

CACHE_NAME = "cache"


def cache_folder(directory: Path, manifest: Manifest) -> Path:
    """Where the cache of a collection's vectors lies."""
    return directory / CACHE_NAME / table_name(manifest.spec)


def published_target(folder: Path) -> float | None:
    """The recall that the published codes were tuned to; None if there are no codes."""
    published = read_published(folder)
    tunings = [entry.tuning for entry in published.entries] if published else []
    return next((tuning.target for tuning in tunings if tuning is not None), None)


def cache_report(directory: Path, manifest: Manifest) -> CacheReport:
    """How a collection is searched."""
    published = read_published(cache_folder(directory, manifest))
    newest = newest_version(directory, manifest.spec)
    if published is None:
        return CacheReport(current=newest is None)
    partitions = (_partition(published, modality) for modality in Modality)
    return CacheReport(
        current=published.version == newest,
        partitions=tuple(one for one in partitions if one is not None),
        engine=published.engine,
    )


def _partition(published: CacheManifest, modality: Modality) -> Partition | None:
    entries = [entry for entry in published.entries if entry.modality is modality]
    if not entries:
        return None
    tuning = next((entry.tuning for entry in entries if entry.tuning is not None), None)
    return Partition(
        modality=modality,
        items=sum(map(_items, entries)),
        tail=sum(_items(entry) for entry in entries if not entry.base),
        deleted=sum(entry.deleted for entry in entries),
        coded=tuning is not None,
        target=tuning.target if tuning else None,
        recall_within=tuning.recall_within if tuning else None,
        recall_across=tuning.recall_across if tuning else None,
        candidates=tuning.candidates_10 if tuning else None,
        bytes=sum(mark.bytes for entry in entries for mark in entry.files.values()),
    )


def _items(entry: Entry) -> int:
    return entry.rows - entry.deleted
