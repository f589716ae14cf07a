"""What `make fuzz` tries a million of, some of each kind; and that it tells what it finds."""

import pytest

from fuzz.__main__ import Block, run_apart, table
from fuzz.mutation import MUTATIONS, mutated
from support.surviving import survives

# Nonsense is written on purpose, and pydicom says so.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("kind", MUTATIONS)
def test_what_is_broken_is_read_or_refused(kind: str) -> None:
    for seed in range(40):
        survives(mutated(kind, seed))


def test_a_seed_is_the_same_bytes_again() -> None:
    for kind in MUTATIONS:
        assert mutated(kind, 7) == mutated(kind, 7)
        assert len({mutated(kind, seed) for seed in range(10)}) > 5


@pytest.mark.slow
def test_what_is_neither_read_nor_refused_is_a_failure_with_its_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fuzz.__main__.survives", lambda _data, _decoder: "read")
    kind = next(iter(MUTATIONS))
    whole = run_apart(Block(kind, 10, 3))
    assert (whole.outcomes, whole.failures) == ({"read": 3}, [])

    def fails(data: bytes, _decoder: object) -> str:
        assert data != mutated(kind, 12)
        return "read"

    monkeypatch.setattr("fuzz.__main__.survives", fails)
    found = run_apart(Block(kind, 10, 3))
    assert found.outcomes == {"read": 2}
    assert [failure.partition(":")[0] for failure in found.failures] == ["seed 12"]
    assert "| all | 3 | 2 |" in table([found], "make fuzz")
