"""What the commands that ask take alike: the parts of a query, and where and how it is searched."""

from pathlib import Path
from typing import Annotated

import typer

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUERY",
        help="Words to search for, joined to one text; - reads them from stdin.",
        show_default=False,
    ),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="TEXT", help="A text to search for.", show_default=False),
]
ImageOption = Annotated[
    list[Path] | None,
    typer.Option("--image", metavar="FILE", help="An image file.", show_default=False),
]
AudioOption = Annotated[
    list[Path] | None,
    typer.Option("--audio", metavar="FILE", help="An audio file.", show_default=False),
]
VideoOption = Annotated[
    list[Path] | None,
    typer.Option("--video", metavar="FILE", help="A video file.", show_default=False),
]
LikeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--like",
        metavar="ID-or-FILE",
        help="An item of the collection, by its id or an indexed file.",
        show_default=False,
    ),
]
NotOption = Annotated[
    list[str] | None,
    typer.Option(
        "--not",
        metavar="TEXT",
        help="What hits should not be like: a text, or image:FILE, audio:FILE, video:FILE, "
        "like:ID.",
        show_default=False,
    ),
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="KIND=W",
        help="How much parts of a kind count: text, image, audio, video, like (1 if not said) "
        "or not (0.3).",
        show_default=False,
    ),
]
ComposeOption = Annotated[
    str,
    typer.Option(
        "--compose",
        metavar="HOW",
        help="How parts become one query: arithmetic adds their vectors, joint lets the model "
        "read them together.",
    ),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="KINDS",
        help="What to find: any of text, image, audio, video, with commas between.",
        show_default=False,
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="SQL",
        help="Only items that fulfil this, such as width > 1000.",
        show_default=False,
    ),
]
ExactOption = Annotated[
    bool, typer.Option("--exact", help="Compare every item; large collections take longer.")
]
