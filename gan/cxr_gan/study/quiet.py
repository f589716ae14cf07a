"""A training without a bar of its own: several at once would overwrite each other's."""

from collections.abc import Iterator
from contextlib import contextmanager

from cxr_training.classifier.views import Advance


class Quiet:
    """Shows nothing; the study says of each training when it is over."""

    @contextmanager
    def epoch(self, name: str, *, done: int, total: int, shown: bool) -> Iterator[Advance]:  # noqa: ARG002 - as `View` has it
        """No bar."""

        def advance(images: int, standing: str) -> None:
            pass

        yield advance

    def line(self, text: str) -> None:
        """No line."""
