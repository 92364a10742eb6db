"""The tokenizer of texts, as a checkpoint carries it."""

from tokenizers import Tokenizer

from .config import OmniConfig


def text_tokenizer(tokenizer: str, config: OmniConfig) -> Tokenizer:
    """The tokenizer of a checkpoint, cutting texts at the model's limit.

    Args:
        tokenizer: JSON of the tokenizers library.
        config: Of the checkpoint.
    """
    made = Tokenizer.from_str(tokenizer)
    made.no_padding()
    made.enable_truncation(config.text_tokens)
    return made
