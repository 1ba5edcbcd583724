"""What must hold after every step, by name.

The promises P1 to P8, and that people are told in time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from remediator.actions import ACTIONS
from remediator.actions.workload import converged
from remediator.journal.tables import attachment, attempt, entry, episode, remediation, storm, timer
from remediator.kinds import WORKLOAD_NAMES
from remediator.model.remediation import ACTING, LIVE, State
from remediator.model.verdict import REASONS

WINDOW = timedelta(minutes=10)
RATES = {
    "attempts": (3, ("rule", "root_key")),
    "per_rule": (4, ("rule",)),
    "root": (4, ("root_key",)),
    "namespace": (6, ()),
}
STORM = 4  # workloads in trouble at once: then nothing begins
IN_FLIGHT = 1
ESCALATE_AFTER, SLACK = 120.0, 30.0
UNSEEN_AT_MOST = 21.0  # from the last guard to the write's landing: an answer's timeout, twice
P1 = "P1 nothing accepted is lost"
P2 = "P2 at most one act"
P3 = "P3 one acting remediation per object"
P4 = "P4 no limit is exceeded"
P5 = "P5 fail closed"
P6 = "P6 success is observed"
P7 = "P7 the plan executed is the plan approved"
P8 = "P8 every fate has a reason"
LEASE = "P2 only who holds the lease writes"
RIGHT_OBJECT = "P10 only the object that was seen is written"
FRESH = "a watch that is not heard from is not believed"
TOLD = "people are told in time"


class Broken(Exception):
    """An invariant does not hold; `name` says which."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


@dataclass(slots=True)
class Landed:
    """A write that took effect, and how the world stood then (virtual seconds)."""

    call_id: str
    what: str
    uid: str
    at: float
    deaf_for: float
    paused_for: float


