"""A dataset's folder: reads annotations, finds media, and says in one message what is missing."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from blake3 import blake3

from omni_encoder import OmniError

from ..protocol import Request


class DataFolder:
    """The folder of one dataset, and what was read from it."""

    def __init__(
        self, name: str, request: Request, *, layout: str, md5: Mapping[str, str] | None = None
    ) -> None:
        """Open it.

        Args:
            name: What the benchmark is called.
            request: Its `data` is the folder.
            layout: Which files must lie where, for messages.
            md5: Published MD5 sums of annotation files, by file name. A file that differs is read
                all the same, and the result says so: `checksums` has what was found.

        Raises:
            OmniError: There is no folder.
        """
        self._name = name
        self._layout = layout
        self._md5 = md5 or {}
        self._digest = blake3()
        self._found = 0
        self.missing: list[str] = []
        self.checksums: dict[str, bool] = {}
        if request.data is None or not request.data.is_dir():
            where = "no folder was named" if request.data is None else f"no folder {request.data}"
            raise OmniError(f"{name} has no data: {where}", hint=self._hint())
        self._root = request.data

    def text(self, *names: str) -> str:
        """The content of the first of some files that is there.

        Raises:
            OmniError: None of them is, or it isn't UTF-8.
        """
        path = self._first(*names)
        if path is None:
            raise OmniError(f"{self._name} needs {names[0]} in {self._root}", hint=self._hint())
        content = path.read_bytes()
        self._digest.update(path.name.encode() + b"\0" + content)
        if path.name in self._md5:
            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            self.checksums[path.name] = found == self._md5[path.name]
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.damaged(names[0], f"it isn't UTF-8 ({error})") from error

    def json(self, *names: str) -> object:
        """A JSON file, the first that is there.

        Raises:
            OmniError: None of them is, or it isn't JSON.
        """
        try:
            return json.loads(self.text(*names))
        except ValueError as error:
            raise self.damaged(names[0], str(error)) from error

    def lines(self, *names: str) -> Iterator[Mapping[str, object]]:
        """The objects of a JSONL file, the first that is there.

        Raises:
            OmniError: None of them is, or a line isn't a JSON object.
        """
        for number, line in enumerate(self.text(*names).splitlines(), 1):
            if not line.strip():
                continue
            try:
                row: object = json.loads(line)
            except ValueError as error:
                raise self.damaged(names[0], f"line {number}: {error}") from error
            yield self.mapping(row, names[0])

    def table(
        self, *names: str, columns: tuple[str, ...], header: bool = True, delimiter: str = ","
    ) -> list[dict[str, str]]:
        """The rows of a CSV file, the first that is there, by column.

        Args:
            names: File names.
            columns: Columns that it must have; without a header, all that it has.
            header: Whether the first line names the columns.
            delimiter: What stands between columns.

        Raises:
            OmniError: None of the files is there, or a column or a cell is missing.
        """
        content = io.StringIO(self.text(*names), newline="")
        reader = csv.DictReader(
            content, fieldnames=None if header else list(columns), delimiter=delimiter
        )
        rows: list[dict[str, str]] = []
        for number, row in enumerate(reader, 2 if header else 1):
            cells = cast("dict[str, str | None]", row)
            lacking = [column for column in columns if cells.get(column) is None]
            if lacking:
                raise self.damaged(names[0], f"line {number} has no {', '.join(lacking)}")
            rows.append({key: cells[key] or "" for key in columns})
        return rows

    def media(self, id: str, *names: str) -> Path | None:
        """The first of some files that is there; otherwise the id is noted as missing."""
        path = self._first(*names)
        if path is None:
            self.missing.append(id)
            return None
        self._found += 1
        self._digest.update(f"{names[0]}\0{path.stat().st_size}\0".encode())
        return path

    def check(self, *, may_vanish: bool) -> None:
        """Make sure that the media are there.

        Args:
            may_vanish: Whether some may be missing, as clips that were taken off the web are; then
                at least one must be there.

        Raises:
            OmniError: Media are missing.
        """
        if not self.missing or (may_vanish and self._found):
            return
        raise OmniError(
            f"{self._name}: {len(self.missing)} of {len(self.missing) + self._found} media are "
            f"missing in {self._root}, such as {self.missing[0]}",
            hint=self._hint(),
        )

    def digest(self) -> str:
        """Of everything that was read, and of the names and sizes of media."""
        return self._digest.hexdigest()

    def damaged(self, file: str, reason: str) -> OmniError:
        """The error that a file isn't as published."""
        return OmniError(f"{self._name}: {file} can't be read: {reason}", hint=self._hint())

    def mapping(self, value: object, file: str) -> Mapping[str, object]:
        """The value, if it is a JSON object.

        Raises:
            OmniError: It isn't.
        """
        if not isinstance(value, dict):
            raise self.damaged(file, f"{str(value)[:60]!r} is no object")
        return cast("dict[str, object]", value)

    def list(self, value: object, file: str) -> list[object]:
        """The value, if it is a JSON array.

        Raises:
            OmniError: It isn't.
        """
        if not isinstance(value, list):
            raise self.damaged(file, f"{str(value)[:60]!r} is no list")
        return cast("list[object]", value)

    def field(self, row: Mapping[str, object], key: str, file: str) -> object:
        """A field of a JSON object.

        Raises:
            OmniError: There is none.
        """
        if key not in row:
            raise self.damaged(file, f"{str(dict(row))[:60]} has no {key}")
        return row[key]

    def number(self, text: str, file: str) -> float:
        """A number in a cell.

        Raises:
            OmniError: It is none.
        """
        try:
            return float(text)
        except ValueError as error:
            raise self.damaged(file, f"{text!r} is no number") from error

    def _first(self, *names: str) -> Path | None:
        for name in names:
            path = self._root / name
            if path.is_file():
                return path
        return None

    def _hint(self) -> str:
        return f"put into the folder that --data names: {self._layout}"
