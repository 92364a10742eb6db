from collections.abc import Sequence

import numpy as np
import pytest

from omni_encoder import Modality, QueryError
from retrieval.compose import Arithmetic, EncodedPart, Joint
from tests.toy import ToyEncoder

DIM = 8
MEAN = np.full(DIM, 0.1, dtype=np.float32)


def centre(vector: np.ndarray, modality: Modality) -> np.ndarray:
    shifted = vector - MEAN
    return (shifted / np.linalg.norm(shifted)).astype(np.float32)


def part(seed: int, weight: float = 1.0, text: str | None = None) -> EncodedPart:
    row = np.random.default_rng(seed).standard_normal(DIM)
    row = (row / np.linalg.norm(row)).astype(np.float32)
    return EncodedPart(Modality.TEXT if text else Modality.IMAGE, row, weight, text=text)


class Reader(ToyEncoder):
    """Reads a sequence as the vector of its number of parts, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Sequence[object]] = []

    def encode_joint(self, sequences: Sequence[Sequence[str | np.ndarray]]) -> np.ndarray:
        self.read += sequences
        return np.eye(DIM, dtype=np.float32)[[len(sequence) for sequence in sequences]]


def test_arithmetic_is_the_weighted_sum_of_centred_vectors() -> None:
    parts = [part(0, 2.0), part(1), part(2, -0.5)]
    expected = sum(p.weight * centre(p.vector, p.modality).astype(float) for p in parts)

    composed = Arithmetic(centre).compose(parts)

    np.testing.assert_allclose(composed, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("composer", [Arithmetic(centre), Joint(centre, Reader())])
def test_a_part_alone_is_its_own_centred_vector_however_it_is_composed(
    composer: Arithmetic | Joint,
) -> None:
    alone = part(3, 2.0, "words")

    np.testing.assert_allclose(
        composer.compose([alone]), centre(alone.vector, alone.modality), atol=1e-6
    )


def test_wanted_parts_of_one_weight_are_read_in_order_and_the_rest_is_added() -> None:
    reader = Reader()
    parts = [part(0, 1.0, "at night"), part(1), part(2, -1.0, "people"), part(3, 3.0)]

    composed = Joint(centre, reader).compose(parts)

    ((text, vector),) = reader.read
    assert text == "at night"
    np.testing.assert_array_equal(vector, centre(parts[1].vector, Modality.IMAGE))
    read = centre(np.eye(DIM, dtype=np.float32)[2], Modality.TEXT).astype(float)
    expected = 2 * read + sum(
        p.weight * centre(p.vector, p.modality).astype(float) for p in (parts[2], parts[3])
    )
    np.testing.assert_allclose(composed, expected / np.linalg.norm(expected), atol=1e-6)


def test_parts_that_cancel_each_other_out_are_an_error() -> None:
    with pytest.raises(QueryError, match="cancel"):
        Arithmetic(centre).compose([part(0), part(0, -1.0)])
