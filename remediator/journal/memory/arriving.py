"""What arrives: webhooks, episodes, and what triage decides for them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any

from ...errors import AlreadyUnpacked
from ...model.alert import Episode, Fate
from ...model.entry import EntryKind
from ...model.identity import Known
from ...model.remediation import WAITING, State
from ...model.verdict import Reason
from ...ports.records import Body, Delivery, Triaged, Wanted
from ..batch import Batch, States, born
from ..births import row_of
from ..fates import BY_RELOAD
from .rows import Row
from .shared import Shared


class Arriving(Shared):
    """The port's inbox."""

    async def store(self, bodies: Sequence[Body]) -> None:
        for body in bodies:
            self.bodies.add(source=body.source, received_at=body.received_at, body=body.body)

    async def inbox(self, limit: int) -> list[Body]:
        found: list[Body] = []
        for row in self.bodies:
            if row.error is None and len(found) < limit:
                found.append(Body(row.source, row.received_at, row.body, row.id))
        return found

    async def unreadable(self, body: int, error: str) -> None:
        self.bodies.change(self.bodies[body], error=error[:1000])

    async def receive(self, deliveries: Sequence[Delivery]) -> list[Episode]:
        self._unpacked([delivery.body for delivery in deliveries if delivery.body])
        known: States = {}
        batch = Batch()
        for delivery in deliveries:
            keys = {(delivery.source, alert.fingerprint) for alert in delivery.alerts}
            known |= {key: self._known(key) for key in keys - known.keys()}
            batch.deliver(delivery, known)
        return self._apply(batch)

    def _unpacked(self, bodies: Sequence[int]) -> None:
        rows = [self.bodies.get(number) for number in bodies]
        if None in rows:
            raise AlreadyUnpacked("these webhooks were processed before; reading again")
        for row in filter(None, rows):
            self.bodies.drop(row)

    def _known(self, key: tuple[str, str]) -> dict[str, object]:
        row, known = self.open_by.get(key), Known(closed_end=self.last_end.get(key))
        if row is None:
            return {"known": known, "row": None}
        known = replace(known, open_start=row.starts_at, last_seen=row.last_seen)
        return {"known": known, "row": {"id": row.id, "starts_at": row.starts_at, "deliveries": 0}}

    def _apply(self, batch: Batch) -> list[Episode]:
        for change in batch.updates.values():
            row = self.alerts[change["b_id"]]
            count, seen = row.deliveries + change["b_count"], change["b_seen"]
            values = {"deliveries": count, "last_seen": seen, "starts_at": change["b_start"]}
            if change["b_open"]:
                self.alerts.change(row, **values, confirmed_at=seen)
            else:
                self._resolved(row, change["b_ends"], values, batch.now)
        return [episode for made in batch.inserts if (episode := self._opened(made)).open]

    def _resolved(self, row: Row, ends_at: datetime, values: dict[str, Any], now: datetime) -> None:
        self.shut(row, ends_at, **values)
        self.settled(row, Fate.PENDING)
        self.wake(row, now)

    def _opened(self, values: dict[str, object]) -> Episode:
        row = self.alerts.add(**values)
        if row.open:
            self.firing[row.id] = self.open_by[row.source, row.fingerprint] = row
            self.due(row, row.due_at)
        else:
            self.shut(row, row.ends_at)
        return born(values, row.id)

    async def pending(self, now: datetime, limit: int = 500) -> list[Episode]:
        return self.as_values(self.alerts[number] for number in self.undecided.until(now, limit))

    async def triaged(self, decided: Sequence[Triaged], now: datetime) -> None:
        for item in decided:
            row = self.alerts[item.episode.id]
            if not row.open:  # it may have resolved while it was being triaged
                continue
            self.due(
                row,
                item.again_at,
                fate=item.fate,
                reason=item.reason,
                rules_digest=item.rules_digest,
            )
            if item.fate is Fate.STALE:
                self.shut(row, now)
                continue
            self._attach(row, item.wanted, now)

    def _attach(self, row: Row, asked: Sequence[Wanted], now: datetime) -> None:
        """Attaches it to the live remediation of each rule, creating it if needed."""
        over = self._ended_rules(row.id)
        for wanted in asked:
            if wanted.rule.name not in over:
                self.attach(row.id, self._live(wanted, row.id, now).id)

    def _ended_rules(self, episode: int) -> set[str]:
        """Rules whose remediation of the episode has ended and was not revived."""
        mine = self.of.get(episode, ())
        return {self.all[one].rule for one in mine if self.on[one][episode]}

    def _live(self, wanted: Wanted, episode: int, now: datetime) -> Row:
        """The live remediation of the rule and target; created for the episode if there is none."""
        there = self.live_of(wanted.rule.name, wanted.target.key)
        if there is not None:
            return there
        row = self.all.add(**row_of(wanted, episode, now))
        self.timers.put("work", row.id, wanted.settled_at)
        self.timers.put("escalate", row.id, now + wanted.rule.escalate.after)
        text = f"rule {wanted.rule.name} for {wanted.target}"
        self.remember(now, row.id, EntryKind.CREATED, reason=None, text=text)
        return row

    def live_of(self, rule: str, target_key: str) -> Row | None:
        """The live remediation of a rule and target, of which there is one at most."""
        there = (row for row in self.all.having("target_key", target_key) if row.rule == rule)
        return next((row for row in there if row.live and not row.undo_of), None)

    async def began(self, since: datetime, namespace: str, limit: int) -> list[Episode]:
        named = f'"{namespace}"'
        new = (row for row in self.firing.values() if row.starts_at > since)
        critical = (row for row in new if '"severity":"critical"' in row.alert)
        found = [row for row in critical if named in row.alert]
        found.sort(key=lambda row: row.starts_at, reverse=True)
        return self.as_values(found[:limit])

    async def still_open(self, after: Episode | None, limit: int) -> list[Episode]:
        def place(row: Row) -> tuple[datetime, int]:
            return row.starts_at, row.id

        rows = sorted(self.firing.values(), key=place)
        if after is not None:
            rows = [row for row in rows if place(row) > (after.alert.starts_at, after.id)]
        return self.as_values(rows[:limit])

    async def close_episode(self, episode: Episode, now: datetime) -> None:
        row = self.alerts.get(episode.id)
        if row is None or not row.open or row.last_seen != episode.last_seen:
            return
        self.shut(row, now, last_seen=now)
        self.settled(row, Fate.PENDING, Fate.UNMATCHED)
        self.wake(row, now)

    async def reloaded(self, rules_digest: str, now: datetime) -> None:
        others = [row for row in self.firing.values() if row.rules_digest != rules_digest]
        for row in others:
            if row.fate == Fate.UNMATCHED:
                self.due(row, now)
        for one in dict.fromkeys(chain.from_iterable(map(self._over, others))):
            self.bring_back(one, now)
        waiting = (row.id for row in self.all.having("live", True) if row.state in WAITING)
        self.timers.pull("work", waiting, now)

    def _over(self, alert: Row) -> list[str]:
        """The remediations of an episode that have ended, which other rules may make different."""
        ended = [one for one in self.of.get(alert.id, ()) if self.on[one][alert.id]]
        return [one for one in ended if self.all[one].state in BY_RELOAD]

    def bring_back(self, remediation: str, now: datetime) -> None:
        """Sends the open episodes of an ended remediation back to triage."""
        for row in self.alerts_of(remediation):
            if row.open:
                self.due(row, now, fate=Fate.PENDING)
            self.on[remediation][row.id] = False
        self.timers.of["revive"].drop(remediation)

    def release(self, remediation: str, state: State, now: datetime) -> None:
        """After an end: what still fires waits for a revival, or is triaged again at once."""
        for row in self.alerts_of(remediation):
            if not row.open:
                self.due(row, None, fate=Fate.RESOLVED, reason=Reason.RESOLVED)
            elif state is State.SUPERSEDED:  # another remediation acts for it now
                self.due(row, now)
        if state is State.SUPERSEDED:
            return
        self._over_for(remediation)
        if state not in BY_RELOAD and self.fires(remediation):
            self.timers.put("revive", remediation, now)

    def _over_for(self, remediation: str) -> None:
        """It counts as ended for its episodes."""
        self.on[remediation] = dict.fromkeys(self.on.get(remediation, ()), True)