@dataclass(slots=True)
class Watch:
    """Looks at the journal and the cluster after every step. Raises: Broken."""

    engine: sa.Engine
    objects: dict[Any, dict[str, Any]]
    touched: dict[str, float] = field(default_factory=dict)
    # every call that was on its way, whatever became of it
    sent: set[str] = field(default_factory=set)
    _succeeded: set[str] = field(default_factory=set)
    _attempts: int = 0
    _troubled: set[str] = field(default_factory=set)
    _landed: dict[str, Landed] = field(default_factory=dict)
    steps: int = 0

    def _rows(self, query: Any) -> list[Any]:
        with self.engine.connect() as c:
            return list(c.execute(query).all())

    def step(self, now: float) -> None:
        """Everything that can be said of the journal at any moment."""
        self.steps += 1
        rows = self._rows(sa.select(remediation))
        for row in rows:
            if (
                State(row.state) not in LIVE
                and row.state != State.SUCCEEDED
                and (row.reason is None or row.reason not in REASONS)
            ):
                raise Broken(P8, f"{row.id} ended {row.state} with reason {row.reason}")
            if row.state == State.SUCCEEDED and row.id not in self._succeeded:
                self._succeeded.add(row.id)
                self._success(row, now)
        acting = [row for row in rows if State(row.state) in ACTING]
        if acting:
            self._locks(acting)
            self._in_flight(acting)
        self._limits()
        self._troubled = self._in_trouble()

    def landed(self, item: Landed) -> None:
        """A write took effect."""
        before = self._landed.get(item.call_id)
        if before is not None and not item.what.startswith("COLLECT"):
            raise Broken(
                P2,
                f"{item.what} of {item.call_id} took effect at {before.at:.1f}s and at"
                f" {item.at:.1f}s",
            )
        self._landed[item.call_id] = item
        if item.deaf_for > UNSEEN_AT_MOST:
            raise Broken(
                P5,
                f"{item.what}: nobody could know for {item.deaf_for:.0f}s whether its alert was"
                " active",
            )
        if item.paused_for > UNSEEN_AT_MOST:
            raise Broken(P5, f"{item.what}: everything was paused since {item.paused_for:.0f}s")
        made = ".".join(item.call_id.split(".")[:2])
        query = sa.select(attempt, remediation.c.mode, remediation.c.undo_of).join(
            remediation, remediation.c.id == attempt.c.remediation
        )
        rows = self._rows(query.where(attempt.c.id == made))
        if not rows:
            raise Broken(P2, f"{item.what}: no intent {made}")
        plan = orjson.loads(rows[0].plan)
        uids = {call["target"]["uid"] for call in plan["calls"]} | {plan["target"]["uid"]}
        if item.uid and item.uid not in uids:
            raise Broken(
                RIGHT_OBJECT,
                f"{item.what} was written to {item.uid}; the plan was for"
                f" {', '.join(sorted(uids))}",
            )
        if rows[0].mode == "approve" and not rows[0].undo_of:
            approved = sa.select(entry.c.id).where(
                entry.c.remediation == rows[0].remediation,
                entry.c.kind == "approved",
                entry.c.text.contains(rows[0].digest),
            )
            if not self._rows(approved):
                raise Broken(P7, f"{item.what}: nobody approved {rows[0].digest}")

    def leased(self, name: str, claimed: Any) -> None:
        """What was just written for a claimed remediation was written by who held its lease."""
        rows = self._rows(sa.select(remediation.c.token).where(remediation.c.id == claimed.id))
        if rows and rows[0].token != claimed.token and name != "retarget":
            raise Broken(
                LEASE,
                f"{name} of {claimed.id} by lease {claimed.token}, which {rows[0].token} had taken"
                " over",
            )

    def _success(self, row: Any, now: float) -> None:
        if row.undo_of or row.kind not in WORKLOAD_NAMES:
            return
        joined = sa.select(episode.c.id).join(attachment, attachment.c.episode == episode.c.id)
        still = self._rows(joined.where(attachment.c.remediation == row.id, episode.c.open))
        if still:
            raise Broken(P6, f"{row.id} succeeded while {len(still)} of its alerts fire")
        obj = self.objects.get((row.kind, row.namespace, row.name))
        if (
            obj is None
            or now - self.touched.get(row.name, -60.0) < 30.0
            or obj["metadata"]["uid"] != row.uid
        ):
            return
        if not converged(obj):
            raise Broken(
                P6,
                f"{row.id} succeeded while {row.kind}/{row.name} had not converged:"
                f" {obj['status']}",
            )

    def _locks(self, acting: list[Any]) -> None:
        """No two families (a remediation and its undo) act on what the other's plan locks."""
        family = {row.id: row.undo_of or row.id for row in acting}
        newest: dict[str, Any] = {}
        for made in self._rows(
            sa.select(attempt).where(attempt.c.remediation.in_(family)).order_by(attempt.c.number)
        ):
            newest[made.remediation] = made
        held: dict[str, str] = {}
        for ident in sorted(newest):
            plan = orjson.loads(newest[ident].plan)
            brief = plan["brief"] if newest[ident].applied_at is not None else []
            for key in set(plan["locks"]) - set(brief):
                other = held.setdefault(key, ident)
                if family[other] != family[ident]:
                    raise Broken(P3, f"{other} and {ident} act on {key} at once")

    def _in_flight(self, acting: list[Any]) -> None:
        rules = [row.rule for row in acting if not row.undo_of]
        for rule in set(rules):
            if rules.count(rule) > IN_FLIGHT:
                raise Broken(
                    P4,
                    f"{rules.count(rule)} remediations of rule {rule} act at once; {IN_FLIGHT} may",
                )

    def _limits(self) -> None:
        columns = (
            attempt.c.id,
            attempt.c.begun_at,
            attempt.c.action,
            attempt.c.outcome,
            remediation.c.rule,
            remediation.c.root_key,
        )
        query = sa.select(*columns).join(remediation, remediation.c.id == attempt.c.remediation)
        rows = self._rows(
            query.where(remediation.c.undo_of == "").order_by(sa.text("attempt.rowid"))
        )
        for number in range(self._attempts, len(rows)):
            made = rows[number]
            for name, (most, keys) in RATES.items():
                same = [
                    other
                    for other in rows[: number + 1]
                    if other.begun_at > made.begun_at - WINDOW
                    and all(getattr(other, key) == getattr(made, key) for key in keys)
                    # given back before anything was sent
                    and (other.outcome is None or other.id in self.sent)
                ]
                if len(same) > most:
                    raise Broken(
                        P4,
                        f"{len(same)} attempts within 10m, {name} allows {most}:"
                        f" {', '.join(o.id for o in same)}",
                    )
            troubled = self._troubled & self._in_trouble()
            if len(troubled) >= STORM and not ACTIONS[made.action].storm_exempt:
                raise Broken(
                    P4, f"{made.id} began in a storm: alerts of {', '.join(sorted(troubled))} fire"
                )
        self._attempts = len(rows)

    def _in_trouble(self) -> set[str]:
        """The workloads of which an alert fires that a rule is for."""
        joined = sa.join(episode, attachment, attachment.c.episode == episode.c.id)
        joined = sa.join(joined, remediation, remediation.c.id == attachment.c.remediation)
        query = sa.select(remediation.c.name).distinct().select_from(joined)
        mine = query.where(
            episode.c.open, remediation.c.undo_of == "", remediation.c.state != State.SUPERSEDED
        )
        return {row.name.split("-")[0] for row in self._rows(mine)}

    def told_in_time(self, now: datetime, alive_for: float) -> None:
        """Whoever waits too long was escalated, unless a converged attempt is verified."""
        late = now - timedelta(seconds=ESCALATE_AFTER + SLACK)
        # a storm speaks for all that are in it
        if alive_for < SLACK or self._rows(sa.select(storm.c.group)):
            return
        query = sa.select(remediation).where(
            remediation.c.live, remediation.c.undo_of == "", remediation.c.created_at < late
        )
        for row in self._rows(query):
            verified = sa.select(attempt.c.id).where(
                attempt.c.remediation == row.id, attempt.c.converged_at.is_not(None)
            )
            if row.state == State.VERIFYING and self._rows(verified):
                continue
            waits = sa.select(timer.c.due_at).where(
                timer.c.kind == "escalate",
                timer.c.ref == row.id,
                timer.c.due_at < late + timedelta(seconds=ESCALATE_AFTER),
            )
            if self._rows(waits):
                raise Broken(
                    TOLD,
                    f"{row.id} was born {(now - row.created_at).total_seconds():.0f}s ago, is"
                    f" {row.state}, and nobody was told",
                )

    def unfinished(self) -> Iterator[str]:
        """What has not come to an end."""
        for row in self._rows(sa.select(remediation).where(remediation.c.live)):
            yield f"{row.id} of rule {row.rule} is {row.state} ({row.reason}: {row.why})"
        for row in self._rows(sa.select(episode).where(episode.c.open)):
            yield f"the alert {row.fingerprint} is {row.fate}, though it resolved"
        for row in self._rows(
            sa.select(timer).where(timer.c.kind.in_(("work", "restore", "escalate")))
        ):
            yield f"a timer {row.kind} of {row.ref} is set"
