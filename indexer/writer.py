"""Writing to a collection: vectors first, then the catalogue, then the manifest.

A commit is one Lance append and then one SQLite transaction. The catalogue is marked unclean
before the first change and clean after the last; a writer that finds it unclean first asks Lance
what is there. So a process may be killed at any moment, and nothing is lost or entered twice.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .catalogue import Catalogue, ContentKey, ContentRow, FileRow
from .manifest import Manifest, write_manifest

if TYPE_CHECKING:
    from .rows import ItemRow
    from .table import VectorTable


class Writer:
    """The one writer of a collection, made by `Collection.writing`, which holds the lock."""

    def __init__(self, directory: Path, manifest: Manifest, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.items = 0
        self.items_removed = 0
        self.captions = 0
        self._directory = directory
        self._manifest = manifest
        self._opened: VectorTable | None = None
        self._dirty = False
        self._rows: list[ItemRow] = []
        self._files: list[FileRow] = []
        self._contents: list[ContentRow] = []
        self._captions: dict[ContentKey, str | None] = {}
        self._appended: set[ContentKey] = set()  # contents of which a part is in, but not the last
        self._last_commit = time.monotonic()

    def recover(self) -> None:
        """After a writer that didn't finish: keep whole contents and delete the others."""
        # Not marked again: that would make a catalogue that was lost look like one that was not.
        self._dirty = True
        table = self._begin()
        complete, broken = table.inventory()
        table.delete(broken)
        self.catalogue.recover(complete)

    def add(self, rows: Sequence["ItemRow"]) -> None:
        """Add parts of contents, each content's in order."""
        self._rows += rows
        self.items += len(rows)

    def enter(self, file: FileRow, content: ContentRow | None = None) -> None:
        """Enter a file, with its content if all parts of that have just been added."""
        self._files.append(file)
        if content:
            self._contents.append(content)

    def set_caption(self, key: ContentKey, caption: str | None) -> None:
        """Give another caption to a content that is there."""
        self._captions[key] = caption

    def discard(self, key: ContentKey) -> None:
        """Take back the parts of a content that couldn't be read to its end."""
        kept = [row for row in self._rows if row.key != key]
        self.items -= len(self._rows) - len(kept)
        self._rows = kept
        if key in self._appended:
            self.items -= self._begin().delete([key])
            self._appended.discard(key)

    def waiting(self) -> tuple[int, float]:
        """How many rows wait for a commit, and how many seconds have passed since the last one."""
        return len(self._rows), time.monotonic() - self._last_commit

    def commit(self) -> None:
        """Make everything so far permanent."""
        # Taken out first: if this is interrupted and called again, nothing is appended twice.
        rows, self._rows = self._rows, []
        captions, self._captions = self._captions, {}
        files, self._files = self._files, []
        contents, self._contents = self._contents, []
        if rows:
            self._begin().append(rows)
            self._appended |= {row.key for row in rows}
            self._appended -= {row.key for row in rows if row.last}
        if captions:
            self.captions += self._begin().set_captions(captions)
        if files or contents:
            self.catalogue.record(files, contents)
        self._last_commit = time.monotonic()

    def sweep(self) -> None:
        """Delete the items of contents that no path holds any more."""
        if self.catalogue.has_suspects():
            orphans = self.catalogue.orphans()
            if orphans:
                self.items_removed += self._begin().delete(orphans)
            self.catalogue.acquit(orphans)

    def finish(self, *, interrupted: bool = False) -> None:
        """Commit, tidy up, and declare the collection clean, unless the work was interrupted."""
        self.commit()
        for key in sorted(self._appended):
            self.discard(key)
        if self._dirty:
            table = self._begin()
            table.compact()
            write_manifest(self._directory, self._manifest.with_means(table.sums()))
            # An interruption can come between any two steps, so the next writer looks for itself.
            self.catalogue.mark(clean=not interrupted)

    def _begin(self) -> "VectorTable":
        """The table, about to be changed."""
        if not self._dirty:
            self.catalogue.mark(clean=False)
            self._dirty = True
        if self._opened is None:
            from .table import VectorTable

            spec = self._manifest.spec
            self._opened = VectorTable.open(self._directory, spec, create=True)
        return self._opened
