"""What a courier needs of a way to a destination, and what can come of sending."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass

from cxr_dicom.ledger import Delivery, Ledger


class Unreachable(Exception):
    """Nobody is there, or nobody who takes us; a sentence. Try everything again later."""


class NotTaken(Exception):
    """It was not taken this time; a sentence. Try it again later."""


class Refused(Exception):
    """It will not be taken, however often it is sent; a sentence."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the destination took.

    Attributes:
        sop_class_uid: of a DICOM object; empty for others.
        sop_instance_uid: likewise; for others what they are called there.
        warning: what it said of it, as a sentence.
        is_confirmed: whether its answer says that it is kept, so that nobody has to ask.
    """

    sop_class_uid: str
    sop_instance_uid: str
    warning: str | None = None
    is_confirmed: bool = False


class Channel(ABC):
    """An open way to a destination."""

    @property
    def is_open(self) -> bool:
        """Whether more can be sent."""
        return True

    @abstractmethod
    def send(self, content: bytes) -> Taken:
        """Send one result.

        Raises:
            NotTaken, Refused: it was not taken.
        """

    def confirm(self, ledger: Ledger, destination: str, again_in_s: float) -> None:
        """Find out, or ask, what of all that was sent is kept; noted in the ledger.

        Called where the transport `confirms`.
        """
        raise NotImplementedError


class Transport(ABC):
    """A way to one destination."""

    # Whether what was sent is to be confirmed by `Channel.confirm`.
    confirms = False

    @abstractmethod
    def open(self) -> AbstractContextManager[Channel]:
        """Go there.

        Raises:
            Unreachable: nobody is there.
        """

    @abstractmethod
    def request(self, delivery: Delivery) -> tuple[str, dict[str, str], dict[str, str]]:
        """Where the gateway has a result for this destination: path, query, headers."""
