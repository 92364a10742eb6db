"""Likelihood of a query beside candidates: no candidate's score depends on its company."""

import numpy as np
import pytest
import torch

from omni_encoder.codes import MediaCodec
from omni_encoder.errors import QueryError
from omni_encoder.flow_checkpoint import new_flow
from omni_encoder.flow_score import ScoreRule
from omni_encoder.generator import OmniGenerator
from omni_encoder.likelihood import query_likelihood
from omni_encoder.model import OmniEncoder, tiny_checkpoint
from omni_encoder.token_checkpoint import Tokenizers, towers_digest
from omni_encoder.tokenizer import MediaTokenizer, TokenizerConfig
from omni_encoder.train_token_data import deep_image
from omni_encoder.types import MediaItem, Modality

_RULE = ScoreRule(draws=2, batch=3)
_KINDS = [Modality.IMAGE, Modality.VIDEO, Modality.IMAGE, Modality.TEXT, Modality.AUDIO]


def _candidates(dim: int) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(len(_KINDS), dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def tiny_generator(tmp_path_factory: pytest.TempPathFactory) -> OmniGenerator:
    """A generator of images and texts with fresh weights."""
    path = tiny_checkpoint(tmp_path_factory.mktemp("likelihood") / "tiny.safetensors")
    encoder = OmniEncoder.load(path, name="tiny")
    side = encoder.network.config.vision.pixels
    deep = deep_image(encoder, torch.zeros(1, 3, side, side)).shape[-1]
    torch.manual_seed(0)
    config = TokenizerConfig(
        "image", deep=deep, patch=192, books=2, codes=8, width=12, vector=encoder.spec.dim
    )
    tokenizers = Tokenizers(
        {Modality.IMAGE: MediaTokenizer(config).eval()}, towers_digest(encoder.network), {}
    )
    flow = new_flow(encoder.network, tokenizers, inner=16, rank=2)
    return OmniGenerator(MediaCodec(encoder, tokenizers), flow)


@pytest.mark.parametrize(
    "query",
    [
        MediaItem(Modality.TEXT, "1 2"),
        MediaItem(Modality.IMAGE, np.full((40, 30, 3), 90, dtype=np.uint8)),
    ],
    ids=["text", "image"],
)
def test_a_score_is_the_same_in_any_company(
    tiny_generator: OmniGenerator, query: MediaItem
) -> None:
    candidates = _candidates(tiny_generator.codec.encoder.spec.dim)

    together = query_likelihood(tiny_generator, query, candidates, _KINDS, rule=_RULE)
    alone = [
        query_likelihood(tiny_generator, query, candidates[i : i + 1], [kind], rule=_RULE)[0]
        for i, kind in enumerate(_KINDS)
    ]

    assert np.isfinite(together).all()
    assert (together < 0).all()
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_of_a_text_that_is_too_long_the_beginning_counts(tiny_generator: OmniGenerator) -> None:
    candidates = _candidates(tiny_generator.codec.encoder.spec.dim)

    long, longer = (
        query_likelihood(
            tiny_generator, MediaItem(Modality.TEXT, text), candidates, _KINDS, rule=_RULE
        )
        for text in ("1 2 " * 100, "1 2 " * 100 + "3 " * 50)
    )

    np.testing.assert_array_equal(long, longer)


def test_a_video_or_uneven_lists_are_refused(tiny_generator: OmniGenerator) -> None:
    candidates = _candidates(tiny_generator.codec.encoder.spec.dim)
    video = MediaItem(Modality.VIDEO, np.zeros((2, 8, 8, 3), dtype=np.uint8))

    with pytest.raises(QueryError, match="video"):
        query_likelihood(tiny_generator, video, candidates, _KINDS)
    with pytest.raises(ValueError, match="modalities"):
        query_likelihood(tiny_generator, MediaItem(Modality.TEXT, "1"), candidates, _KINDS[:2])
