"""limits: target lock, cooldown, attempts, rates, in flight, storm and breaker: decided inside the begin transaction.

Pure over what the journal read there, so that no two remediations can both pass. A remediation's own charges and
locks do not count against it, except for `attempts`, `rates` and the like, which count every attempt ever begun.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from ..model.duration import format_duration
from ..model.usage import Charge, Holder, Rate, Usage
from ..model.verdict import Reason, Verdict, allow, deny, hold
from . import breaker, storm
from .situation import ProcessLimits, Situation

MOST_DOUBLINGS = 6


def decide(situation: Situation, usage: Usage) -> list[Verdict]:
    """Every limit's verdict, in order."""
    return [
        target_lock(situation, usage),
        cooldown(situation, usage),
        attempts(situation, usage),
        *rates(situation, usage),
        in_flight(situation, usage),
        storm.check(situation, usage),
        breaker.check(situation, usage),
    ]


def target_lock(situation: Situation, usage: Usage) -> Verdict:
    """Holds while another remediation holds a lock that the plan needs, unless that one yields."""
    for key, holder in usage.locks.items():
        if holder.remediation != situation.remediation and not yields(situation, holder):
            why = f"remediation {holder.remediation} holds the lock on {key}"
            return hold("target_lock", Reason.TARGET_BUSY, why, timedelta(seconds=5))
    return allow("target_lock")


def yields(situation: Situation, holder: Holder) -> bool:
    """Whether the holder only verifies what it did, and is of lower priority."""
    return holder.verifying and holder.priority < situation.priority


def cooldown(situation: Situation, usage: Usage) -> Verdict:
    """Holds until the rule's cooldown since its last act on this target is over; rungs of one ladder do not wait.

    It doubles with each remediation in a row that did not help.
    """
    own = any(charge.remediation == situation.remediation for charge in usage.charges)
    if usage.ended is None or own:
        return allow("cooldown")
    grown = situation.limits.cooldown * 2 ** min(usage.ineffective_in_row, MOST_DOUBLINGS)
    left = usage.ended + grown - situation.now
    if left <= timedelta():
        return allow("cooldown")
    return hold("cooldown", Reason.COOLDOWN, f"{format_duration(left)} of the cooldown are left", left)


def attempts(situation: Situation, usage: Usage) -> Verdict:
    """Denies once the rule's attempts on this root are spent: gave up, people are told."""
    mine = [c for c in usage.charges if c.rule == situation.rule and c.root_key == situation.root.key]
    for rate in (*situation.limits.attempts,):
        used = _within(mine, rate, situation)
        if len(used) >= rate.count:
            return deny("attempts", Reason.GAVE_UP, f"{rate} attempts on {situation.root} are spent")
    for rate in situation.step_attempts:
        used = _within([c for c in mine if c.action == situation.action], rate, situation)
        if len(used) >= rate.count:
            return deny("attempts", Reason.GAVE_UP, f"{rate} attempts of {situation.action} on {situation.root} are spent")
    return allow("attempts")


def rates(situation: Situation, usage: Usage) -> list[Verdict]:
    """Holds until a rate frees: per rule, root, action, namespace and over all."""
    process, limits = situation.process, situation.limits
    scopes: list[tuple[str, tuple[Rate, ...], Callable[[Charge], bool]]] = [
        ("rule", limits.per_rule, lambda c: c.rule == situation.rule),
        ("root", process.root, lambda c: c.root_key == situation.root.key),
        ("action", process.action, lambda c: c.action == situation.action),
        ("namespace", process.namespace, lambda c: c.namespace == situation.target.namespace),
        ("global", process.everything, lambda c: True),
    ]
    return [_rate(name, rates_, list(filter(counts, usage.charges)), situation) for name, rates_, counts in scopes]


def in_flight(situation: Situation, usage: Usage) -> Verdict:
    """Holds while the rule acts on as many targets as it may."""
    if usage.in_flight >= situation.limits.in_flight:
        why = f"rule {situation.rule} is acting on {usage.in_flight} targets, which is as many as it may"
        return hold("in_flight", Reason.TOO_MANY_IN_FLIGHT, why)
    return allow("in_flight")


def _rate(scope: str, limits: tuple[Rate, ...], charges: list[Charge], situation: Situation) -> Verdict:
    guard = f"rate_{scope}"
    for rate in limits:
        used = _within(charges, rate, situation)
        if len(used) >= rate.count:
            if rate.count == 0:
                return deny(guard, Reason.RATE_LIMITED, f"the {scope} rate is zero")
            frees = sorted(c.at for c in used)[len(used) - rate.count] + rate.window - situation.now
            why = f"{rate} per {scope} used up; frees in {format_duration(frees)}"
            return hold(guard, Reason.RATE_LIMITED, why, max(frees, timedelta(seconds=1)))
    return allow(guard)


def _within(charges: list[Charge], rate: Rate, situation: Situation) -> list[Charge]:
    return [charge for charge in charges if charge.at > situation.now - rate.window]


def fullest(
    process: ProcessLimits, per_rule: Mapping[str, tuple[Rate, ...]], charges: Sequence[Charge], now: datetime
) -> dict[str, float]:
    """Of each scope, the limit that is used up most, as used / allowed."""
    keys: dict[str, tuple[Callable[[Charge], str], Callable[[str], tuple[Rate, ...]]]] = {
        "target": (lambda charge: charge.root_key, lambda _: process.root),
        "rule": (lambda charge: charge.rule, lambda name: per_rule.get(name, ())),
        "action": (lambda charge: charge.action, lambda _: process.action),
        "namespace": (lambda charge: charge.namespace, lambda _: process.namespace),
        "global": (lambda _: "", lambda _: process.everything),
    }
    out = dict.fromkeys(keys, 0.0)
    for scope, (key, rates_of) in keys.items():
        for name in {key(charge) for charge in charges}:
            for rate in (rate for rate in rates_of(name) if rate.count):
                used = sum(key(charge) == name and charge.at > now - rate.window for charge in charges)
                out[scope] = max(out[scope], used / rate.count)
    return out
