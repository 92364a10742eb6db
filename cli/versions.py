"""`omnidex history` and `omnidex restore`: earlier states of a collection."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from . import render
from .options import CollectionOption, JsonOption, collection_directory
from .plain import counted


def history(as_json: JsonOption = False, collection: CollectionOption = None) -> None:
    """List the states of a collection that `omnidex restore` can bring back.

    Each is what a run left behind. They are kept for seven days at least.

    Example:
    omnidex history
    """
    from indexer import Collection
    from indexer.maintenance import history as versions_of

    with Collection.open(collection_directory(collection)) as opened:
        versions = versions_of(opened)
    if as_json:
        listed = [
            {
                "version": one.number,
                "made": datetime.fromtimestamp(one.made, UTC).isoformat(),
                "items": one.items,
                "current": one.current,
            }
            for one in versions
        ]
        render.write_json({"schema": render.SCHEMA, "versions": listed})
        return
    columns = (
        render.Column("version", align="right"),
        render.Column("made"),
        render.Column("items", align="right"),
        render.Column(""),
    )
    render.table(
        columns,
        [
            [str(one.number), _local(one.made), str(one.items), "current" if one.current else ""]
            for one in versions
        ],
    )
    if not versions:
        render.note("Nothing has been indexed yet.")


def restore(
    version: Annotated[
        int,
        typer.Argument(min=1, help="A version that `omnidex history` lists.", show_default=False),
    ],
    as_json: JsonOption = False,
    collection: CollectionOption = None,
) -> None:
    """Bring back an earlier state of a collection; files on the disk stay as they are.

    The state that is left can be brought back too. The next `omnidex index` of a folder brings the
    collection up to date with it again.

    Example:
    omnidex restore 12
    """
    from indexer import Collection
    from indexer.maintenance import restore as bring_back

    with Collection.open(collection_directory(collection)) as opened:
        restored = bring_back(opened, version)
    if as_json:
        render.write_json(
            {
                "schema": render.SCHEMA,
                "version": version,
                "items": restored.items,
                "without_files": restored.without_files,
                "changed": restored.changed,
            }
        )
        return
    what = "is back" if restored.changed else "is the current one, so nothing was done"
    render.write(f"Version {version} {what}: {counted(restored.items, 'item')}.\n")
    if restored.without_files:
        render.note(
            f"Of {restored.without_files} of them no file is known; index the folders that hold"
            " the files again, and they belong together: omnidex index FOLDER"
        )


def _local(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().isoformat(" ", "seconds")
