"""Following folders: an ingest at the start, and another one whenever something has changed.

What the system says of changes is only a wake-up call. The same ingest as ever finds out what is
different, so a change that was not told, as on many network drives, is found by the next one.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from omni_encoder import CollectionError, Encoder, MediaError, OmniError

from .collection import Collection
from .ingest import ingest
from .scan import absolute
from .types import IngestOptions, IngestReport, Progress

_STEP_MS = 100
_TIMEOUT_MS = 1000


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How to follow folders.

    Attributes:
        quiet_s: A run begins when nothing has changed for so long,
        patience_s: or when something has been changing for so long.
        rescan_s: Even if nothing was told, a run begins after so long.
        retry_s: While another process writes to the collection, it is tried again after so long.
        poll: Look at every file now and then, instead of being told by the system.
    """

    quiet_s: float = 1.0
    patience_s: float = 30.0
    rescan_s: float = 900.0
    retry_s: float = 2.0
    poll: bool = False


def watch(
    roots: Sequence[Path],
    collection: Collection,
    encoder: Encoder | Callable[[], Encoder],
    *,
    options: IngestOptions | None = None,
    watching: WatchOptions | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Generator[IngestReport, None, None]:
    """Keep a collection up to date with some folders, until it is stopped.

    The encoder is loaded once, when it is needed first. Roots that go away later, such as drives
    that are unmounted, are left out until they are back.

    Args:
        roots: Files and folders, as for `ingest`.
        collection: Where the items go.
        encoder: As for `ingest`.
        options: How to ingest.
        watching: How to follow.
        stop: Ends the watch when it is set.
        progress: As for `ingest`.

    Yields:
        The report of each run; the first one catches up with what happened before.

    Raises:
        MediaError: A root doesn't exist at the start.
        OmniError: The system can't tell of changes.
    """
    watching = watching or WatchOptions()
    stop = stop or threading.Event()
    once = _Once(encoder)
    roots = [absolute(root) for root in roots]
    # Changes are collected from before the first run on, so none falls between the two.
    with _changes(roots, collection.directory, watching, stop) as wait:
        yield ingest(roots, collection, once.get, options=options, progress=progress)
        while wait():
            there = [root for root in roots if root.exists()]
            report = _patiently(
                lambda there=there: ingest(
                    there, collection, once.get, options=options, progress=progress
                ),
                watching,
                stop,
            )
            if report is not None:
                yield report


class _Once:
    """Loads an encoder when it is asked for first, and keeps it."""

    def __init__(self, source: Encoder | Callable[[], Encoder]) -> None:
        self._source = source
        self._loaded = source if isinstance(source, Encoder) else None

    def get(self) -> Encoder:
        if self._loaded is None:
            assert not isinstance(self._source, Encoder)
            self._loaded = self._source()
        return self._loaded


def _patiently(
    run: Callable[[], IngestReport], watching: WatchOptions, stop: threading.Event
) -> IngestReport | None:
    """Run as soon as nobody else writes; None if it was stopped, or a root has just gone away."""
    while not stop.is_set():
        try:
            return run()
        except MediaError:
            return None
        except CollectionError as error:
            if "being written" not in error.message:
                raise
            stop.wait(watching.retry_s)
    return None


@dataclass(slots=True)
class _Signals:
    """What the thread that listens and the one that waits tell each other."""

    woken: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    faults: list[Exception] = field(default_factory=list[Exception])


@contextmanager
def _changes(
    roots: Sequence[Path], own: Path, watching: WatchOptions, stop: threading.Event
) -> Generator[Callable[[], bool], None, None]:
    """Collect changes on a thread.

    Yields:
        What waits until there is a reason for a run: False when stopped.
    """
    signals = _Signals()
    thread = threading.Thread(
        target=_listen, args=(roots, own, watching, signals), name="watcher", daemon=True
    )
    thread.start()

    def wait() -> bool:
        waited = 0.0
        while not stop.is_set() and not signals.woken.wait(0.1):
            if signals.faults:
                raise OmniError(
                    f"can't follow {', '.join(map(str, roots))}: {signals.faults[0]}",
                    hint="add --poll, or index from time to time instead",
                ) from signals.faults[0]
            waited += 0.1
            if waited >= watching.rescan_s:
                break
        signals.woken.clear()
        return not stop.is_set()

    try:
        yield wait
    finally:
        signals.done.set()
        thread.join()


def _listen(roots: Sequence[Path], own: Path, watching: WatchOptions, signals: _Signals) -> None:
    import watchfiles

    def is_foreign(_: watchfiles.Change, path: str) -> bool:
        # A collection inside a root is written to by every run, which must not lead to the next.
        return not Path(path).is_relative_to(own)

    while not signals.done.is_set():
        there = [root for root in roots if root.exists()]
        if not there:
            signals.done.wait(watching.quiet_s)
            continue
        try:
            for changes in watchfiles.watch(
                *there,
                watch_filter=is_foreign,
                debounce=max(1, round(1000 * watching.patience_s)),
                step=max(_STEP_MS, round(1000 * watching.quiet_s)),
                stop_event=signals.done,
                rust_timeout=_TIMEOUT_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                force_polling=watching.poll or None,
            ):
                if changes:
                    signals.woken.set()
                if [root for root in roots if root.exists()] != there:
                    signals.woken.set()
                    break  # a root came or went: listen to those that are there
        except FileNotFoundError:
            continue  # a root went away just now
        except Exception as error:  # noqa: BLE001 - handed to the one who waits
            signals.faults.append(error)
            return
