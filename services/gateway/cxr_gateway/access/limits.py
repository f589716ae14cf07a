"""How much one user, key or address may ask in a minute; counted in this process alone."""

import math
import time
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import TooManyRequests
from cxr_gateway.core.principal import Principal, PrincipalKind


class RateLimits:
    """Two moving windows of a minute: requests of a principal, failures of an address."""

    def __init__(
        self, settings: AccessSettings, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self._on_failure = on_failure
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._requests = RateLimitItemPerMinute(settings.requests_per_minute)
        self._failures = RateLimitItemPerMinute(settings.failures_per_minute)

    def count_request(self, principal: Principal, address: str) -> None:
        """Count a request; TooManyRequests beyond the limit. Whoever is nobody is an address."""
        nobody = principal.kind is PrincipalKind.NOBODY
        who = address if nobody else principal.subject
        if not self._limiter.hit(self._requests, "request", principal.kind.value, who):
            raise self._refusal(self._requests, "request", principal.kind.value, who)

    def count_failure(self, address: str) -> None:
        """Count a key, token or sign-in that was refused; TooManyRequests beyond the limit.

        What is valid is never asked for here: somebody else's failures at the same address, a
        proxy's perhaps, lock nobody out.
        """
        self._on_failure()
        if not self._limiter.hit(self._failures, "failure", address):
            raise self._refusal(self._failures, "failure", address)

    def _refusal(self, item: RateLimitItemPerMinute, *names: str) -> TooManyRequests:
        until = self._limiter.get_window_stats(item, *names).reset_time - time.time()
        return TooManyRequests(
            "Too many requests in a minute; try again later.",
            retry_after_s=max(1, math.ceil(until)),
        )
