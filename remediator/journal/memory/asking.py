"""What operators ask for and decide, and what they are shown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

import orjson

from ...model.alert import Fate
from ...model.entry import EntryKind
from ...model.pauses import Pause
from ...model.remediation import LIVE, State
from ...model.verdict import Reason
from ...ports.records import Row as Shown
from ..people import approved_by, because, refused, too_late_to_cancel
from ..tables import EPOCH
from ..timers import CLAIMED
from ..views import attempt_row, episode_row, history_row, message_row, remediation_row, undo_row
from .afterwards import Afterwards
from .rows import Row


class Asking(Afterwards):
    """The port's people."""

    async def pauses(self) -> list[Pause]:
        return [Pause(row.scope, row.reason, row.author, row.until, row.at) for row in self.paused]

    async def pause(
        self, scope: str, reason: str, author: str, until: datetime | None, *, now: datetime
    ) -> None:
        before = self.paused.get(scope)
        if before is not None:
            self.paused.drop(before)
        self.paused.add(scope=scope, reason=reason, author=author, until=until, at=now)
        text = f"{author} paused {scope}: {reason}"
        self.remember(now, None, EntryKind.PAUSED, reason=Reason.PAUSED, text=text)

    async def resume(self, scope: str, author: str, now: datetime) -> bool:
        row = self.paused.get(scope)
        if row is None:
            return False
        self.paused.drop(row)
        text = f"{author} resumed {scope}"
        self.remember(now, None, EntryKind.RESUMED, reason=None, text=text)
        held = (State.HELD, State.AWAITING_APPROVAL)
        live = (one.id for one in self.all.having("live", True) if one.state in held)
        self.timers.pull("work", live, now)
        self.timers.pull("revive", self.timers.of["revive"], now)
        return True

    async def decide(
        self,
        remediation: str,
        digest: str,
        operator: str,
        approve: bool,
        *,
        now: datetime,
        why: str = "",
    ) -> str | None:
        row = self.all.get(remediation)
        if row is None:
            return f"no remediation {remediation}"
        against = refused(row, digest, operator)
        if against:
            return against
        if not approve:
            return self._cancel(row, operator, now, why=why, kind=EntryKind.DENIED)
        approved = approved_by(row, operator, now)
        if isinstance(approved, str):
            return approved
        self.all.change(row, **approved.columns)
        if approved.complete:
            self.timers.put("work", row.id, now)
        text = because(approved.text, why)
        self.remember(now, row.id, EntryKind.APPROVED, reason=Reason.OPERATOR, text=text)
        return None

    async def cancel(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None:
        row = self.all.get(remediation)
        if row is None:
            return f"no remediation {remediation}"
        return self._cancel(row, operator, now, why=why, kind=EntryKind.CANCELLED)

    def _cancel(
        self, row: Row, operator: str, now: datetime, *, why: str, kind: EntryKind
    ) -> str | None:
        against = too_late_to_cancel(row)
        if against:
            return against
        text = f"{operator} {kind} it"
        self.all.change(row, cancel_by=text)
        self.timers.put("work", row.id, now)
        self.remember(now, row.id, kind, reason=Reason.OPERATOR, text=because(text, why))
        return None

    async def retry(
        self, remediation: str, operator: str, now: datetime, why: str = ""
    ) -> str | None:
        row = self.all.get(remediation)
        if row is None:
            return f"no remediation {remediation}"
        if State(row.state) in LIVE:
            return f"{remediation} is {row.state}; only an ended remediation can be retried"
        if not self._tried_again(row, now):
            return f"no alert of {remediation} is still firing"
        self.timers.of["revive"].drop(remediation)
        text = because(f"retry requested by {operator}", why)
        self.remember(now, remediation, EntryKind.RETRIED, reason=Reason.OPERATOR, text=text)
        return None

    def _tried_again(self, row: Row, now: datetime) -> bool:
        """Sends its open episodes back to triage, for its rule to try them once more."""
        firing = [alert for alert in self.alerts_of(row.id) if alert.open]
        for alert in firing:
            self.due(alert, now, fate=Fate.PENDING)
            theirs = [self.all[one] for one in self.of[alert.id]]
            for ended in [one for one in theirs if one.rule == row.rule and not one.live]:
                self.on[ended.id][alert.id] = False
                self.all.change(ended, retried_at=now)
        return bool(firing)

    async def show(self, remediation: str) -> Shown | None:
        row = self.all.get(remediation)
        if row is None:
            return None
        attempts = self.attempts.having("remediation", remediation)
        return {
            **remediation_row(row),
            "look": orjson.loads(row.look),
            "rule_text": orjson.loads(row.rule_text),
            "attempts": list(map(attempt_row, attempts)),
            "episodes": list(map(episode_row, self.alerts_of(remediation))),
            "history": list(map(history_row, self.lines.having("remediation", remediation))),
            "messages": list(map(message_row, self.letters.having("remediation", remediation))),
            "next_look": self._first("work", [remediation]),
            "undo_due_at": self._first("restore", [attempt.id for attempt in attempts]),
            "undos": list(map(undo_row, self.undos_of(remediation))),
        }

    def _first(self, kind: str, refs: Sequence[str]) -> str | None:
        """When the first of these timers is due."""
        given = map(self.timers.of[kind].at, refs)
        first = min((at for at in given if at is not None), default=CLAIMED)
        return None if first == CLAIMED else first.isoformat()

    async def remediations(
        self,
        limit: int,
        state: str | None,
        namespace: str = "",
        rule: str = "",
        *,
        since: datetime | None = None,
    ) -> list[Shown]:
        found = self.all.where(state=state, namespace=namespace, rule=rule)
        found = [row for row in found if row.created_at >= (since or EPOCH)]
        found.sort(key=lambda row: row.id)
        found.sort(key=lambda row: row.created_at, reverse=True)
        return list(map(remediation_row, found[:limit]))

    async def episodes(self, limit: int, fingerprint: str | None) -> list[Shown]:
        newest = reversed(list(self.alerts))
        mine = (row for row in newest if not fingerprint or row.fingerprint == fingerprint)
        rows = list(islice(mine, limit))
        return [episode_row(row) | {"remediations": list(self.of.get(row.id, ()))} for row in rows]

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        waiting = sum(row.error is None for row in self.bodies)
        live = self.all.having("live", True)
        return {
            "episodes": Counter(str(row.fate) for row in self.firing.values()),
            "remediations": Counter(str(row.state) for row in live),
            "webhooks": {"waiting": waiting},
            "messages": {"waiting": len(list(self.unsent))},
        }

    async def resolutions(self, since: datetime, until: datetime) -> list[tuple[str, bool, float]]:
        ended: dict[tuple[str, int], bool] = {}
        lately = (row for row in self.alerts if not row.open and since < row.last_seen <= until)
        for alert in lately:
            for row in map(self.all.__getitem__, self.of.get(alert.id, ())):
                if not row.undo_of:
                    key = (row.rule, alert.id)
                    ended[key] = ended.get(key, False) or row.acted
        lasted = {number: self._lasted(self.alerts[number]) for _, number in ended}
        return [(rule, acted, lasted[number]) for (rule, number), acted in ended.items()]

    def _lasted(self, alert: Row) -> float:
        lasted: timedelta = alert.ends_at - alert.starts_at
        return max(0.0, lasted.total_seconds())
