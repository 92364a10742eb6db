"""A collection: a directory of vectors, and what is known of the media they stand for."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omni_encoder import CollectionError, EncoderSpec, Modality
from omni_encoder.arrays import Float32, Int64

from .cache_report import cache_report
from .catalogue import Catalogue
from .exact import centre_rows, unit
from .ids import resolve
from .lock import writer_lock
from .manifest import (
    MANIFEST_NAME,
    CodesSetting,
    Manifest,
    check_empty,
    check_spec,
    has_table,
    manifest_stamp,
    newest_version,
    read_manifest,
    reference_means,
    table_location,
    write_manifest,
)
from .records import to_record
from .remote import behind, located, remote_of, shared, shown
from .types import CacheReport, Nearest, Problem, Record, Removal, SearchMode

if TYPE_CHECKING:
    from .reader import Reader, State
    from .rows import Facts
    from .view import View
    from .writer import Writer

DEFAULT_MODE = SearchMode()


class Collection:
    """A collection on disk. Any number of readers may have it open beside one writer.

    A reader sees every commit of the writer at its next question. Nothing heavy is opened before
    it is needed. An object is for one thread.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Use `create`, `open` or `open_or_create`."""
        self._directory = directory
        self._remote = remote_of(directory)
        self._manifest = manifest
        self._manifest_stamp = manifest_stamp(directory)
        self._catalogue_opened: Catalogue | None = None
        self._reader_opened: Reader | None = None

    @classmethod
    def create(
        cls,
        directory: Path | str,
        spec: EncoderSpec,
        *,
        means: Float32[np.ndarray, "modalities dim"] | None = None,
    ) -> "Collection":
        """Make an empty collection.

        Args:
            directory: A directory that doesn't exist or is empty, or a URI where there is nothing.
            spec: The encoder whose vectors it will hold.
            means: The encoder's reference means, one row for each of `spec.modalities`.

        Raises:
            CollectionError: There is something in the directory already.
        """
        directory = located(directory)
        manifest = Manifest(spec, reference_means(spec, means))
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CollectionError(
                f"can't make a collection in {directory}: {error.strerror}",
                hint="name a folder that can be written to with -c",
            ) from error
        share = shared(directory, "create", lambda: None, unfinished=False)
        with writer_lock(directory, "create"), share:
            check_empty(directory)
            catalogue = Catalogue.open_to_write(directory)
            catalogue.mark(clean=True)
            catalogue.close()
            write_manifest(directory, manifest)
        return cls(directory, manifest)

    @classmethod
    def open(cls, directory: Path | str) -> "Collection":
        """Open a collection.

        Args:
            directory: Its directory, or its URI in an object store, such as `s3://bucket/name`.

        Raises:
            CollectionError: There is none, or it is damaged.
        """
        directory = located(directory)
        return cls(directory, read_manifest(directory))

    @classmethod
    def open_or_create(
        cls,
        directory: Path | str,
        spec: EncoderSpec,
        means: Float32[np.ndarray, "modalities dim"] | None = None,
    ) -> "Collection":
        """Open a collection and check its encoder, or make one if there is none.

        Raises:
            CollectionError: It is damaged, or there is something else in the directory.
            EncoderMismatchError: Another encoder made it.
        """
        directory = located(directory)
        if not (directory / MANIFEST_NAME).exists():
            return cls.create(directory, spec, means=means)
        collection = cls.open(directory)
        collection.check_encoder(spec)
        return collection

    def __enter__(self) -> "Collection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and memory; they are taken up again when needed."""
        if self._catalogue_opened:
            self._catalogue_opened.close()
        self._catalogue_opened = None
        self._reader_opened = None

    @property
    def directory(self) -> Path:
        """Where it lies, as an absolute path; of one in an object store, what is of it here."""
        return self._directory

    @property
    def place(self) -> str:
        """What messages call it: its directory, or its URI in an object store."""
        return shown(self._directory)

    @property
    def spec(self) -> EncoderSpec:
        """The encoder that made its vectors."""
        return self._manifest.spec

    @property
    def codes(self) -> CodesSetting | None:
        """Whether the flow's codes are kept beside its items."""
        self._refresh_manifest()
        return self._manifest.codes

    @property
    def version(self) -> int | None:
        """The newest state of its table, as `history` numbers it; None before anything is in it."""
        return newest_version(self._directory, self.spec)

    def check_encoder(self, spec: EncoderSpec) -> None:
        """Make sure that an encoder's vectors can be compared with those in the collection.

        Raises:
            EncoderMismatchError: They can't.
        """
        check_spec(self._directory, self.spec, spec)

    def counts(self) -> dict[Modality, int]:
        """How many items of each modality there are."""
        searched = self._reader_opened is not None and self._reader.opened
        if not searched and not self._catalogue.fresh():
            return self._catalogue.counts()
        state = self._state()  # which knows without counting; or the catalogue is lost
        return {} if state is None else state.counts()

    def cache_report(self) -> CacheReport:
        """How it is searched: what is coded, how well, and what came since."""
        return cache_report(self._directory, self._manifest)

    def problems(self) -> list[Problem]:
        """The files that could not be indexed, or only in part, sorted by path."""
        return self._catalogue.problems()

    def centre(
        self, vector: Float32[np.ndarray, " dim"], modality: Modality
    ) -> Float32[np.ndarray, " dim"]:
        """Subtract a modality's mean from a vector, so that modalities can be compared.

        Returns:
            A unit vector, or zeros if the vector is the mean itself.

        Raises:
            ValueError: The vector is zero or not finite, or its length is not `spec.dim`.
        """
        return centre_rows(unit(vector, self.spec.dim)[None], self._manifest.mean(modality))[0]

    def centre_all(
        self, vectors: Float32[np.ndarray, "rows dim"], modality: Modality
    ) -> Float32[np.ndarray, "rows dim"]:
        """As `centre`, for many vectors, none of which is zero."""
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return centre_rows(vectors / lengths, self._manifest.mean(modality))

    def nearest(
        self,
        vector: Float32[np.ndarray, " dim"],
        *,
        k: int,
        modalities: Sequence[Modality] | None = None,
        where: str | None = None,
        query_modality: Modality | None = None,
        mode: SearchMode = DEFAULT_MODE,
    ) -> Nearest:
        """Find the items nearest to a vector.

        The score is the cosine after each side's modality mean has been subtracted, and is exact
        whatever the mode is. Filters are applied before the search, so `k` hits come back
        whenever so many items pass them.

        Args:
            vector: What to look for; its length doesn't matter.
            k: How many hits to return at most.
            modalities: Return only such items; None stands for all.
            where: Return only items for which this SQL expression holds; see `where.COLUMNS`.
            query_modality: What the vector stands for, so that its mean can be subtracted; None if
                that is done already, by `centre`.
            mode: Whether nothing may be missed, and how modalities come into one order.

        Raises:
            QueryError: `where` is not a valid expression.
            ValueError: `k` is less than 1, or the vector is zero, not finite or of another length.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        query = unit(vector, self.spec.dim)
        if query_modality is not None:
            query = self.centre(query, query_modality)
        self._refresh_manifest()
        from .planner import Search

        search = Search.by(mode, query, k)
        catalogue = None if where is None else self._catalogue
        found = self._reader.nearest(
            self._manifest, search, catalogue, modalities=modalities, where=where
        )
        if not len(found.rows):
            self._state()  # is there nothing, or is the table gone?
        return Nearest(found.rows, found.scores)

    def records(
        self, rows: Int64[np.ndarray, " rows"], *, where: str | None = None
    ) -> list[Record]:
        """What is known of items, given by their row numbers, in the same order.

        Args:
            rows: Row numbers, as `nearest` returns them.
            where: The filter that chose them: if it is about paths, others are left out.

        Raises:
            ValueError: There is no such row.
        """
        if not self._reader.opened:
            self._state()
        found = self._reader.facts(self._manifest, rows, where)
        locations = self._catalogue.locations
        return [to_record(facts, locations(facts.key), paths) for facts, paths in found]

    def get(self, id_prefix: str) -> Record:
        """What is known of one item.

        Args:
            id_prefix: An id, or the first digits of one, at least four; a part may follow after a
                dot. Without a part the first one is meant.

        Raises:
            QueryError: There is no such item, or several begin like this.
        """
        facts = self._find(id_prefix)
        return to_record(facts, self._catalogue.locations(facts.key))

    def vector_of(self, id_prefix: str) -> Float32[np.ndarray, " dim"]:
        """The vector of one item, not centred; unit length.

        Raises:
            QueryError: There is no such item, or several begin like this.
        """
        row = self._find(id_prefix).row
        return unit(self._reader.vector(self._manifest, row), self.spec.dim)

    def view(self) -> "View | None":
        """The newest state, to be looked at in more ways; None while nothing has been written."""
        if self._state() is None:
            return None
        from .view import View

        return View(self._reader, self._manifest, self._catalogue)

    def remove(self, targets: Sequence[Path | str]) -> Removal:
        """Forget files, and delete the items that no other file holds.

        The files themselves stay, so the next ingest of their folder finds them again.

        Args:
            targets: A path stands for a file, or for everything under a folder; a string is an
                id as `get` takes it, and stands for its content with all parts and paths.

        Raises:
            QueryError: A target is not in the collection; nothing is removed then.
            CollectionError: Another process is writing.
        """
        from .removal import remove

        with self.writing("remove") as writer:
            return remove(targets, writer, lambda prefix: self._find(prefix).key)

    @contextmanager
    def writing(self, command: str) -> Generator["Writer", None, None]:
        """Become the one writer; `ingest` is what uses it.

        At the end everything is committed. An exception doesn't undo what was done before it.

        Args:
            command: What is being done, for the message that another process shows meanwhile.

        Raises:
            CollectionError: Another process is writing, or the collection is damaged.
        """
        from .writer import Writer

        directory = self._directory
        with writer_lock(directory, command), shared(directory, command, lambda: self.version):
            # Another writer may have finished since the collection was opened.
            self._refresh_manifest()
            catalogue = Catalogue.open_to_write(self._directory)
            writer = Writer(self._directory, self._manifest, catalogue)
            try:
                lost = catalogue.holds_any() and not has_table(self._directory, self.spec)
                foreign = behind(directory, self.version)
                if lost or foreign or not catalogue.clean():
                    writer.recover(foreign=foreign)
                try:
                    yield writer
                except BaseException:
                    writer.finish(interrupted=True)
                    raise
                writer.finish()
            finally:
                catalogue.close()
                self.close()
            if writer.changed:
                self._state()  # so that the next query finds the cache up to date

    @property
    def _catalogue(self) -> Catalogue:
        if self._catalogue_opened is not None and self._catalogue_opened.fresh():
            # A stand-in for a lost catalogue is not kept: that may be back by now.
            self._catalogue_opened.close()
            self._catalogue_opened = None
        if self._catalogue_opened is None:
            self._catalogue_opened = Catalogue.open_to_read(self._directory)
        return self._catalogue_opened

    @property
    def _reader(self) -> "Reader":
        if self._reader_opened is None:
            from .reader import Reader  # FAISS takes a while, and a run may not need it

            self._reader_opened = Reader(self._directory)
        return self._reader_opened

    def _state(self) -> "State | None":
        """The newest state; None as long as nothing has been written."""
        self._refresh_manifest()
        state = self._reader.state(self._manifest)
        lost = state is None and not has_table(self._directory, self.spec)
        if lost and self._catalogue.holds_any():
            raise CollectionError(
                f"the vectors in {table_location(self._directory)} are gone",
                hint="index the folders again: omnidex index FOLDER",
            )
        return state

    def _refresh_manifest(self) -> None:
        if self._remote is not None:
            self._remote.pull(self._directory)
        stamp = manifest_stamp(self._directory)
        if stamp != self._manifest_stamp:
            self._manifest = read_manifest(self._directory)
            self._manifest_stamp = stamp

    def _find(self, id_prefix: str) -> "Facts":
        self._state()
        return resolve(id_prefix, lambda digits: self._reader.find(self._manifest, digits))
