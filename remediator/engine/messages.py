"""Notifications about remediations, plans that wait for approval, rules and groups. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..model.decision import Ask
from ..model.notice import Notice
from ..model.remediation import STATES, Remediation
from ..model.verdict import Reason
from ..ports.records import Claim, Line, Message, Written
from ..rules.ruleset import LoadedRule

THEIRS = (Reason.ASSUMPTION_CHANGED, Reason.TARGET_GONE)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is notified: `to` at the end, `followers` of every step. `group` is that of a storm that
    may speak for it.
    """

    to: tuple[str, ...]
    followers: tuple[str, ...]
    group: str


def audience(claim: Claim, loaded: LoadedRule | None, followers: tuple[str, ...]) -> Audience:
    """By the rule as it is loaded; as it was when the remediation was created if it is no longer
    loaded.
    """
    escalate = loaded.rule.escalate if loaded is not None else claim.rule.escalate
    group = loaded.group_in(claim.remediation.target.cluster) if loaded is not None else ""
    return Audience(escalate.to, followers, group)


def of(claim: Claim, audience: Audience, written: Written) -> tuple[Message, ...]:
    """Notifications about what was written: at an end for the rule's `escalate`, at every step for
    followers.

    Nobody is paged for a rule in mode `observe`. What a storm kept from acting is part of the
    storm's notification.
    """
    decided, spec = written.decided, STATES[written.state]
    remediation = claim.remediation
    if isinstance(decided, Ask) and decided.question is not None:
        others = tuple(name for name in audience.followers if name not in audience.to)
        question = decided.question
        return (*to_all(audience.to, question), *to_all(others, question, trouble=False))
    if written.state is written.before:
        return ()
    names = audience.followers if spec.followed else ()
    if spec.told and remediation.mode != "observe" and not _left_to_others(claim, written):
        names = (*_not_told_of_storm(claim, audience, written), *names)
    said = message(
        remediation, written.state, decided.reason or "", decided.why, story=story(written.history)
    )
    return to_all(names, said, spec.told)


def _left_to_others(claim: Claim, written: Written) -> bool:
    """A timed undo found that someone changed or deleted what it would restore: nothing is left to
    do.
    """
    return claim.remediation.undo_why == "timed" and written.decided.reason in THEIRS


def _not_told_of_storm(claim: Claim, audience: Audience, written: Written) -> tuple[str, ...]:
    if claim.attempts:
        return audience.to
    told: set[str] = set()
    for storm in written.storms:
        if storm.group == audience.group:
            told.update(storm.told)
    return tuple(name for name in audience.to if name not in told)


def message(remediation: Remediation, state: str, reason: str, why: str, **more: Any) -> Notice:
    """What every receiver gets."""
    return Notice(
        remediation=remediation.undo_of or remediation.id,
        undo=remediation.id if remediation.undo_of else "",
        rule=remediation.rule,
        target=str(remediation.target),
        cluster=remediation.target.cluster,
        state=state,
        reason=reason,
        why=why,
        show=f"remediator show {remediation.id}",
        **more,
    )


def about(
    ident: str, rule: str, state: str, reason: str, *, why: str, target: str = "all", **more: Any
) -> Notice:
    """A notification about a rule, or about the group that is its `target`."""
    return Notice(
        remediation=ident,
        rule=rule,
        target=target,
        state=state,
        reason=reason,
        why=why,
        show="remediator rules",
        **more,
    )


def story(history: Sequence[Line]) -> tuple[str, ...]:
    """The history so far, one line per entry."""
    lines = []
    for line in history:
        reason = f" {line.reason}" if line.reason else ""
        lines.append(f"{line.at:%H:%M:%S} {line.kind}{reason}: {line.text}"[:300])
    return tuple(lines)


def to_all(receivers: Sequence[str], said: Notice, trouble: bool = True) -> tuple[Message, ...]:
    """One notification per receiver."""
    return tuple(Message(name, said, trouble) for name in dict.fromkeys(receivers))
