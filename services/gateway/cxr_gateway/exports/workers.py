"""What all exports have in common: a file to hand out, and where it is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from cxr_gateway.imaging.decoders import Decoder

_T = TypeVar("_T")


@dataclass(frozen=True)
class Exported:
    """A file to hand out; its name says nothing of the patient."""

    name: str
    media_type: str
    content: bytes


class Workers(Protocol):
    """Where image work is done: `Analyzer` in production."""

    @property
    def decoder(self) -> Decoder:
        """By which files are decoded."""
        ...

    async def in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run image work in a thread."""
        ...


class InThisThread:
    """For a command, which has nothing else to do meanwhile."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    async def in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run image work here."""
        return work(*arguments)
