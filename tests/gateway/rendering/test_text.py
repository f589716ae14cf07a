"""Numbers in pictures: the page's scale, and no other."""

import pytest

from cxr_gateway.rendering.text import in_percent, percent


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.0, "0%"),
        (0.004, "<1%"),
        (0.005, "1%"),
        (0.125, "13%"),
        (0.42, "42%"),
        (0.996, ">99%"),
        (1.0, "100%"),
    ],
)
def test_a_probability_is_shown_as_the_page_shows_it(probability: float, shown: str) -> None:
    assert percent(probability) == shown


def test_a_reason_keeps_every_digit_that_tells_two_numbers_apart() -> None:
    assert in_percent("Edema is likely: its probability of 0.512 reaches 0.400.") == (
        "Edema is likely: its probability of 51.2% reaches 40.0%."
    )
    assert (
        in_percent("It is 0.07341 (urgent from 0.07340).") == "It is 7.341% (urgent from 7.340%)."
    )
    assert in_percent("A score of 1.000, of model 1.2.345 and 12.345 px.") == (
        "A score of 100.0%, of model 1.2.345 and 12.345 px."
    )
