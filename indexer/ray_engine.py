"""Reading and encoding changed files on the machines of a Ray cluster, shard by shard.

This is the only module that imports ray, when it is used. A task runs once: when it is lost with
its process or machine, what is left of its shard is given out again from here, as only this
process knows what was committed. docs/adr/0031 says why it is built as it is.
"""

import logging
import os
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TextIO, cast

from omni_encoder import Encoder, EncoderSpec, OmniError
from omni_encoder.media_remote import RemoteDecoder

from .collection import Collection
from .entries import ContentKey, FileRow, FileStamp
from .shard_writer import EngineError, ShardWriter
from .shards import Chunk, Shard, encode_shard, plan_shards
from .types import IngestOptions, Phase, Progress, Tally
from .writer import Writer

if TYPE_CHECKING:
    from ray import ObjectRef, ObjectRefGenerator

_LOG = logging.getLogger(__name__)

MOST_DEATHS = 12
"""After so many lost tasks with none finished between them, it isn't the files' fault."""

TASKS_PER_CPU = 2
"""How many are given out: one runs, the next one waits. Clusters grow with what waits."""


START_ATTEMPTS = 3
"""On a busy machine Ray may need longer to start than the 30 seconds that it waits for itself."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What all tasks of a run need.

    Attributes:
        spec: The collection's encoder.
        encoder: The encoder, or what loads it.
        contents: What the collection had when the run began.
        options: How to ingest.
    """

    spec: EncoderSpec
    encoder: Encoder | Callable[[], Encoder]
    contents: frozenset[ContentKey]
    options: IngestOptions


class Station:
    """What a worker process keeps from shard to shard: the encoder, and processes that decode."""

    _present: ClassVar["tuple[str, Station] | None"] = None

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._contents = set(assignment.contents)
        self._encoder: Encoder | None = None
        options = assignment.options
        self._remotes = [
            RemoteDecoder(file_seconds=options.file_seconds, file_bytes=options.file_bytes)
            for _ in range(options.decode_threads)
        ]

    @classmethod
    def of(cls, run: str, fetch: Callable[[], Assignment]) -> "Station":
        """This process's station for a run; that of another run is closed."""
        if cls._present is None or cls._present[0] != run:
            if cls._present is not None:
                cls._present[1].close()
            cls._present = run, cls(fetch())
        return cls._present[1]

    def encode(self, shard: Shard) -> Generator[Chunk, None, None]:
        """See `encode_shard`."""
        assignment = self._assignment
        chunks = encode_shard(
            shard,
            assignment.spec,
            self._load,
            self._contents,
            remotes=self._remotes,
            options=assignment.options,
        )
        try:
            with closing(chunks):
                yield from chunks
        except BaseException:
            self.close()  # a process that was cut off in the middle of a file is of no use
            raise

    def close(self) -> None:
        """End the processes that decode; they are started again when needed."""
        for remote in self._remotes:
            remote.close()

    def _load(self) -> Encoder:
        if self._encoder is None:
            source = self._assignment.encoder
            encoder = source if isinstance(source, Encoder) else source()
            if encoder.spec.fingerprint != self._assignment.spec.fingerprint:
                raise EngineError(
                    f"a machine of the cluster has other weights of {encoder.spec.name}",
                    hint="install the same omnidex and checkpoint on all machines",
                )
            self._encoder = encoder
        return self._encoder


