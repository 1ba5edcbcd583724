"""Which remediations wait for which objects: what is told of those wakes them."""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain

from ..model.remediation import Remediation, RemediationId
from ..model.target import Target, target_of

# kind, namespace and name, in whichever cluster
Named = tuple[str, str, str]
# how often one remediation is woken, at most
BREATH = timedelta(seconds=5)
# so many wait at most; those that have not been looked at for longest are left to their timers
MOST = 20_000


class News:
    """What was told of objects, for those who wait for it. A wake-up that is lost costs time and
    nothing else: everybody has a timer.
    """

    def __init__(self) -> None:
        self._waiting: dict[Named, set[RemediationId]] = {}
        self._for: OrderedDict[RemediationId, frozenset[Named]] = OrderedDict()
        self._told: dict[RemediationId, None] = {}
        self._woken_at: dict[RemediationId, datetime] = {}
        self._in_vain: set[RemediationId] = set()  # woken, and not looked at since

    def expect(self, remediation: Remediation, now: datetime) -> None:
        """It is looked at, and woken by its target and its root from then on, in a breath at the
        soonest: what it does itself is told too.
        """
        self.forget(remediation.id)
        self._woken_at[remediation.id] = now
        root = target_of(remediation.root_key) or remediation.target
        names = self._for[remediation.id] = frozenset({_named(remediation.target), _named(root)})
        for name in names:
            self._waiting.setdefault(name, set()).add(remediation.id)
        if len(self._for) > MOST:
            self.forget(next(iter(self._for)))

    def forget(self, remediation: RemediationId) -> None:
        """It no longer waits."""
        for name in self._for.pop(remediation, ()):
            waiting = self._waiting[name]
            waiting.discard(remediation)
            if not waiting:
                del self._waiting[name]
        self._told.pop(remediation, None)
        self._in_vain.discard(remediation)

    def tell(self, names: Iterable[Named]) -> bool:
        """Something happened to these objects. Whether somebody waits for it."""
        woken = dict.fromkeys(chain.from_iterable(self._waiting.get(name, ()) for name in names))
        self._told |= woken
        return bool(woken)

    def take(self, now: datetime) -> list[RemediationId]:
        """Who is to be woken now. Who was woken a moment ago is so later. Whom nobody looked at
        since has ended by another's hand, or there is too much to do: it is left to its timer.
        """
        ready = self._ready(now)
        woken = [one for one in ready if one not in self._in_vain]
        for one in self._in_vain.intersection(ready):
            self.forget(one)
        for one in woken:
            del self._told[one]
            self._woken_at[one] = now
        self._in_vain.update(woken)
        return woken

    def _ready(self, now: datetime) -> list[RemediationId]:
        lately = self._woken_at.items()
        self._woken_at = {one: at for one, at in lately if abs(now - at) < BREATH}
        return [one for one in self._told if one not in self._woken_at]


def _named(target: Target) -> Named:
    return target.kind, target.namespace, target.name
