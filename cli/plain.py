"""Text that is safe to show, whatever it holds."""


def printable(text: str) -> str:
    """The text without what could confuse a terminal or a table.

    Control characters, line breaks and bytes that are not UTF-8 are shown as escapes.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def counted(count: int, noun: str) -> str:
    """So many of something, in words: `1 item`, `2 items`."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
