"""The tokenizer of texts, as a checkpoint carries it."""

from tokenizers import Tokenizer

from .config import OmniConfig
from .errors import CheckpointError


def text_tokenizer(tokenizer: str, config: OmniConfig) -> Tokenizer:
    """The tokenizer of a checkpoint, cutting texts at the model's limit.

    Args:
        tokenizer: JSON of the tokenizers library.
        config: Of the checkpoint.

    Raises:
        CheckpointError: The tokenizers library can't read it.
    """
    try:
        made = Tokenizer.from_str(tokenizer)
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(
            f"the checkpoint's tokenizer can't be read: {error}",
            hint="it was altered; fetch it again",
        ) from error
    made.no_padding()
    made.enable_truncation(config.text_tokens)
    return made
