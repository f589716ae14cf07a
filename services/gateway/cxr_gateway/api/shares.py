"""How many uploads are received, and events streamed, at once: in all, of one user or key, from
one address.

What is received lies on disk and holds none of the places where studies are analysed; so whoever
sends slowly holds up nobody but themselves.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cxr_gateway.core.errors import TooManyRequests
from cxr_gateway.core.principal import Principal
from cxr_serving.errors import Overloaded

_RETRY_AFTER_S = 5


@dataclass(frozen=True)
class Most:
    """How many there may be at once; of an address None is any number."""

    in_all: int
    of_principal: int
    of_address: int | None = None


class Shares:
    """What this process has of one kind at the moment.

    Args:
        what: their name, several.
        most: how many.
        is_open: whoever sits at the machine is one principal at one address, and shares with
            nobody.
    """

    def __init__(self, what: str, most: Most, *, is_open: bool) -> None:
        self._what = what
        self._most = most
        self._is_open = is_open
        self._taken: Counter[tuple[str, str]] = Counter()
        self.total = 0

    @contextmanager
    def take(self, principal: Principal, address: str | None) -> Iterator[None]:
        """Count one in until the end of the block.

        Raises:
            TooManyRequests: the principal or the address has as many as one may.
            Overloaded: there are as many as there may be in all.
        """
        shares = self._shares(principal, address)
        for share, most in shares.items():
            if self._taken[share] >= most:
                raise TooManyRequests(
                    f"{most} {self._what} of this {share[0]} are open, as many as one may have.",
                    retry_after_s=_RETRY_AFTER_S,
                )
        if self.total >= self._most.in_all:
            raise Overloaded(f"{self.total} {self._what} are open, as many as there may be.")
        self.total += 1
        self._taken.update(shares.keys())
        try:
            yield
        finally:
            self.total -= 1
            for share in shares:
                self._taken[share] -= 1
                if not self._taken[share]:
                    del self._taken[share]

    def _shares(self, principal: Principal, address: str | None) -> dict[tuple[str, str], int]:
        if self._is_open:
            return {}
        shares = {}
        if self._most.of_address is not None:
            shares["address", address or "unknown"] = self._most.of_address
        if principal.sender is not None:
            shares["user or key", principal.sender] = self._most.of_principal
        return shares
