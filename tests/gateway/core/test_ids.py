"""Study ids sort by time and cannot be mistaken for a path."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_gateway.core.ids import first_id_at, is_study_id, new_study_id


@given(st.integers(0, 2**48 - 2), st.integers(1, 1000))
def test_a_later_id_sorts_behind_an_earlier_one(now_ms: int, later_ms: int) -> None:
    later = min(now_ms + later_ms, 2**48 - 1)
    assert new_study_id(now_ms) < new_study_id(later)


@given(st.integers(1, 2**40))
def test_the_first_id_of_a_moment_parts_what_was_made_before_from_what_was_made_since(
    now_ms: int,
) -> None:
    first = first_id_at(datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=now_ms))
    assert is_study_id(first)
    assert new_study_id(now_ms - 1) < first <= new_study_id(now_ms)


def test_ids_of_the_same_millisecond_differ() -> None:
    assert len({new_study_id(1) for _ in range(1000)}) == 1000


def test_an_id_is_26_characters_of_crockfords_alphabet() -> None:
    assert is_study_id(new_study_id())
    assert new_study_id(0).startswith("0000000000")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "../../etc/passwd",
        "0" * 25,
        "0" * 27,
        "8" + "0" * 25,
        "0" * 25 + "i",
        "0" * 25 + "A",
        "0" * 25 + "/",
        "0" * 26 + "\n",
    ],
)
def test_nothing_else_is_an_id(text: str) -> None:
    assert not is_study_id(text)
