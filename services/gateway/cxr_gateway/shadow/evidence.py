"""What is asked of a shadow before it is promoted."""

from dataclasses import dataclass

MIN_ANSWERS = 100
MAX_FAILURES = 0.02


@dataclass(frozen=True)
class Evidence:
    """What a shadow must have shown.

    Attributes:
        min_answers: radiographs that it has answered beside the model that answers now.
        max_failures: share of radiographs on which it may have failed, 0..1.
    """

    min_answers: int = MIN_ANSWERS
    max_failures: float = MAX_FAILURES
