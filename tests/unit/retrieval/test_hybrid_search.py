"""Search by words and vectors together, through the retriever, over a real collection."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Collection, FileFilter, ingest
from omni_encoder import Modality
from retrieval import Hit, Hybrid, Query, Retriever, Term
from tests.toy import ToyEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures: six with a caption, six with a name that says nothing; and two texts."""
    folder = tmp_path_factory.mktemp("media")
    generator = np.random.default_rng(0)
    for number in range(12):
        pixels = generator.integers(0, 255, size=(40, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        if number % 2:
            (folder / f"{number}.txt").write_text(f"a heron by the lake, number {number}")
    (folder / "SunsetPier.png").write_bytes((folder / "0.png").read_bytes())
    sentences = [f"Chapter {n} is about bread and about nothing else." for n in range(40)]
    sentences[30] = "Only here a velvet curtain is mentioned."
    (folder / "book.md").write_text(" ".join(sentences))
    (folder / "list.jsonl").write_text('{"text": "a velvet glove"}\n{"text": "a velvet hat"}\n')
    return folder


@pytest.fixture(scope="module")
def directory(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = ToyEncoder()
    directory = tmp_path_factory.mktemp("collections") / "small"
    with Collection.create(directory, encoder.spec) as collection:
        assert not ingest([folder], collection, encoder).failed
    return directory


@pytest.fixture
def retriever(directory: Path) -> Iterator[Retriever]:
    with Retriever.open(directory, encoder=ToyEncoder()) as retriever:
        yield retriever


def search(retriever: Retriever, *terms: Term | str, **options: object) -> list[Hit]:
    options = {"hybrid": Hybrid(), "k": 100} | options
    made = tuple(Term.text(term) if isinstance(term, str) else term for term in terms)
    return retriever.search(Query(made, **options))  # pyright: ignore[reportArgumentType]


def names(hits: list[Hit]) -> list[str]:
    return [hit.record.paths[0].name for hit in hits]


def test_words_that_nothing_holds_leave_everything_as_it_is(retriever: Retriever) -> None:
    plain = search(retriever, "zebra xylophone", hybrid=None)
    hybrid = search(retriever, "zebra xylophone")

    assert [(h.record.id, h.score) for h in hybrid] == [(h.record.id, h.score) for h in plain]
    assert [hit.vector_rank for hit in hybrid] == [hit.rank for hit in hybrid]
    assert all(hit.text_rank is None for hit in hybrid)


def test_a_word_that_matches_nothing_changes_no_rank_of_the_matches(retriever: Retriever) -> None:
    ranks = {h.record.id: h.text_rank for h in search(retriever, "velvet zebra")}

    assert {id for id, rank in ranks.items() if rank} == {
        hit.record.id for hit in search(retriever, "velvet") if hit.text_rank
    }


def test_hits_say_where_they_came_from_and_scores_stay_cosines(retriever: Retriever) -> None:
    plain = {h.record.id: h for h in search(retriever, "heron lake", hybrid=None, all_parts=True)}
    hits = search(retriever, "heron lake")

    matched = [hit for hit in hits if hit.text_rank is not None]
    assert sorted(names(matched)) == sorted(f"{n}.png" for n in range(1, 12, 2))
    assert sorted(hit.text_rank or 0 for hit in matched) == list(range(1, 7))
    for hit in hits:
        assert hit.score == pytest.approx(plain[hit.record.id].score, abs=1e-6)


def test_pictures_without_words_keep_their_places(retriever: Retriever) -> None:
    plain = search(retriever, "heron lake", hybrid=None, modalities=(Modality.IMAGE,))
    hits = search(
        retriever, "heron lake", modalities=(Modality.IMAGE,), hybrid=Hybrid(weight=1000.0)
    )

    places = {hit.record.id: hit.rank for hit in hits}
    for hit in plain:
        if hit.record.caption is None:
            assert places[hit.record.id] <= 2 * hit.rank - 1


def test_file_names_are_words_too_and_follow_a_rename(retriever: Retriever, folder: Path) -> None:
    hits = search(retriever, "sunset")
    matched = [hit for hit in hits if hit.text_rank]

    assert [sorted(path.name for path in hit.record.paths) for hit in matched] == [
        ["0.png", "SunsetPier.png"]
    ]
    moved = folder / "Harbour.png"
    (folder / "SunsetPier.png").rename(moved)
    try:
        with Collection.open(retriever.collection.directory) as collection:
            ingest([folder], collection, ToyEncoder())
        assert not [hit for hit in search(retriever, "sunset") if hit.text_rank]
        assert [hit for hit in search(retriever, "harbour") if hit.text_rank]
    finally:
        moved.rename(folder / "SunsetPier.png")
        with Collection.open(retriever.collection.directory) as collection:
            ingest([folder], collection, ToyEncoder())


def test_a_phrase_finds_the_part_of_a_long_text_that_says_it(retriever: Retriever) -> None:
    hits = search(retriever, '"velvet curtain"')
    matched = [hit for hit in hits if hit.text_rank]

    assert names(matched) == ["book.md"]
    assert "velvet curtain" in (matched[0].record.text or "")
    parts = search(retriever, '"velvet curtain"', all_parts=True)
    assert len([hit for hit in parts if hit.text_rank]) == 1
    lines = [hit for hit in search(retriever, "velvet") if hit.text_rank]
    assert sorted(names(lines)) == ["book.md", "list.jsonl", "list.jsonl"]


def test_filters_and_kinds_hold_for_words_too(retriever: Retriever, folder: Path) -> None:
    some = search(retriever, "heron", where="caption LIKE '%number 3%'")
    texts = search(retriever, "heron velvet", modalities=(Modality.TEXT,))
    one = search(retriever, "heron", files=FileFilter(folders=(folder / "5.png",)))

    assert names(some) == ["3.png"]
    assert {hit.record.modality for hit in texts} == {Modality.TEXT}
    assert names(one) == ["5.png"]


def test_the_first_hits_are_the_same_however_many_are_asked_for(retriever: Retriever) -> None:
    few, many = (search(retriever, "a heron by the sunset", k=k) for k in (3, 12))

    assert [(h.record.id, h.rank) for h in few] == [(h.record.id, h.rank) for h in many[:3]]


def test_an_item_that_is_asked_by_is_not_found_by_its_words(retriever: Retriever) -> None:
    own = next(hit for hit in search(retriever, "heron") if hit.text_rank == 1).record

    hits = search(retriever, "heron", Term.like(own.id))

    assert own.id not in {hit.record.id for hit in hits}
    only = search(retriever, Term.like(own.id))
    assert all(hit.text_rank is None for hit in only)
    unwanted = search(retriever, "velvet", Term.text("heron", weight=-0.5))
    assert {Path(name).suffix for name in names([h for h in unwanted if h.text_rank])} == {
        ".md",
        ".jsonl",
    }


def test_the_cached_path_with_words_imports_neither_lance_nor_torch(directory: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.toy import ToyEncoder\n"
        "from retrieval import Hybrid, Query, Retriever, Term\n"
        f"with Retriever.open(Path({str(directory)!r}), encoder=ToyEncoder()) as one:\n"
        "    hits = one.search(Query((Term.text('heron'),), hybrid=Hybrid()))\n"
        "assert any(hit.text_rank for hit in hits)\n"
        "print(sorted({'lancedb', 'pyarrow', 'torch'} & set(sys.modules)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.stdout == "[]\n", ended.stderr
