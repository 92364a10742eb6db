from pathlib import Path

import pytest

from omni_encoder import Modality, QueryError
from retrieval import Query, Term


def test_terms_are_made_of_texts_files_and_ids() -> None:
    text = Term.text("a dog", weight=2.0)
    file = Term.file(Modality.AUDIO, Path("bark.wav"))
    like = Term.like("3f2a")

    assert (text.modality, text.content, text.weight) == (Modality.TEXT, "a dog", 2.0)
    assert (file.modality, file.content, file.weight) == (Modality.AUDIO, Path("bark.wav"), 1.0)
    assert (like.modality, like.content) == (None, "3f2a")


@pytest.mark.parametrize("weight", [0.0, float("nan"), float("inf")])
def test_a_weight_is_finite_and_not_zero(weight: float) -> None:
    with pytest.raises(ValueError, match="a weight must be finite and not 0"):
        Term.text("a dog", weight=weight)


def test_blank_terms_and_queries_without_terms_are_query_errors() -> None:
    with pytest.raises(QueryError, match="blank"):
        Term.text(" \n")
    with pytest.raises(QueryError, match="at least one term"):
        Query(())


def test_a_text_file_is_no_file_term() -> None:
    with pytest.raises(ValueError, match=r"use Term\.text"):
        Term.file(Modality.TEXT, Path("notes.txt"))


def test_a_query_wants_at_least_one_hit_and_one_modality() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        Query((Term.text("a"),), k=0)
    with pytest.raises(ValueError, match="modalities must be None or name at least one"):
        Query((Term.text("a"),), modalities=())
