"""Codes beside the items: what `omnidex index --codes` and `--no-codes` do about them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .errors import Interrupted, UsageProblem
from .plain import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexer import Collection, IngestOptions
    from indexer.item_codes import CodesReport
    from omni_encoder.item_codes import Coder

CodesOption = Annotated[
    bool | None,
    typer.Option(
        "--codes/--no-codes",
        help="Also keep the codes of images, sounds and videos, which --rerank flow:K:W:s2 reads; "
        "remembered until --no-codes drops them. Without PATH, only codes are made or dropped.",
        show_default=False,
    ),
]


_OUTDATED = "outdated: of another model; omnidex index --codes makes them anew"
_ALWAYS = frozenset({"codes", "as_json", "collection"})
_OBEYED = frozenset({"threads", "batch_size", "file_seconds", "file_mb"})
"""What says how to make codes, where nothing else is done."""


class Coding:
    """What is to be done about a collection's codes after it has been indexed."""

    def __init__(self, collection: "Collection", wanted: bool | None, threads: int | None) -> None:
        """Find out.

        Args:
            collection: The collection.
            wanted: What was said; None leaves it as it is.
            threads: That the model uses.

        Raises:
            EncoderMismatchError: Codes are wanted, and another encoder made the collection.
        """
        self._collection, self._wanted, self._threads = collection, wanted, threads
        self._loaded: Coder | None = None
        self._told = False
        # Said again, it is what the next index does in any case: nothing need be loaded yet.
        self._again = bool(wanted) and _kept_by_this_model(collection)
        if wanted and not self._again:
            from indexer.item_codes import check_coder

            check_coder(collection, self._coder())  # now, and not after hours of indexing

    def bring_up_to_date(self, options: "IngestOptions | None" = None) -> "CodesReport | None":
        """Give codes to the items that lack them, or drop all; None if nothing had to be done.

        Raises:
            Interrupted: Ctrl-C; what was made is kept.
        """
        from indexer.item_codes import codes_due, codes_left, complete_codes, drop_codes, keep_codes
        from omni_encoder.item_codes import shipped_model

        if self._wanted is False:
            dropped = drop_codes(self._collection)
            render.note("Codes are dropped." if dropped else "There are no codes to drop.")
            self._wanted = None
            return None
        if not self._wanted and codes_left(self._collection):
            drop_codes(self._collection)  # a --no-codes was cut off
        if not self._wanted and not self._told and codes_state(self._collection) == "outdated":
            self._told = True  # once, however often a watch looks
            render.note(f"The codes are {_OUTDATED}.")
        if not self._wanted and not codes_due(self._collection):
            return None
        keep = keep_codes if self._wanted and not self._again else complete_codes
        self._wanted = None  # a second time, only what is due
        with self._collection, render.progress() as advance:
            try:
                return keep(
                    self._collection,
                    self._coder,
                    options=options,
                    progress=lambda done, total: advance("Coding", done, total),
                    model=shipped_model(),
                )
            except KeyboardInterrupt:
                raise Interrupted(
                    "Interrupted: the codes that were finished are kept; "
                    "the same command goes on from there."
                ) from None

    def _coder(self) -> "Coder":
        if self._loaded is None:
            from omni_encoder.flow_coder import FlowCoder

            self._loaded = FlowCoder.load(threads=self._threads)
        return self._loaded


def _kept_by_this_model(collection: "Collection") -> bool:
    from omni_encoder.item_codes import shipped_model

    setting = collection.codes
    return setting is not None and bool(setting.model) and setting.model == shipped_model()


def codes_state(collection: "Collection") -> str | None:
    """What is known of a collection's codes without looking at any.

    Returns:
        `outdated` if another model made them, `due` if items came or went since a pass looked,
        else `kept`; None if none are kept.
    """
    from indexer.item_codes import codes_due, codes_outdated
    from omni_encoder.item_codes import shipped_model

    if collection.codes is None:
        return None
    if codes_outdated(collection, shipped_model()):
        return "outdated"
    return "due" if codes_due(collection) else "kept"


def codes_words(collection: "Collection") -> str:
    """Whether codes are kept, in words; empty if not."""
    # What is due may be nothing: only the next pass looks.
    due = "kept; items have changed since, and the next omnidex index sees to theirs"
    words = {None: "", "kept": "kept", "due": due, "outdated": _OUTDATED}
    return words[codes_state(collection)]


def codes_json(report: "CodesReport | None") -> dict[str, object] | None:
    """What was done about codes, as it stands in JSON."""
    return None if report is None else asdict(report)


def print_codes(report: "CodesReport | None") -> None:
    """Say what was done about codes."""
    if report is None:
        return
    dropped = f", those of {report.dropped} gone dropped" if report.dropped else ""
    render.facts([("codes added", f"{report.added}{dropped}, {report.seconds:.1f} s")])
    if report.lacking:
        render.note(
            f"{counted(report.lacking, 'item')} lack codes: no file of theirs could be read as it "
            "was when it was indexed; omnidex index --codes tries again"
        )


def check_alone(modes: "Mapping[str, bool]") -> None:
    """Refuse what `--codes` or `--no-codes` can't be said with where no folder is named.

    Raises:
        UsageProblem: One of the modes is on.
    """
    for mode in (name for name, on in modes.items() if on):
        raise UsageProblem(
            f"--codes and --no-codes with {mode} need a folder or file to index",
            hint=f"name one, or leave {mode} out: --codes and --optimize may be run apart",
        )


def alone(
    context: typer.Context,
    directory: Path,
    wanted: bool,
    options: "IngestOptions",
    *,
    threads: int | None,
    as_json: bool,
) -> None:
    """`--codes` or `--no-codes` without a folder: only what is indexed already.

    Raises:
        UsageProblem: Options were given that say how to index.
    """
    obeyed = _OBEYED if wanted else frozenset[str]()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    idle = [
        "--" + name.rstrip("s" * (name in ("globs", "excludes"))).replace("_", "-")
        for name, source in sources.items()
        if name not in _ALWAYS | obeyed and source is not None and source.name == "COMMANDLINE"
    ]
    if idle:
        raise UsageProblem(
            f"{'--codes' if wanted else '--no-codes'} without a folder leaves "
            f"{', '.join(idle)} nothing to do",
            hint="leave that out, or name the folders to index too",
        )
    from indexer import Collection

    with Collection.open(directory) as opened:
        report = Coding(opened, wanted, threads).bring_up_to_date(options)
        if as_json:
            document = {"schema": render.SCHEMA, "collection": opened.place}
            render.write_json(document | {"codes": codes_json(report)})
        else:
            print_codes(report)
