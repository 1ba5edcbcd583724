"""Bugs on purpose: each breaks one promise, and the simulation must
find it by the invariant that names that promise.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from remediator.cluster.sandbox import SandboxCluster
from remediator.cluster.watch import Watch
from remediator.engine import worker
from remediator.engine.act import recover, send
from remediator.engine.after import judging, verify
from remediator.engine.arrive.intake import Intake
from remediator.engine.engine import Engine
from remediator.guards import activity, approval, freshness, pause, pipeline, storm
from remediator.journal import remediations
from remediator.journal.sql import SqlJournal
from remediator.journal.tables import charge, target_lock
from remediator.journal.tables import remediation as table
from remediator.model.call import Effect
from remediator.model.plan import Seen, Verified
from remediator.model.raw import meta
from remediator.model.remediation import LIVE, State
from remediator.model.verdict import Decision, allow

from . import invariants


@contextmanager
def patched(owner: Any, **changes: Any) -> Iterator[None]:
    """The attributes, changed for a while."""
    before = {name: getattr(owner, name) for name in changes}
    try:
        for name, value in changes.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextmanager
def ack_before_commit() -> Iterator[None]:
    """200 is answered when a webhook is queued, before it is durable."""

    async def receive(self: Intake, source: str, body: bytes, counted: Any) -> None:
        self._queue.put_nowait(intake_waiting(self, source, body))

    def intake_waiting(self: Intake, source: str, body: bytes) -> Any:
        from remediator.engine.arrive.intake import _Waiting
        from remediator.ports.records import Body

        return _Waiting(
            Body(source, self._doors.clock.now(), body), asyncio.get_running_loop().create_future()
        )

    with patched(Intake, receive=receive):
        yield


@contextmanager
def lease_check_skipped() -> Iterator[None]:
    """A worker that lost its lease writes on."""

    def fence(c: Any, remediation: Any) -> Any:
        return c.execute(sa.select(table).where(table.c.id == remediation.id)).one()

    with patched(remediations, fence=fence):
        yield


@contextmanager
def uid_dropped() -> Iterator[None]:
    """Whatever has the name now is written, though another object had it when the plan was made."""
    changed, apply = send._assumption_changed, SandboxCluster.apply

    def by_name(call: Any, obj: Any) -> Any:
        if isinstance(obj, dict):
            call = replace(call, target=call.target.seen(str(meta(obj).get("uid"))), assumes={})
        return changed(call, obj)

    async def anyway(self: Any, call: Any, *more: Any, **named: Any) -> Any:
        there = self.objects.get((call.target.kind, call.target.namespace, call.target.name))
        return await apply(
            self,
            replace(call, target=call.target.seen(meta(there)["uid"])) if there else call,
            *more,
            **named,
        )

    observe = SandboxCluster.observe

    async def without(self: Any, target: Any, *more: Any) -> Any:
        return await observe(self, replace(target, uid=""), *more)

    with (
        patched(send, _assumption_changed=by_name),
        patched(SandboxCluster, apply=anyway, observe=without),
    ):
        yield


@contextmanager
def limits_outside_begin() -> Iterator[None]:
    """Limits are decided from what was read a moment before the transaction."""
    begin = SqlJournal.begin

    async def early(
        self: SqlJournal, remediation: Any, intent: Any, decide: Callable[..., Any]
    ) -> Any:
        verdicts = decide(await self.usage(remediation, intent.reading, intent.attempt.begun_at))
        if any(verdict.decision is not Decision.ALLOW for verdict in verdicts):
            return verdicts
        return await begin(self, remediation, intent, lambda _: verdicts)

    with patched(SqlJournal, begin=early):
        yield


@contextmanager
def unknown_is_allow() -> Iterator[None]:
    """What cannot be known is taken to be fine."""
    guards = [guard for guard in pipeline.SECOND if guard not in (activity.check, freshness.check)]

    def check(situation: Any) -> Any:
        verdict = activity.check(situation)
        return verdict if verdict.reason != "unknown_fact" else allow("activity")

    with patched(pipeline, SECOND=[*guards, check]):
        yield


@contextmanager
def pause_is_not_asked_again() -> Iterator[None]:
    """Just before the write nobody looks whether it was paused meanwhile."""
    guards = [guard for guard in pipeline.SECOND if guard is not pause.check]
    with patched(
        pipeline,
        FIRST=[guard for guard in pipeline.FIRST if guard is not pause.check],
        SECOND=guards,
    ):
        yield


@contextmanager
def any_approval_will_do() -> Iterator[None]:
    """Once somebody approved, whatever plan there is now is carried out."""

    def check(situation: Any) -> Any:
        return allow("approval") if situation.approved_digest else approval.check(situation)

    with patched(
        pipeline, SECOND=[check if guard is approval.check else guard for guard in pipeline.SECOND]
    ):
        yield


@contextmanager
def storm_is_not_counted() -> Iterator[None]:
    """However many come into trouble at once, each is repaired."""
    with patched(storm, check=lambda *_: allow("storm"), on=lambda *_: False):
        yield


@contextmanager
def lock_released_before_verify() -> Iterator[None]:
    """The lock goes when the call was answered, not when its effect was proved."""
    write = remediations.settle

    def early(c: Any, remediation: Any, decided: Any, tell: Any) -> Any:
        after = write(c, remediation, decided, tell)
        if after.state is State.VERIFYING:
            c.execute(sa.delete(target_lock).where(target_lock.c.remediation == remediation.id))
        return after

    with patched(remediations, settle=early):
        yield


@contextmanager
def sent_again_after_a_look_that_proved_it() -> Iterator[None]:
    """Recovery sends a call although the object shows that it took effect."""
    from remediator.model.call import effect

    def blind(call: Any, call_id: str, obj: Any) -> Effect:
        seen = effect(call, call_id, obj)
        return Effect.ABSENT if seen is Effect.PROVED and call.verb == "patch" else seen

    with patched(recover, effect=blind, _did_not_land=lambda *_, **_named: None):
        yield


@contextmanager
def resolved_alone_is_success() -> Iterator[None]:
    """The cluster is not asked whether it converged."""
    needed = judging.needs_proof
    with_proof = verify._with_proof

    async def trusting(doors: Any, check: Any) -> Any:
        return await with_proof(doors, replace(check, seen=Seen(Verified.CONVERGED)))

    def waiting_too(check: judging.Check) -> bool:
        return needed(check) or check.seen == Seen(Verified.WAITING)

    with patched(verify, needs_proof=waiting_too, _with_proof=trusting):
        yield


@contextmanager
def charge_refunded() -> Iterator[None]:
    """What ended is no longer counted."""
    write = remediations.settle

    def generous(c: Any, remediation: Any, decided: Any, tell: Any) -> Any:
        after = write(c, remediation, decided, tell)
        if after.state not in LIVE:
            c.execute(sa.delete(charge).where(charge.c.remediation == remediation.id))
        return after

    with patched(remediations, settle=generous):
        yield


@contextmanager
def escalation_inside_the_worker() -> Iterator[None]:
    """People are told by the workers, when these have time."""
    escalate, work = Engine._escalate, worker.run_one

    async def never(self: Engine) -> float:
        return 20.0

    async def working(doors: Any, now: Any) -> bool:
        done = await work(doors, now)
        if done:
            engine = Engine.__new__(Engine)
            engine.doors = doors
            await escalate(engine)
        return done

    with patched(Engine, _escalate=never), patched(worker, run_one=working):
        yield


@contextmanager
def lost_watch_answers_on() -> Iterator[None]:
    """What was kept is believed, whatever became of its watch."""
    with patched(Watch, alive=property(lambda self: bool(self.kept.version))):
        yield


@contextmanager
def begin_is_not_waited_for() -> Iterator[None]:
    """An attempt begins in a transaction for which the disk was not waited for."""

    async def begin(self: SqlJournal, *given: Any) -> Any:
        return await self._note(remediations.begin, *given)

    with patched(SqlJournal, begin=begin):
        yield


Mutation = Callable[[], Any]
# the bug, the invariant that must find it, the first seed to try
MUTATIONS: list[tuple[Mutation, str, int]] = [
    (ack_before_commit, invariants.P1, 0),
    (lease_check_skipped, invariants.LEASE, 33),
    (uid_dropped, invariants.RIGHT_OBJECT, 94),
    (limits_outside_begin, invariants.P4, 59),
    (unknown_is_allow, invariants.P5, 46),
    (lock_released_before_verify, invariants.P3, 27),
    (sent_again_after_a_look_that_proved_it, invariants.P2, 273),
    (resolved_alone_is_success, invariants.P6, 19),
    (charge_refunded, invariants.P4, 1),
    (pause_is_not_asked_again, invariants.P5, 139),
    (any_approval_will_do, invariants.P7, 81),
    (storm_is_not_counted, invariants.P4, 7),
    (escalation_inside_the_worker, invariants.TOLD, 243),
    (lost_watch_answers_on, invariants.FRESH, 78),
    (begin_is_not_waited_for, invariants.P2, 157),
]
