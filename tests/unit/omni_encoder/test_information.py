"""What a query tells about candidates: no score depends on its company, and stored priors fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from omni_encoder.errors import QueryError
from omni_encoder.flow_coder import FlowCoder, code_fingerprint
from omni_encoder.flow_path import MetricPath
from omni_encoder.flow_score import ScoreRule, bound_integrand
from omni_encoder.generator import OmniGenerator
from omni_encoder.information import PRIOR_RULE, information, prior, text_codes
from omni_encoder.item_codes import Coder, ItemCodes
from omni_encoder.types import MediaItem, Modality
from tests.tiny_generator import write_tiny_generator

_RULE = ScoreRule(draws=2, batch=3)
_KINDS = [Modality.IMAGE, Modality.AUDIO, Modality.IMAGE, Modality.IMAGE, Modality.AUDIO]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> OmniGenerator:
    return write_tiny_generator(tmp_path_factory.mktemp("tiny")).load()


def _media(seed: int) -> list[MediaItem]:
    draw = np.random.default_rng(seed)
    return [
        MediaItem(kind, draw.integers(0, 255, size=(40, 30, 3), dtype=np.uint8))
        if kind is Modality.IMAGE
        else MediaItem(kind, draw.normal(size=50_000).astype(np.float32) / 9)
        for kind in _KINDS
    ]


@pytest.fixture(scope="module")
def coded(generator: OmniGenerator) -> list[ItemCodes]:
    return FlowCoder(generator, _RULE).encode(_media(0))


@pytest.mark.parametrize("score", ["s2", "s3"])
@pytest.mark.parametrize(
    "query",
    [
        MediaItem(Modality.TEXT, "1 2"),
        MediaItem(Modality.IMAGE, np.full((40, 30, 3), 90, dtype=np.uint8)),
        MediaItem(Modality.AUDIO, np.full(50_000, 0.1, dtype=np.float32)),
    ],
    ids=["text", "image", "audio"],
)
def test_a_score_is_the_same_in_any_company(
    generator: OmniGenerator, coded: list[ItemCodes], query: MediaItem, score: str
) -> None:
    assert score == "s2" or score == "s3"  # noqa: PLR1714 - so that a type checker knows
    together = information(generator, query, coded, _KINDS, score=score, rule=_RULE)
    alone = [
        information(generator, query, [codes], [kind], score=score, rule=_RULE)[0]
        for codes, kind in zip(coded, _KINDS, strict=True)
    ]
    turned = information(generator, query, coded[::-1], _KINDS[::-1], score=score, rule=_RULE)

    assert np.isfinite(together).all()
    assert len(np.unique(np.round(together, 2))) > 1
    # A score is a difference of some hundred nats each, in single precision.
    np.testing.assert_allclose(together, alone, atol=2e-2)
    np.testing.assert_allclose(together, turned[::-1], atol=2e-2)


def test_a_prior_is_the_same_in_any_batch(generator: OmniGenerator, coded: list[ItemCodes]) -> None:
    coder: Coder = FlowCoder(generator, _RULE)
    for item, kept in zip(_media(0), coded, strict=True):
        (alone,) = coder.encode([item])
        np.testing.assert_array_equal(alone.codes, kept.codes)
        assert alone.codes.shape == (64, 4 if item.modality is Modality.IMAGE else 2)
        assert alone.prior == pytest.approx(kept.prior, rel=1e-5)
        assert alone.bound == pytest.approx(kept.bound, rel=1e-5)
        assert kept.prior < 0


def test_the_prior_is_what_the_score_takes_off(
    generator: OmniGenerator, coded: list[ItemCodes]
) -> None:
    query = MediaItem(Modality.TEXT, "1 2")
    images = [codes for codes, kind in zip(coded, _KINDS, strict=True) if kind is Modality.IMAGE]
    kinds = [Modality.IMAGE] * len(images)
    bare = [ItemCodes(one.codes, 0.0, 0.0) for one in images]
    for score, measure in (("s2", "cross-entropy"), ("s3", "bound")):
        rule = ScoreRule(draws=2, batch=3, measure=measure)
        free = prior(generator, np.stack([one.codes for one in images]), Modality.IMAGE, rule=rule)
        np.testing.assert_allclose(
            information(generator, query, images, kinds, score=score, rule=_RULE),
            information(generator, query, bare, kinds, score=score, rule=_RULE) - free,
            atol=2e-2,
        )


def test_a_text_scores_the_same_in_any_company_and_nothing_tells_nothing(
    generator: OmniGenerator,
) -> None:
    texts = ["1", "1 2 3", " ".join("1234567890123456"), " ".join("12345678" * 4), "9 8 7"]
    query = MediaItem(Modality.TEXT, "1 2")
    coded, kinds = text_codes(generator, texts), [Modality.TEXT] * len(texts)
    together = information(generator, query, coded, kinds)

    assert [len(one.codes) for one in coded] == [2, 4, 17, 33, 4]  # each with its end
    for number, text in enumerate(texts):
        (one,) = text_codes(generator, [text])
        assert one.prior == pytest.approx(coded[number].prior, rel=1e-5)
        alone = information(generator, query, [one], [Modality.TEXT])
        np.testing.assert_allclose(alone, together[number], atol=2e-2)
    assert np.isfinite(together).all()
    assert len(np.unique(np.round(together, 3))) == len(texts)


def test_of_a_long_text_the_words_count_that_the_encoder_reads(generator: OmniGenerator) -> None:
    words = " ".join("12345678" * 8)
    longer, shorter = text_codes(generator, [f"{words} 9 9", words])

    np.testing.assert_array_equal(longer.codes, shorter.codes)
    assert longer.prior == shorter.prior
    assert len(longer.codes) == 62
    (empty,) = text_codes(generator, [""])
    assert len(empty.codes) == 1
    assert np.isfinite(empty.prior)


@pytest.mark.parametrize("score", ["s2", "s3"])
def test_a_video_is_the_mean_of_its_four_frames(generator: OmniGenerator, score: str) -> None:
    assert score == "s2" or score == "s3"  # noqa: PLR1714 - so that a type checker knows
    draw = np.random.default_rng(2)
    frames = draw.integers(0, 255, size=(7, 30, 40, 3), dtype=np.uint8)
    coder = FlowCoder(generator, _RULE)
    assert coder.modalities == (Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)
    items = [MediaItem(Modality.VIDEO, frames), MediaItem(Modality.IMAGE, frames[0])]
    video, picture = coder.encode(items)
    still = coder.encode([MediaItem(Modality.VIDEO, frames[:1])])[0]

    chosen = [
        one.codes
        for one in coder.encode([MediaItem(Modality.IMAGE, frames[n]) for n in (0, 2, 4, 6)])
    ]
    np.testing.assert_array_equal(video.codes, np.concatenate(chosen))
    np.testing.assert_array_equal(still.codes, np.tile(picture.codes, (4, 1)))
    query = MediaItem(Modality.TEXT, "1 2")
    kinds = [Modality.IMAGE, Modality.VIDEO, Modality.VIDEO]
    scores = information(generator, query, [picture, video, still], kinds, score=score, rule=_RULE)
    for one, kind, found in zip([picture, video, still], kinds, scores, strict=True):
        alone = information(generator, query, [one], [kind], score=score, rule=_RULE)
        np.testing.assert_allclose(alone, found, atol=2e-2)
    # The same picture four times differs from it only by what tells frames apart.
    assert abs(scores[2] - scores[0]) < 0.05 * abs(picture.prior)


def test_one_sound_is_as_good_as_its_first_block(generator: OmniGenerator) -> None:
    coder = FlowCoder(generator, _RULE)
    samples = np.random.default_rng(1).normal(size=90_000).astype(np.float32) / 9
    longer, shorter = (
        coder.encode([MediaItem(Modality.AUDIO, part)])[0] for part in (samples, samples[:40_960])
    )
    np.testing.assert_array_equal(longer.codes, shorter.codes)


def test_what_cannot_be_judged_is_refused(generator: OmniGenerator, coded: list[ItemCodes]) -> None:
    video = MediaItem(Modality.VIDEO, np.zeros((2, 8, 8, 3), dtype=np.uint8))
    with pytest.raises(QueryError, match="video"):
        information(generator, video, coded, _KINDS)
    with pytest.raises(QueryError, match="s3 can't judge texts"):
        information(
            generator,
            MediaItem(Modality.TEXT, "1"),
            text_codes(generator, ["2"]),
            [Modality.TEXT],
            score="s3",
        )
    with pytest.raises(ValueError, match="modalities"):
        information(generator, MediaItem(Modality.TEXT, "1"), coded, _KINDS[:2])


def test_the_fingerprint_tells_models_apart(generator: OmniGenerator, tmp_path: Path) -> None:
    other = write_tiny_generator(tmp_path, seed=1).load()
    assert FlowCoder(generator).fingerprint == code_fingerprint(generator)
    assert code_fingerprint(generator) != code_fingerprint(other)
    assert PRIOR_RULE.seed == 0


@pytest.mark.parametrize("exponent", [2.0, 4.0])
def test_the_mean_velocity_of_one_time_equals_that_of_many(exponent: float) -> None:
    torch.manual_seed(0)
    support = torch.ones(9, dtype=torch.bool)
    support[3] = False
    path = MetricPath(torch.randn(9, 4).double(), exponent=exponent, support=support)
    rows = 40
    at, clean = (torch.tensor([0, 1, 2, 4, 5, 6, 7, 8])[torch.randint(8, (rows,))] for _ in "ab")
    guess = torch.randn(rows, 9).double().masked_fill(~support, -torch.inf).log_softmax(dim=1)
    same = torch.full((rows,), 0.4, dtype=torch.float64)
    nearly = same.clone()
    nearly[-1] += 1e-12  # times that differ go the slow way

    torch.testing.assert_close(
        bound_integrand(path, at, clean, guess, same),
        bound_integrand(path, at, clean, guess, nearly),
        rtol=1e-6,
        atol=1e-9,
    )