class RayRun:
    """Brings the items of changed files into a collection, a commit for every finished shard."""

    def __init__(
        self,
        collection: Collection,
        encoder: Encoder | Callable[[], Encoder],
        writer: Writer,
        tally: Tally,
        options: IngestOptions,
    ) -> None:
        self._options = replace(options, isolate=True)
        contents = frozenset(writer.catalogue.contents())
        self._assignment = Assignment(collection.spec, encoder, contents, self._options)
        self._writer = writer
        self._tally = tally
        self._taking = ShardWriter(writer, tally)
        self._deaths = 0

    def read(
        self,
        changed: Mapping[bytes, FileStamp],
        known: Mapping[bytes, FileRow],
        tell: Callable[[Progress], None],
    ) -> None:
        """Read files, encode what is new, and commit every finished shard.

        Args:
            changed: The files to read.
            known: What the catalogue had on them before.
            tell: Called after every chunk that was committed.

        Raises:
            EngineError: Ray isn't installed, or its processes die whatever they are given.
        """
        total, bytes_total = len(changed), sum(stamp.size for stamp in changed.values())

        def told() -> None:
            done, items = self._tally.bytes, self._writer.items
            tell(Progress(Phase.READ, self._tally.settled, total, done, bytes_total, items))

        with _cluster():
            waiting = deque(plan_shards(changed, known, cpus=self._slots()))
            hand_out = self._prepare()
            running: dict[ObjectRefGenerator, tuple[Shard, list[ObjectRef]]] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < TASKS_PER_CPU * self._slots():
                        shard = waiting.popleft()
                        running[hand_out(shard)] = shard, []
                    finished = _advance(running)
                    if finished is not None:
                        waiting.extendleft(self._take_up(*finished, told))
            finally:
                _cancel(list(running))

    def _prepare(self) -> "Callable[[Shard], ObjectRefGenerator]":
        import ray

        run = uuid.uuid4().hex
        # In a list it isn't fetched for every task, only when a process has to.
        assignment = [ray.put(self._assignment)]
        cpus = self._options.task_cpus
        work = ray.remote(num_cpus=cpus, num_returns="streaming", max_retries=0)(_work)
        return lambda shard: work.remote(run, assignment, shard)

    def _slots(self) -> int:
        """How many tasks the cluster can run at once, as it is now."""
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1) / self._options.task_cpus))

    def _take_up(
        self, shard: Shard, chunks: "list[ObjectRef]", told: Callable[[], None]
    ) -> list[Shard]:
        """Commit what a task has brought; returns what has to be done again."""
        self._taking.begin(shard)
        try:
            for chunk in chunks:
                self._taking.take_up(_fetch(chunk))
                told()
        except ChildProcessError as error:
            left = self._taking.give_up()
            self._deaths += 1
            if self._deaths > MOST_DEATHS:
                raise EngineError(
                    f"the processes of the cluster die one after the other: {error}",
                    hint="they may lack memory: give Ray fewer CPUs, or lower --batch-size",
                ) from error
            again = left.retried() if left.files else []
            if left.files and not again:
                message = (
                    "it took the process that read it along; it is left alone until it changes"
                )
                self._taking.fail(left, "crashed", message)
                told()
            return again
        self._deaths = 0
        return []


def _work(run: str, assignment: "list[ObjectRef]", shard: Shard) -> Generator[Chunk, None, None]:
    """The task: encode a shard in a worker process."""
    import ray

    station = Station.of(run, lambda: cast("Assignment", ray.get(assignment[0])))
    yield from station.encode(shard)


def _advance(
    running: "dict[ObjectRefGenerator, tuple[Shard, list[ObjectRef]]]",
) -> "tuple[Shard, list[ObjectRef]] | None":
    """Wait until a task has brought something; returns what it has brought if that was all."""
    import ray

    [task], _ = ray.wait(list(running), num_returns=1)
    try:
        running[task][1].append(next(task))
    except StopIteration:
        return running.pop(task)
    return None


def _fetch(chunk: "ObjectRef") -> Chunk:
    """Fetch what a task has brought.

    Raises:
        ChildProcessError: The task, or what it has brought, was lost with its process or machine.
        OmniError: What the task said.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return cast("Chunk", ray.get(chunk))
    except RayTaskError as error:
        if isinstance(error.cause, OmniError):
            raise error.cause from error
        raise
    except RayError as error:
        raise ChildProcessError(str(error).splitlines()[0]) from error


def _cancel(tasks: "list[ObjectRefGenerator]") -> None:
    """End what nobody waits for any more."""
    import ray

    for task in tasks:
        ray.cancel(task, force=True)


@contextmanager
def _cluster() -> Generator[None, None, None]:
    """Be connected: to the cluster of RAY_ADDRESS or of this machine, or to a small one of ours.

    Raises:
        EngineError: Ray isn't installed, or can't be reached.
    """
    # Ray would tell its makers about every cluster that is started.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError("Ray is not installed", hint='pip install "omnidex[ray]"') from error
    with redirect_stdout(cast("TextIO", _OwnOutput())):
        if ray.is_initialized():
            yield
            return
        _connect()
        try:
            yield
        finally:
            ray.shutdown()


def _connect() -> None:
    import ray

    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # when it takes too long, it raises no other kind
            ray.shutdown()
            if attempt + 1 == START_ATTEMPTS or isinstance(error, ConnectionError):
                raise EngineError(
                    f"Ray can't be reached or started: {error}",
                    hint="see RAY_ADDRESS; without it and without a cluster here, one is started",
                ) from error
        else:
            return


class _OwnOutput:
    """The standard output for the present thread; what other threads print is logged.

    Ray prints what its processes say of each other, and the standard output is for results.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._stream = sys.stdout

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return self._stream.write(text)
        if text.strip():
            _LOG.info("%s", text.strip())
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
