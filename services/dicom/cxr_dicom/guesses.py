"""How often an address may try a password: a right one, too, has to wait once there were too many.

Else whoever guesses would find the right one at any speed. Other addresses are not held up.
"""

import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

_MOST_ADDRESSES = 10_000


class Guesses:
    """Wrong passwords of each address within a moving window; of one thread.

    Args:
        most: as many as are answered.
        within_s: the window, seconds.
        clock: seconds, never set back.
    """

    def __init__(
        self, most: int = 10, within_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._within_s = within_s
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """After how many seconds the address may try again; 0 is now."""
        wrong = self._wrong.get(_network(address), deque())
        if len(wrong) < self._most:
            return 0
        return max(0, math.ceil(wrong[0] + self._within_s - self._clock()))

    def count(self, address: str) -> None:
        """Count a wrong one. Of too many addresses the one that tried least lately is forgotten."""
        name = _network(address)
        wrong = self._wrong.setdefault(name, deque(maxlen=self._most))
        wrong.append(self._clock())
        self._wrong.move_to_end(name)
        if len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)


def _network(address: str) -> str:
    """An address, or of the sixth version what one customer has: whole networks of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
