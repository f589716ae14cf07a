"""When a call is made again, and how long before."""

import random
from dataclasses import dataclass

import httpx

_LATER = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """How often and how patiently.

    Attributes:
        attempts: of one call, the first among them; 1 makes no second one.
        first_s: seconds before the second attempt, doubled before each further one; a random part
            of it is waited, so that many clients do not come back at once.
        most_s: seconds before an attempt at most, also where `Retry-After` asks for more.
    """

    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, attempt: int, response: httpx.Response | None) -> float | None:
        """Seconds to wait after the attempt of this number, from 1; None to leave it at that.

        Args:
            attempt: its number.
            response: what came; None if nothing did.
        """
        if attempt >= self.attempts:
            return None
        asked = ""
        if response is not None:
            if response.status_code not in _LATER:
                return None
            asked = response.headers.get("retry-after", "")
        wait_s = self.first_s * float(2 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
        return min(self.most_s, max(wait_s, float(asked) if asked.isdigit() else 0.0))
