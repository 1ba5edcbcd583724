"""What is old is forgotten."""

from collections.abc import Callable
from datetime import datetime, timedelta

from ..fates import BY_RELOAD
from ..trust import ident
from .rows import Row, Rows
from .trusting import Trusting


class Forgetting(Trusting):
    """Part of the port's upkeep."""

    async def prune(self, before: datetime, now: datetime, longest: timedelta = timedelta()) -> int:
        gone = _drop(self.all, lambda row: self._forgotten(row, before))
        gone += _drop(self.alerts, lambda row: self._is_over(row, before))
        gone += _drop(self.letters, lambda row: self._is_old(row, before))
        gone += _drop(self.bodies, lambda row: bool(row.error) and row.received_at < before)
        gone += _drop(self.lines, lambda row: row.at < before and not self._belongs(row))
        return gone + _drop(self.charged, lambda row: row.at < min(before, now - longest))

    def _forgotten(self, row: Row, before: datetime) -> bool:
        """Forgets what belongs to a remediation, if nothing follows from it any more."""
        if row.live or row.ended_at >= before or self._needed(row):
            return False
        _drop(self.letters, lambda one: one.remediation == row.id and _is_sent(one))
        _drop(self.attempts, lambda one: one.remediation == row.id)
        for number in self.on.pop(row.id, ()):
            del self.of[number][row.id]
        return True

    def _needed(self, row: Row) -> bool:
        """Whether something may still follow from it: a timer, an undo, or a reload."""
        attempts = self.attempts.having("remediation", row.id)
        timed = any(ref in self.timers for ref in [row.id, *(one.id for one in attempts)])
        undoing = any(undo.live for undo in self.undos_of(row.id))
        return timed or undoing or ((row.told or row.state in BY_RELOAD) and self.fires(row.id))

    def _is_over(self, alert: Row, before: datetime) -> bool:
        return not alert.open and alert.last_seen < before and not self.of.get(alert.id)

    def _is_old(self, letter: Row, before: datetime) -> bool:
        """Whether a notification is not about a remediation, a storm or a breaker that lasts."""
        if letter.at >= before or not _is_sent(letter) or self._belongs(letter):
            return False
        lasting = {ident("storm", storm.group) for storm in self.storming}
        lasting |= {ident("breaker", one.rule) for one in self.switches if one.opened_at}
        return letter.remediation not in lasting

    def _belongs(self, row: Row) -> bool:
        return self.all.get(row.remediation) is not None


def _is_sent(letter: Row) -> bool:
    return letter.due_at is None or letter.delivered_at is not None


def _drop(table: Rows, which: Callable[[Row], bool]) -> int:
    """How many."""
    gone = [row for row in table if which(row)]
    for row in gone:
        table.drop(row)
    return len(gone)
