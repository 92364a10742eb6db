"""`omnidex index`: bring a collection up to date with some folders."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import coding, errors, render
from .errors import NOTHING_FOUND, Interrupted, UsageProblem
from .index_plan import check_roots, print_plan
from .index_report import count_files, print_report, report_json
from .index_watch import follow_folders
from .options import (
    CollectionOption,
    EncoderOption,
    JsonOption,
    ThreadsOption,
    collection_directory,
)
from .plain import counted
from .search_state import search_facts, search_json

if TYPE_CHECKING:
    from indexer import Collection, IngestReport, Progress
    from indexer.item_codes import CodesReport
    from omni_encoder import Encoder


def index(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Folders and files to index.", show_default=False),
    ] = None,
    *,
    encoder: EncoderOption = None,
    threads: ThreadsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Print what would happen; change nothing.")
    ] = False,
    globs: Annotated[
        list[str] | None,
        typer.Option(
            "--glob", "-g", metavar="PATTERN", help="Take only such files.", show_default=False
        ),
    ] = None,
    excludes: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", "-E", metavar="PATTERN", help="Pass over these.", show_default=False
        ),
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Look at hidden files and folders too.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Forget the files of a folder that is empty now, and many files at once; "
            "otherwise these count as a drive that is not mounted.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read files again that failed before.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--watch", help="Then follow the folders, until Ctrl-C.")
    ] = False,
    poll: Annotated[
        bool,
        typer.Option("--poll", help="With --watch: look for changes, for drives that tell none."),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=1, metavar="N", help="How many files to decode at once."),
    ] = 2,
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", min=1, metavar="N", help="How many items to encode at once."),
    ] = 16,
    file_seconds: Annotated[
        float,
        typer.Option(
            "--file-seconds",
            min=0.1,
            metavar="S",
            help="Give up on a file after so long for one part of it.",
        ),
    ] = 120.0,
    file_mb: Annotated[
        int,
        typer.Option("--file-mb", min=64, metavar="MB", help="Memory that decoding one may take."),
    ] = 4096,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            "--engine",
            help="Where to read and encode: here, or on a Ray cluster, "
            "whose machines must see the files at the same place.",
        ),
    ] = "local",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Index a whole home or drive without asking.")
    ] = False,
    codes: coding.CodesOption = None,
    optimize: Annotated[
        bool,
        typer.Option("--optimize", help="Afterwards, write what makes searching fast anew."),
    ] = False,
    recall: Annotated[
        float | None,
        typer.Option(
            "--recall",
            min=0.5,
            max=1.0,
            metavar="R",
            help="With --optimize: the share of the true 10 nearest that a fast search must find; "
            "0.99 at first.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Index folders and files: new and changed ones are encoded, vanished ones forgotten.

    A file that can't be read is skipped; `omnidex status --problems` lists it.
    Ctrl-C keeps what is finished, and the same command goes on from there.
    Patterns are those of .gitignore; a file .omnidexignore holds more of them.

    Example:
    omnidex index ~/Pictures ~/Music
    omnidex index ~/Pictures -E "*.gif" -E /private --dry-run
    omnidex index photos -c photos.omnidex --encoder open_clip:ViT-B-32/openai
    omnidex index --optimize --recall 0.995
    omnidex index ~/Pictures --codes
    omnidex index /mnt/photos --engine ray
    """
    modes = {"--dry-run": dry_run, "--watch": follow, "--optimize": optimize}
    _check_together(modes, recall=recall, poll=poll, engine=engine)
    if optimize and not paths and codes is None:
        _optimize(collection_directory(collection), recall, as_json=as_json)
        return
    from indexer import Engine, IngestOptions, Selection, ingest

    directory, file_bytes = collection_directory(collection), file_mb * 2**20
    limited = _are_given(context, "file_seconds", "file_mb") or None  # only a process has limits
    if codes is not None and not paths:
        coding.check_alone(modes)
        reading = IngestOptions(
            batch_items=batch_size,
            isolate=limited,
            file_seconds=file_seconds,
            file_bytes=file_bytes,
        )
        coding.alone(context, directory, codes, reading, threads=threads, as_json=as_json)
        return
    paths = _existing(paths)
    check_roots(paths, yes=yes)
    options = IngestOptions(
        prune=prune,
        retry_failed=retry_failed,
        selection=Selection(tuple(globs or ()), tuple(excludes or ()), hidden),
        decode_threads=jobs,
        batch_items=batch_size,
        isolate=limited,
        file_seconds=file_seconds,
        file_bytes=file_bytes,
        engine=Engine(engine),
        task_cpus=threads or 1,
    )
    if dry_run:
        print_plan(paths, directory, options, as_json=as_json)
        return
    opened, loaded = _open(directory, encoder_name(encoder), threads)
    coder = coding.Coding(opened, codes, threads)
    if engine == "ray":
        loaded = _for_tasks(opened, loaded, threads)
    if follow:
        follow_folders(paths, opened, loaded, options, coder, poll=poll, as_json=as_json)
        return
    with opened, render.progress() as advance:
        try:
            report = ingest(
                paths,
                opened,
                loaded,
                options=options,
                progress=lambda progress: _show(progress, advance),
            )
        except KeyboardInterrupt:
            kept = sum(opened.counts().values())
            kept_now = f"{counted(kept, 'item')} {'is' if kept == 1 else 'are'} kept"
            raise Interrupted(
                f"Interrupted: {kept_now} in {opened.place}; the same command goes on from there."
            ) from None
    if not as_json:  # before what may yet be interrupted
        print_report(report, opened)
    coded: CodesReport | None = None
    try:
        coded = coder.bring_up_to_date(options)
        if optimize:
            from indexer.maintenance import optimize as tidy

            tidy(opened, recall=recall)
    finally:  # whatever becomes of the codes, what was indexed is told
        if as_json:
            render.write_json(report_json(report, opened) | {"codes": coding.codes_json(coded)})
        else:
            coding.print_codes(coded)
    if not report.scanned:
        _say_nothing_found(paths, report, as_json=as_json)
        raise typer.Exit(NOTHING_FOUND)


