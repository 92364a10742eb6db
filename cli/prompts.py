"""Prompts on a command line: words and @FILEs, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UsageProblem
from .parts import utf8

if TYPE_CHECKING:
    from omni_encoder import MediaItem, Modality

_KINDS = ("text", "image", "audio", "video")


def kind_named(name: str) -> "Modality":
    """The kind of media of that name.

    Raises:
        UsageProblem: There is none.
    """
    if name not in _KINDS:
        close = get_close_matches(name, _KINDS, n=1)
        hint = f"did you mean {close[0]}?" if close else "text, image, audio or video"
        raise UsageProblem(f"there is no kind called {name!r}", hint=hint)
    from omni_encoder import Modality

    return Modality(name)


@dataclass(frozen=True, slots=True)
class Given:
    """An item of a prompt.

    Attributes:
        item: What it is.
        source: Its text, or the name of its file.
    """

    item: "MediaItem"
    source: str


def prompt_items(parts: Sequence[str]) -> list[Given]:
    """Words and files as items, in order; words side by side are one text.

    Of a file its first part counts: a passage, 10 s of a video or sound.

    Args:
        parts: `@FILE` is a file, `@@` an @, all else words.

    Raises:
        UsageProblem: A file is not there, a text isn't UTF-8, or nothing is left.
        MediaError: A file can't be decoded.
    """
    from omni_encoder import MediaItem, Modality

    items: list[Given] = []
    words: list[str] = []

    def close() -> None:
        text = utf8(" ".join(words), what="the text").strip()
        words.clear()
        if text:
            items.append(Given(MediaItem(Modality.TEXT, text), text))

    for part in parts:
        if part.startswith("@") and not part.startswith("@@"):
            close()
            items.append(file_item(Path(part[1:])))
        else:
            words.append(part[1:] if part.startswith("@@") else part)
    close()
    if not items:
        raise UsageProblem("there is nothing to start from", hint="give words, or @FILE")
    return items


def file_item(path: Path, kind: str | None = None) -> Given:
    """The first part of a file.

    Args:
        path: The file.
        kind: What it must be, if anything.

    Raises:
        UsageProblem: It is not there, or of another kind.
        MediaError: It can't be decoded.
    """
    if not path.is_file():
        raise UsageProblem(f"there is no file {path}", hint="name a picture, sound, video or text")
    from omni_encoder import MediaLayout
    from omni_encoder.media import open_media

    item = next(iter(open_media(path, MediaLayout())[1]))
    if kind is not None and item.modality != kind:
        raise UsageProblem(f"{path} is {item.modality}", hint=f"give it as --{item.modality}")
    return Given(item, str(path))
