"""What limits are decided from."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import takewhile
from operator import lt

from ...model.alert import Fate
from ...model.entry import EntryKind
from ...model.remediation import ACTING, Remediation, State
from ...model.usage import Charge, Counted, Ended, Holder, Reading, Troubled, Usage
from ...ports.records import Intent, Storm
from .. import undos
from ..counting import IN_ROW, JUDGED, charge_from_row, judged, trouble_of
from ..tables import EPOCH
from ..trust import ident
from .arriving import Arriving
from .rows import Row


class Reckoning(Arriving):
    """Charges, locks, and what counts against a rule."""

    def used(self, remediation: Remediation, reading: Reading, now: datetime) -> Usage:
        """Everything that the guards of begin decide from."""
        mine = [row for row in self.all.having("rule", remediation.rule) if not row.undo_of]
        others = [row for row in mine if row.id != remediation.id]
        before = self._ended_there(others, remediation.target.key)
        in_row = takewhile(lambda row: row.state == State.INEFFECTIVE, before)
        return Usage(
            locks={lock: self._holder(lock) for lock in reading.locks if lock in self.locks},
            used_up=self._used_up(reading.counted, now),
            begun=bool(self.charged.having("remediation", remediation.id)),
            in_flight=sum(row.state in ACTING for row in others),
            ended=before[0].ended_at if before else None,
            ineffective_in_row=len(list(in_row)),
            ends=self._ends(remediation.rule, reading.ends),
            troubled=reading.in_trouble(lambda: self._troubled(remediation.target.cluster)),
            storm_until=self._storm_until(reading.group),
        )

    def _storm_until(self, group: str) -> datetime | None:
        storm = self.storming.get(group)
        return storm.until if storm is not None else None

    def _ended_there(self, rows: Sequence[Row], target_key: str) -> list[Row]:
        """Those that acted on a target and have ended, the newest first."""
        there = {"target_key": target_key, "acted": True, "live": False}.items()
        ended = [row for row in rows if there <= row.columns.items()]
        return sorted(ended, key=lambda row: row.ended_at, reverse=True)[:IN_ROW]

    def _holder(self, lock: str) -> Holder:
        row = self.all[self.locks[lock]]
        return Holder(row.id, row.state == State.VERIFYING and not row.undo_of, row.priority)

    def _used_up(self, counted: Sequence[Counted], now: datetime) -> dict[Counted, datetime]:
        """The limits that have no room: their k-th newest charge is within the window."""
        newest = sorted(self.charged, key=lambda row: row.at, reverse=True)
        out: dict[Counted, datetime] = {}
        for limit in counted:
            since, count, where = now - limit.rate.window, limit.rate.count, dict(limit.where)
            mine = (row.at for row in newest if where.items() <= row.columns.items())
            hits = list(takewhile(partial(lt, since), mine))
            if count == 0:
                out[limit] = now
            elif len(hits) >= count:
                out[limit] = hits[count - 1]
        return out

    def _ends(self, rule: str, limit: int) -> tuple[Ended, ...]:
        switch = self.switches.get(rule)
        since = (switch.reset_at if switch is not None else None) or EPOCH
        rows = [
            row
            for row in self.all.having("rule", rule)
            if row.acted and row.state in JUDGED and not row.undo_of and row.ended_at > since
        ]
        rows.sort(key=lambda row: row.ended_at, reverse=True)
        return tuple(map(judged, rows[: 3 * limit]))

    def _troubled(self, cluster: str) -> tuple[Troubled, ...]:
        """The roots of which an alert fires now."""
        found = set()
        for alert in self.matched.values():
            for one in self.of.get(alert.id, ()):
                row = self.all[one]
                speaks = row.live or self.on[one][alert.id] or alert.fate == Fate.PENDING
                if speaks and self._roots(row, cluster):
                    found.add(trouble_of(row))
        return tuple(sorted(found, key=lambda item: item.key))

    def _roots(self, row: Row, cluster: str) -> bool:
        return row.cluster == cluster and not row.undo_of and row.state != State.SUPERSEDED

    async def troubled(self, cluster: str) -> tuple[Troubled, ...]:
        return self._troubled(cluster)

    async def ends(self, rule: str, limit: int) -> tuple[Ended, ...]:
        return self._ends(rule, limit)

    async def charges(self, since: datetime) -> list[Charge]:
        return [charge_from_row(row) for row in self.charged if row.at > since]

    def charge(self, remediation: str, intent: Intent) -> None:
        """Counts the attempt against every limit that includes it."""
        self.charged.add(
            remediation=remediation,
            rule=intent.rule,
            action=intent.attempt.action,
            namespace=intent.target.namespace,
            root_key=intent.root_key,
            target_key=intent.target.key,
            at=intent.attempt.begun_at,
        )

    def refund(self, row: Row, attempt: str) -> None:
        """Refunds an attempt that was given back before any call was sent."""
        made = self.attempts[attempt]
        for charge in self.charged.having("remediation", row.id):
            if charge.at == made.begun_at:
                self.charged.drop(charge)
        if not self.charged.having("remediation", row.id):
            self.all.change(row, acted=False)

    def all_storms(self) -> tuple[Storm, ...]:
        """All storms, with the receivers that were notified."""
        return tuple(
            Storm(
                row.group,
                row.since,
                row.until,
                row.why,
                tuple(self.told(ident("storm", row.group), row.since)),
            )
            for row in self.storming
        )

    def start_undo(
        self, parent: Row, attempt: str, why: str, *, now: datetime, asked: str = ""
    ) -> str:
        """Creates a remediation that undoes an attempt. Returns its ID."""
        row = self.all.add(**undos.row_of(parent, attempt, why, now))
        self.timers.put("work", row.id, now)
        self.timers.of["restore"].drop(attempt)  # this undo takes the place of the timed one
        text = f"undoes {parent.id}{asked and f'; {asked}'}"
        reason = undos.reason_of(why)
        self.remember(now, row.id, EntryKind.CREATED, reason=reason, text=text)
        return str(row.id)

    def owing(self, attempt: str) -> bool:
        """Whether it is to be undone later."""
        return self.timers.of["restore"].at(attempt) is not None
