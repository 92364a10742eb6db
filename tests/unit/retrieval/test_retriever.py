import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, ingest
from indexer.where import FileFilter
from omni_encoder import (
    Encoder,
    EncoderError,
    EncoderMismatchError,
    MediaError,
    Modality,
    QueryError,
)
from retrieval import Query, Retriever, Term
from retrieval.reference import Cohort, Reference
from tests.toy import ToyEncoder

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 30, 230)}


def write_image(path: Path, colour: tuple[int, int, int], seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(-15, 15, size=(40, 40, 3))
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of each colour, a short text about each, and a long text of many passages."""
    folder = tmp_path_factory.mktemp("media")
    for seed, (name, colour) in enumerate(COLOURS.items()):
        write_image(folder / f"{name}.png", colour, seed=seed)
        write_image(folder / f"{name}-again.png", colour, seed=seed + 10)
        (folder / f"about-{name}.txt").write_text(f"something {name} to look at")
    sentences = [f"The harbour number {i} is full of ships and of gulls." for i in range(200)]
    (folder / "harbours.txt").write_text(" ".join(sentences))
    return folder


@pytest.fixture(scope="module")
def directory(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = ToyEncoder()
    directory = tmp_path_factory.mktemp("collections") / "small"
    with Collection.create(directory, encoder.spec) as collection:
        report = ingest([folder], collection, encoder)
    assert not report.failed
    return directory


@pytest.fixture
def retriever(directory: Path) -> Iterator[Retriever]:
    with Retriever.open(directory, encoder=ToyEncoder()) as retriever:
        yield retriever


def names(retriever: Retriever, *terms: Term, **options: object) -> list[str]:
    hits = retriever.search(Query(terms, **options))
    return [hit.record.paths[0].name for hit in hits]


def id_of(retriever: Retriever, name: str) -> str:
    hits = retriever.search(Query((Term.text("x"),), k=100, all_parts=True))
    return next(hit.record.id for hit in hits if hit.record.paths[0].name == name)


def test_a_text_finds_the_text_that_says_the_same(retriever: Retriever) -> None:
    hits = retriever.search(Query((Term.text("something red to look at"),), k=3))

    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert hits[0].record.paths[0].name == "about-red.txt"
    assert hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert hits[0].score >= hits[1].score >= hits[2].score


def test_a_file_finds_itself_and_then_its_like(retriever: Retriever, folder: Path) -> None:
    term = Term.file(Modality.IMAGE, folder / "blue.png")

    assert names(retriever, term, k=2) == ["blue.png", "blue-again.png"]


def test_scores_are_cosines_after_each_side_lost_its_mean(
    retriever: Retriever, directory: Path
) -> None:
    encoder, text = ToyEncoder(), "something green"
    hits = retriever.search(Query((Term.text(text),), k=1000, all_parts=True))

    with Collection.open(directory) as collection:
        vectors = np.stack([collection.vector_of(hit.record.id) for hit in hits]).astype(float)
    kinds = np.array([hit.record.modality for hit in hits])
    query = embed(encoder, text)
    for kind in (Modality.TEXT, Modality.IMAGE):
        chosen = kinds == kind
        mean = vectors[chosen].sum(axis=0) / (chosen.sum() + 64)
        vectors[chosen] -= mean
        query = query - mean if kind is Modality.TEXT else query
    expected = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    np.testing.assert_allclose([hit.score for hit in hits], expected, atol=2e-3)
    assert len(hits) == sum(collection.counts().values())


def embed(encoder: Encoder, text: str) -> np.ndarray:
    from retrieval.embed import embed_texts

    return embed_texts([text], encoder)[0].astype(float)


def test_a_file_comes_once_with_its_best_part_unless_all_parts_are_wanted(
    retriever: Retriever,
) -> None:
    term = Term.text("harbour full of ships and gulls")

    once = names(retriever, term, k=8, modalities=(Modality.TEXT,))
    parts = retriever.search(Query((term,), k=8, all_parts=True))
    best = retriever.search(Query((term,), k=1))

    assert once == list(dict.fromkeys(once))
    assert len(once) == 4
    assert {hit.record.paths[0].name for hit in parts} == {"harbours.txt"}
    assert len({hit.record.part for hit in parts}) == 8
    assert best[0].record.id == parts[0].record.id


def test_like_needs_no_encoder_and_never_finds_the_item_itself(directory: Path) -> None:
    def load() -> Encoder:
        raise AssertionError("the encoder must not be loaded")

    with Retriever.open(directory, encoder=ToyEncoder()) as known:
        red, harbour = id_of(known, "red.png"), id_of(known, "harbours.txt")
    with Retriever(Collection.open(directory), load) as retriever:
        assert names(retriever, Term.like(red), k=1) == ["red-again.png"]
        files = names(retriever, Term.like(harbour), k=100)
        parts = retriever.search(Query((Term.like(harbour),), k=1000, all_parts=True))
        items = sum(retriever.collection.counts().values())

    assert "harbours.txt" not in files
    assert len(files) == 9
    assert parts[0].record.paths[0].name == "harbours.txt"
    assert harbour not in {hit.record.id for hit in parts}
    assert len(parts) == items - 1


@pytest.mark.parametrize("all_parts", [False, True])
def test_the_lines_of_a_list_are_hits_of_their_own(tmp_path: Path, *, all_parts: bool) -> None:
    (tmp_path / "media").mkdir()
    lines = [json.dumps({"text": text}) for text in ("a red bus", "red buses", "a grey harbour")]
    (tmp_path / "media" / "captions.jsonl").write_text("\n".join(lines) + "\n")
    encoder = ToyEncoder()
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([tmp_path / "media"], collection, encoder)

    with Retriever.open(tmp_path / "collection", encoder=encoder) as retriever:
        hits = retriever.search(Query((Term.text("a red bus"),), all_parts=all_parts))
        bus = Term.like(hits[0].record.id)
        others = retriever.search(Query((bus,), all_parts=all_parts))

    assert hits[0].record.part == 0
    assert sorted(hit.record.part for hit in hits) == [0, 1, 2]
    assert sorted(hit.record.part for hit in others) == [1, 2]


def test_terms_are_mixed_by_their_weights(retriever: Retriever, folder: Path) -> None:
    red, blue = (Term.file(Modality.IMAGE, folder / f"{name}.png") for name in ("red", "blue"))
    images = {"modalities": (Modality.IMAGE,), "k": 6}

    mostly_red = names(
        retriever, Term.file(Modality.IMAGE, folder / "red.png", weight=5.0), blue, **images
    )
    mostly_blue = names(
        retriever, red, Term.file(Modality.IMAGE, folder / "blue.png", weight=5.0), **images
    )
    away = names(
        retriever, red, Term.file(Modality.IMAGE, folder / "blue.png", weight=-1.0), **images
    )

    assert mostly_red[0].startswith("red")
    assert mostly_blue[0].startswith("blue")
    assert set(away[-2:]) == {"blue.png", "blue-again.png"}


def test_equal_weights_of_any_size_give_the_same_scores(retriever: Retriever) -> None:
    def scores(weight: float) -> list[float]:
        terms = (Term.text("red", weight=weight), Term.text("ships", weight=weight))
        return [hit.score for hit in retriever.search(Query(terms))]

    np.testing.assert_allclose(scores(0.01), scores(7.0), atol=1e-5)


def test_a_filter_on_paths_shows_only_paths_that_fit_it(tmp_path: Path) -> None:
    (tmp_path / "media" / "keep").mkdir(parents=True)
    (tmp_path / "media" / "trash").mkdir()
    for folder in ("keep", "trash"):
        write_image(tmp_path / "media" / folder / "red.png", (220, 20, 20))
    encoder = ToyEncoder()
    with Collection.create(tmp_path / "collection", encoder.spec) as collection:
        ingest([tmp_path / "media"], collection, encoder)

    with Retriever.open(tmp_path / "collection", encoder=encoder) as retriever:
        (hit,) = retriever.search(Query((Term.text("red"),), where="path LIKE '%/trash/%'"))

    assert hit.record.paths == (tmp_path / "media" / "trash" / "red.png",)


def test_modalities_and_filters_choose_before_the_search(retriever: Retriever) -> None:
    term = Term.text("something green")

    images = names(retriever, term, modalities=(Modality.IMAGE,), k=100)
    filtered = names(retriever, term, where="path LIKE '%again%'", k=100)

    assert len(images) == 6
    assert all(name.endswith(".png") for name in images)
    assert sorted(filtered) == ["blue-again.png", "green-again.png", "red-again.png"]
    assert names(retriever, term, where="width > 5000") == []


def test_another_encoder_is_refused_before_anything_is_searched(directory: Path) -> None:
    other = ToyEncoder(seed=1)

    with pytest.raises(EncoderMismatchError):
        Retriever.open(directory, encoder=other)
    with (
        Retriever(Collection.open(directory), lambda: other) as retriever,
        pytest.raises(EncoderMismatchError),
    ):
        retriever.search(Query((Term.text("red"),)))


def test_an_encoder_is_loaded_by_the_name_given_or_recorded(directory: Path) -> None:
    for options in ({"encoder_name": "no-such"}, {}):  # the recorded name is `toy`
        with (
            Retriever.open(directory, **options) as retriever,
            pytest.raises(EncoderError, match=r"no encoder called '(no-such|toy)'"),
        ):
            retriever.search(Query((Term.text("red"),)))


def test_an_encoder_is_loaded_once(directory: Path) -> None:
    loaded: list[Encoder] = []

    def load() -> Encoder:
        loaded.append(ToyEncoder())
        return loaded[-1]

    with Retriever(Collection.open(directory), load) as retriever:
        retriever.search(Query((Term.text("red"), Term.text("blue"))))
        retriever.search(Query((Term.text("green"),)))

    assert len(loaded) == 1


def test_queries_that_cannot_be_answered_say_why(
    retriever: Retriever, folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes((folder / "red.png").read_bytes()[:300])

    with pytest.raises(QueryError, match="cancel each other out"):
        names(retriever, Term.text("red"), Term.text("red", weight=-1.0))
    with pytest.raises(QueryError, match="holds image, not audio"):
        names(retriever, Term.file(Modality.AUDIO, folder / "red.png"))
    with pytest.raises(QueryError, match="ffff"):
        names(retriever, Term.like("ffffffff"))
    with pytest.raises(QueryError):
        names(retriever, Term.text("red"), where="nonsense =")
    with pytest.raises(MediaError):
        names(retriever, Term.file(Modality.IMAGE, broken))


def test_an_empty_collection_has_no_hits(tmp_path: Path) -> None:
    encoder = ToyEncoder()
    Collection.create(tmp_path / "empty", encoder.spec).close()

    with Retriever.open(tmp_path / "empty", encoder=encoder) as retriever:
        assert retriever.search(Query((Term.text("red"),))) == []


def test_unrelated_items_are_expected_only_among_those_that_a_filter_leaves(
    directory: Path, folder: Path
) -> None:
    encoder = ToyEncoder()
    rows = np.random.default_rng(0).standard_normal((300, encoder.spec.dim))
    unrelated = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    cohort = Cohort(unrelated, np.arange(300))
    cohorts = {Modality.TEXT: cohort, Modality.IMAGE: cohort}
    reference = Reference(encoder.spec.fingerprint, cohorts, {})

    with Retriever(Collection.open(directory), lambda: encoder, reference=reference) as retriever:

        def expected(**options: object) -> float:
            term = Term.like(id_of(retriever, "red.png"))
            hit = retriever.search(Query((term,), modalities=(Modality.IMAGE,), **options))[-1]
            assert hit.judgement is not None
            share = 1 - hit.judgement.percentile / 100
            assert share > 0.01
            return hit.judgement.expected / share  # as many items as were searched

        assert expected() == pytest.approx(6)
        assert expected(where="true") == pytest.approx(6)
        assert expected(where="path LIKE '%again%'") == pytest.approx(3)
        assert expected(where="path NOT LIKE '%again%'") == pytest.approx(3)
        assert expected(files=FileFilter(folders=(folder,))) == pytest.approx(6)