def _existing(paths: Sequence[Path] | None) -> list[Path]:
    """The paths to index, all of which are there."""
    if not paths:
        raise UsageProblem("name a folder or file to index", hint="see: omnidex index --help")
    for path in paths:
        if not os.path.lexists(path):
            raise UsageProblem(
                f"there is no file or folder {path}",
                hint="if it is on another drive, see that it is mounted",
            )
    return list(paths)


def _are_given(context: typer.Context, *names: str) -> bool:
    """Whether any of some options was said."""
    sources = map(context.get_parameter_source, names)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


def encoder_name(given: str | None) -> str | None:
    """The encoder's name, with the path of a checkpoint of ours made absolute.

    A collection records the name, and is used from other folders too.
    """
    if given is None:
        return None
    family, _, rest = given.partition(":")
    return f"omni:{Path(rest).expanduser().absolute()}" if family == "omni" and rest else given


def _open(
    directory: Path, name: str | None, threads: int | None
) -> tuple["Collection", "Encoder | Callable[[], Encoder]"]:
    """Open the collection, or make one; its own encoder isn't loaded before it is needed."""
    from indexer import Collection
    from indexer.manifest import MANIFEST_NAME
    from omni_encoder import load_encoder
    from omni_encoder.registry import DEFAULT_ENCODER

    if not (directory / MANIFEST_NAME).exists():
        loaded = load_encoder(name or DEFAULT_ENCODER, threads=threads)
        return Collection.create(directory, loaded.spec, means=loaded.means), loaded
    opened = Collection.open(directory)
    recorded = opened.spec.name
    if name is not None and name != recorded:
        return opened, load_encoder(name, threads=threads)  # `ingest` checks it
    return opened, lambda: load_encoder(recorded, threads=threads)


def _for_tasks(
    opened: "Collection", loaded: "Encoder | Callable[[], Encoder]", threads: int | None
) -> "Callable[[], Encoder]":
    """What the tasks of a cluster load the encoder with, each for itself."""
    from omni_encoder import Encoder, load_encoder

    if isinstance(loaded, Encoder):
        opened.check_encoder(loaded.spec)
    return partial(load_encoder, opened.spec.name, threads=threads or 1)


def _check_together(
    modes: Mapping[str, bool], *, recall: float | None, poll: bool, engine: str
) -> None:
    """Refuse options that would do nothing beside the others."""
    if recall is not None and not modes["--optimize"]:
        raise UsageProblem("--recall does nothing alone", hint="add --optimize")
    if poll and not modes["--watch"]:
        raise UsageProblem("--poll says how to watch", hint="add --watch")
    if sum(modes.values()) > 1:
        raise UsageProblem(
            "--dry-run, --watch and --optimize can't be combined", hint="leave all but one out"
        )
    if engine == "ray" and modes["--watch"]:
        raise UsageProblem("--watch follows folders on one machine", hint="leave --engine out")


def _optimize(directory: Path, recall: float | None, *, as_json: bool) -> None:
    """Make the collection's cache anew, without looking at any file."""
    from indexer import Collection
    from indexer.maintenance import optimize as tidy

    with Collection.open(directory) as opened:
        tidy(opened, recall=recall)
        report, place = opened.cache_report(), opened.place
    if as_json:
        document = {"schema": render.SCHEMA, "collection": place}
        render.write_json(document | {"search": search_json(report)})
    else:
        render.facts([("collection", place), *search_facts(report)])


def _show(progress: "Progress", advance: render.Advance) -> None:
    from indexer import Phase

    what = {Phase.SCAN: "Looking", Phase.READ: "Encoding", Phase.FINISH: "Finishing"}
    total = None if progress.phase is Phase.SCAN else progress.total
    items = counted(progress.items, "item") if progress.items else ""
    advance(what[progress.phase], progress.done, total, items)


def _say_nothing_found(paths: Sequence[Path], report: "IngestReport", *, as_json: bool) -> None:
    """Say that there are no media, and that what was known of an empty folder is kept."""
    message = f"No media found in {', '.join(map(str, paths))}."
    hint = ""
    if report.spared:
        message += f" {count_files(report.spared)} that the collection knows of are kept."
        hint = "index with --prune to forget them"
    if as_json:
        errors.report(errors.Failure(message, hint, "nothing-found"), as_json=True)
    else:
        render.note(f"{message}\nHint: {hint}" if hint else message)
