"""Errors that a user can put right, each with a hint that says how."""


class OmniError(Exception):
    """Something the user can put right.

    Attributes:
        message: What went wrong, one sentence.
        hint: What to do about it, one sentence or a command; empty when the message says it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class MediaError(OmniError):
    """A file can't be decoded. `reason` is a short stable code, such as `truncated` or `empty`."""

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class EncoderError(OmniError):
    """An encoder can't be loaded, or can't encode what it was given."""


class CheckpointError(EncoderError):
    """A checkpoint is missing, damaged, of another format or of another size."""


class CollectionError(OmniError):
    """A collection is missing, damaged, locked by another process, or of another format."""


class EncoderMismatchError(CollectionError):
    """A collection was built with another encoder, whose vectors can't be mixed with these."""


class QueryError(OmniError):
    """A query can't be answered as asked: an unknown id, a malformed filter, no terms."""
