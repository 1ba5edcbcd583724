"""Storms, breakers, and the record of each rule."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ...model.entry import EntryKind
from ...model.notice import Notice
from ...model.remediation import State
from ...model.verdict import Reason
from ...ports.records import Breaker, Message, Storm
from ...ports.records import Row as Shown
from ..trust import BAD, CLOSED, EXAMPLES, OPENED, add_to, ident, nothing_yet, planned_in
from .asking import Asking


class Trusting(Asking):
    """The port's trust."""

    async def storm(
        self, group: str, why: str, until: datetime, messages: tuple[Message, ...], *, now: datetime
    ) -> bool:
        there = self.storming.get(group)
        if there is not None and there.until > now:
            self.storming.change(there, until=max(there.until, until))
            self._tell_of(group, there.since, messages, now)
            return False
        if there is not None:
            self.storming.drop(there)
        self.storming.add(group=group, since=now, until=until, why=why)
        self.remember(now, None, EntryKind.STORM, reason=Reason.STORM, text=why)
        self._tell_of(group, now, messages, now)
        return True

    def _tell_of(
        self, group: str, since: datetime, messages: Sequence[Message], now: datetime
    ) -> None:
        """Notifies receivers that were not notified yet."""
        key = ident("storm", group)
        known = self.told(key, since)
        self.tell_all(key, [m for m in messages if m.receiver not in known], now)

    async def storms(self) -> tuple[Storm, ...]:
        return self.all_storms()

    async def calm(self, group: str, said: Notice, now: datetime) -> None:
        there, key = self.storming.get(group), ident("storm", group)
        if there is None or there.until > now:  # it came back
            return
        self.storming.drop(there)
        text = f"the storm in {group} is over"
        self.remember(now, None, EntryKind.STORM_OVER, reason=None, text=text)
        for receiver in self.told(key, there.since):
            self.tell(key, receiver, said, now)

    async def breakers(self) -> list[Breaker]:
        return [
            Breaker(row.rule, row.opened_at, row.reset_at, row.reset_by) for row in self.switches
        ]

    async def breaker(
        self,
        rule: str,
        opened_at: datetime | None,
        why: str,
        to: Sequence[str],
        *,
        said: Notice,
        now: datetime,
    ) -> None:
        row = self.switches.get(rule) or self.switches.add(rule=rule)
        before = row.opened_at
        self.switches.change(row, opened_at=opened_at)
        if before == opened_at or (before and opened_at):
            return  # known; or it opened again before it closed
        (kind, reason), key = (OPENED if opened_at else CLOSED), ident("breaker", rule)
        self.remember(now, None, kind, reason=reason, text=f"rule {rule}: {why}")
        for receiver in self.told(key) if opened_at is None else to:
            self.tell(key, receiver, said, now)

    async def suspects(self, since: datetime, limit: int) -> list[str]:
        acted = (row for row in self.all.having("live", False) if row.acted and row.state in BAD)
        return list(dict.fromkeys(row.rule for row in acted if row.ended_at > since))[:limit]

    async def reset(self, rule: str, operator: str, now: datetime) -> None:
        row = self.switches.get(rule) or self.switches.add(rule=rule)
        self.switches.change(row, reset_at=now, reset_by=operator)
        text = f"{operator} reset the breaker of rule {rule}"
        self.remember(now, None, EntryKind.BREAKER_RESET, reason=Reason.OPERATOR, text=text)

    async def record(self, rules: Sequence[str]) -> Mapping[str, Shown]:
        return {rule: self._record(rule) for rule in rules}

    def _record(self, rule: str) -> dict[str, Any]:
        mine = [row for row in self.all.having("rule", rule) if not row.undo_of]
        ended = [row for row in mine if not row.live]
        out = nothing_yet()
        for row in ended:
            add_to(out, row.state, row.reason, row.acted, count=1)
        for kind in (EntryKind.APPROVED, EntryKind.DENIED):
            out[kind] += sum(self._says(row.id, kind) for row in mine)
        watched = {"state": State.OBSERVED, "reason": Reason.OBSERVE_MODE, "acted": False}.items()
        observed = [row for row in ended if watched <= row.columns.items()]
        newest = sorted(observed, key=lambda row: row.created_at, reverse=True)
        out["lately"] = planned_in([row.look for row in newest[:EXAMPLES]])
        return out

    def _says(self, remediation: str, kind: EntryKind) -> bool:
        return any(line.kind == kind for line in self.lines.having("remediation", remediation))
