"""Writing to a collection: vectors first, then the catalogue, then the manifest.

A commit is one Lance append and then one SQLite transaction. The catalogue is marked unclean
before the first change and clean after the last; a writer that finds it unclean first asks Lance
what is there. So a process may be killed at any moment, and nothing is lost or entered twice.
"""

import errno
import os
import re
import sqlite3
import time
from collections.abc import Container, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omni_encoder import CollectionError, QueryError

from .catalogue import Catalogue, ContentKey, ContentRow, FileRow
from .folders import Marks
from .manifest import CodesSetting, Manifest, has_table, newest_version, write_manifest
from .remote import shown
from .sums import Sums, with_rows, without

if TYPE_CHECKING:
    from .rows import ItemRow
    from .table import VectorTable

FEW_KEYS = 500
"""The vectors of so few contents are read before these are deleted, rather than all afterwards."""


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
        self._sums: Sums | None = None  # None if they must be computed from all vectors
        self._dirty = False
        self._rows: list[ItemRow] = []
        self._files: list[FileRow] = []
        self._contents: list[ContentRow] = []
        self._captions: dict[ContentKey, str | None] = {}
        self._deleted: set[ContentKey] = set()
        self._trusting = False
        self._appended: set[ContentKey] = set()  # contents of which a part is in, but not the last
        self._last_commit = time.monotonic()

    @property
    def changed(self) -> bool:
        """Whether the table was opened to be changed."""
        return self._dirty

    @property
    def codes(self) -> CodesSetting | None:
        """Whether codes are kept beside the items."""
        return self._manifest.codes

    def set_codes(self, setting: CodesSetting | None) -> None:
        """Remember whether codes are kept, and whether all items have them; at once."""
        if setting != self._manifest.codes:
            self._manifest = replace(self._manifest, codes=setting)
            with writing_to(self._directory):
                write_manifest(self._directory, self._manifest)

    def recover(self, *, foreign: bool = False) -> None:
        """After a writer that didn't finish: keep whole contents and delete the others.

        Args:
            foreign: Whether it may have been another machine's, whose files aren't known here.
        """
        # Not marked again: that would make a catalogue that was lost look like one that was not.
        self._dirty = True
        with writing_to(self._directory):
            table = self._begin()
            complete, broken = table.inventory()
            self._delete(broken)
            self.catalogue.recover(complete, keep=foreign)

    def contents(self) -> Container[ContentKey]:
        """The contents that were committed, whole; other threads may ask, one at a time."""
        return Catalogue.open_to_read(self._directory)

    def add(self, rows: Sequence["ItemRow"]) -> None:
        """Add parts of contents, each content's in order."""
        self._rows += rows
        self.items += len(rows)

    def enter(self, file: FileRow, content: ContentRow | None = None) -> None:
        """Enter a file, with its content if all parts of that have just been added."""
        self._files.append(file)
        if content:
            self._contents.append(content)

    def enter_content(self, content: ContentRow) -> None:
        """Enter a content that no file is known of, whose parts have just been added."""
        if not self._trusting:
            self.catalogue.trust()
            self._trusting = True
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
            with writing_to(self._directory):
                self.items -= self._delete([key])
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
        with writing_to(self._directory):
            if rows:
                self._begin().append(rows)
                self._sums = None if self._sums is None else with_rows(self._sums, rows)
                self._appended |= {row.key for row in rows}
                self._appended -= {row.key for row in rows if row.last}
            if captions:
                self.captions += self._begin().set_captions(captions)
            if files or contents:
                self.catalogue.record(files, contents)
        self._last_commit = time.monotonic()

    def delete(self, keys: Sequence[ContentKey]) -> None:
        """Delete the items of contents, whose paths are forgotten next."""
        chosen = list(dict.fromkeys(keys))
        if chosen:
            with writing_to(self._directory):
                self.items_removed += self._delete(chosen)
            self._deleted.update(chosen)

    def sweep(self) -> None:
        """Delete the items of contents that no path holds any more."""
        if self.catalogue.has_suspects():
            orphans = self.catalogue.orphans()
            left = [key for key in orphans if key not in self._deleted]
            with writing_to(self._directory):
                if left:
                    self.items_removed += self._delete(left)
                self.catalogue.acquit(orphans)

    def forget(self, paths: Sequence[bytes]) -> None:
        """Drop paths from the catalogue."""
        with writing_to(self._directory):
            self.catalogue.forget(paths)

    def set_passed(self, roots: Sequence[bytes], passed: Mapping[bytes, str]) -> None:
        """Enter what was passed over under some roots."""
        with writing_to(self._directory):
            self.catalogue.set_passed(roots, passed)

    def mark_folders(self, root: bytes, marks: Marks) -> None:
        """Enter what the folders under a root are like."""
        with writing_to(self._directory):
            self.catalogue.mark_folders(root, marks)

    def compact(self) -> None:
        """Merge the table's pieces however few they are, and drop what nobody can go back to."""
        if self._has_table():
            with writing_to(self._directory):
                self._begin().compact(most=0)

    def restore(self, version: int) -> bool:
        """Bring back the rows of an earlier version, and let the catalogue follow.

        Returns:
            False if that is the current version: then nothing is done.

        Raises:
            QueryError: There is no such version.
        """
        spec = self._manifest.spec
        if not self._has_table():
            raise QueryError("nothing has been written to the collection yet")
        if version == newest_version(self._directory, spec):
            return False
        with writing_to(self._directory):
            self._table().must_keep(version)
            table = self._begin()
            self.catalogue.trust()
            table.restore(version)
            self._sums = None
            complete, broken = table.inventory()
            self._delete(broken)
            self.catalogue.recover(complete)
            # Items whose files are unknown are what was asked for, not orphans of a lost file.
            self.catalogue.acquit([])
        return True

    def finish(self, *, interrupted: bool = False) -> None:
        """Commit, tidy up, and declare the collection clean, unless the work was interrupted."""
        self.commit()
        for key in sorted(self._appended):
            self.discard(key)
        if self._dirty:
            with writing_to(self._directory):
                table = self._begin()
                table.compact()
                if not interrupted:
                    table.keep_version()
                sums = table.sums() if self._sums is None else self._sums
                self.catalogue.set_sums(table.version_digest(), sums)
                write_manifest(self._directory, self._manifest.with_means(sums))
                # An interruption can come between any two steps, so the next writer looks for
                # itself.
                self.catalogue.mark(clean=not interrupted)

    def _has_table(self) -> bool:
        return has_table(self._directory, self._manifest.spec)

    def _begin(self) -> "VectorTable":
        """The table, about to be changed."""
        if not self._dirty:
            self.catalogue.mark(clean=False)
            self._dirty = True
        return self._table()

    def _table(self) -> "VectorTable":
        if self._opened is None:
            from .table import VectorTable

            spec = self._manifest.spec
            is_new = not self._has_table()
            self._opened = VectorTable.open(self._directory, spec, create=True)
            digest = self._opened.version_digest()
            self._sums = {} if is_new else self.catalogue.sums(digest)
        return self._opened

    def _delete(self, keys: Sequence[ContentKey]) -> int:
        gone = self._delete_items(keys)
        # Not before: after a kill in between, items that are still there would lack theirs.
        self._drop_codes(keys)
        return gone

    def _delete_items(self, keys: Sequence[ContentKey]) -> int:
        table = self._begin()
        if self._sums is None or len(keys) > FEW_KEYS:
            self._sums = None if keys else self._sums
            return table.delete(keys)
        gone = table.take_out(keys)
        self._sums = without(self._sums, gone)
        return sum(items for items, _ in gone.values())

    def _drop_codes(self, keys: Sequence[ContentKey]) -> None:
        if keys and self.codes is not None:
            from .code_table import CodeTable

            with suppress(CollectionError):  # they are extra, and the next run drops what is left
                CodeTable(self._directory, self.codes.fingerprint).delete(keys)


@contextmanager
def writing_to(directory: Path) -> Generator[None, None, None]:
    """Whatever stores say when they can't write, whose kind of error depends on the store.

    Raises:
        CollectionError: They can't; what was committed before is safe.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError, sqlite3.Error) as error:
        said = _system_message(error)
        if said is None:
            raise
        hint = "what was finished is kept; put this right, and the same command goes on from there"
        if said == os.strerror(errno.ENOSPC):
            hint = "free some space, and the same command goes on; what was finished is kept"
        message = f"can't write to the collection in {shown(directory)}: {said}"
        raise CollectionError(message, hint=hint) from error


def _system_message(error: Exception) -> str | None:
    """What the system said, or a store in its words; None for a fault that isn't the disk's."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and "full" in text:
        return os.strerror(errno.ENOSPC)
    found = re.search(r"os error (\d+)", text)
    if found:
        return os.strerror(int(found[1]))
    # Lance reports everything that the system refuses as one of these.
    about_files = isinstance(error, OSError | sqlite3.OperationalError) or "LanceError(IO)" in text
    return " ".join(text.split())[:300] if about_files else None
