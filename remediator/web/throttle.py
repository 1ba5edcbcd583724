"""Rate limits per caller: a token bucket each, refilled evenly."""

from collections import OrderedDict
from datetime import datetime

from ..model.usage import Rate

MOST_CALLERS = 4096


class Throttle:
    """Allows each caller its rate. Of very many callers, the oldest are forgotten."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def allows(self, caller: str, now: datetime, cost: float = 1.0) -> bool:
        """Takes a token if there is one; a cost of 0 only checks."""
        if self._rate is None:
            return True
        most = float(self._rate.count)
        left, at = self._buckets.pop(caller, (most, now))
        passed = max(0.0, (now - at).total_seconds())
        # multiplied first, so that a whole window gives exactly the whole rate
        refilled = min(most, left + passed * most / self._rate.window.total_seconds())
        taken = refilled >= max(cost, 1.0)
        self._buckets[caller] = (refilled - cost if taken else refilled, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return taken
