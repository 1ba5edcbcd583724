"""The limits: target lock, cooldown, attempts, rates, and remediations in flight.

They are decided inside the transaction that starts an attempt, from what the journal reads there,
so that no two remediations can both pass. A remediation's own locks do not count against it. Every
attempt of which a call was sent, or may have been sent, counts.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from ..model.duration import format_duration
from ..model.usage import Charge, Counted, Holder, Rate, Usage
from ..model.verdict import Reason, Verdict, allow, deny, hold
from .guard import Guard
from .situation import Before, ProcessLimits, Situation

MOST_DOUBLINGS = 6
ASKED_AGAIN = timedelta(minutes=1)  # one that ends wakes the next
SPENT = ("attempts", "step")  # of these there are no more; the others free with time


def counted(situation: Situation) -> tuple[Counted, ...]:
    """What the journal is to count for the limits, in their order."""
    limits, process = situation.limits, situation.process
    rule, root = ("rule", situation.rule), ("root_key", situation.root.key)
    action, namespace = ("action", situation.action), ("namespace", situation.target.namespace)
    rates: list[tuple[str, tuple[Rate, ...], tuple[tuple[str, str], ...]]] = [
        ("attempts", limits.attempts, (rule, root)),
        ("step", situation.step_attempts, (rule, root, action)),
        ("rule", limits.per_rule, (rule,)),
        ("root", process.root, (root,)),
        ("action", process.action, (action,)),
        ("namespace", process.namespace, (namespace,)),
        ("global", process.everything, ()),
    ]
    found: list[Counted] = []
    for limit, limited, where in rates:
        found += [Counted(limit, rate, where) for rate in limited]
    return tuple(found)


def target_lock(situation: Before, usage: Usage) -> Verdict:
    """target_lock: one remediation at a time acts on a workload.

    A remediation locks its target and the workload that owns it until it ends. A rule with a higher
    `priority` takes over from one that is only verifying.

    Verdicts: hold `target_busy`.
    """
    for key, holder in usage.locks.items():
        if holder.remediation != situation.remediation and not yields(situation, holder):
            why = f"remediation {holder.remediation} holds the lock on {key}"
            return hold("target_lock", Reason.TARGET_BUSY, why, timedelta(seconds=5))
    return allow("target_lock")


def yields(situation: Before, holder: Holder) -> bool:
    """Whether the holder only verifies what it did, and is of lower priority."""
    return holder.verifying and holder.priority < situation.priority


def cooldown(situation: Situation, usage: Usage) -> Verdict:
    """cooldown: a minimum time between a rule's remediations of one target.

    `limits.cooldown` counts from the end of the last one, and doubles with each in a row that did
    not help. Steps of one remediation do not wait for each other.

    Verdicts: hold `cooldown`.
    """
    if usage.ended is None or usage.begun:
        return allow("cooldown")
    grown = situation.limits.cooldown * 2 ** min(usage.ineffective_in_row, MOST_DOUBLINGS)
    left = usage.ended + grown - situation.now
    if left <= timedelta():
        return allow("cooldown")
    return hold("cooldown", Reason.COOLDOWN, f"cooldown: {format_duration(left)} left", left)


def attempts(situation: Situation, usage: Usage) -> Verdict:
    """attempts: how often a rule, or a step, may act on one workload.

    `limits.attempts` includes successful attempts, so a workload that needs a restart every hour
    is not restarted forever. When the attempts are used up, the remediation ends, and people are
    notified.

    Verdicts: deny `gave_up`.
    """
    for limit in counted(situation):
        if limit.limit in SPENT and limit in usage.used_up:
            of = f" of {situation.action}" if limit.limit == "step" else ""
            return deny(
                "attempts",
                Reason.GAVE_UP,
                f"the limit of {limit.rate} attempts{of} on {situation.root} is used up",
            )
    return allow("attempts")


def rates(situation: Situation, usage: Usage) -> list[Verdict]:
    """rates: how often attempts may start, per rule, workload, action, namespace and in total.

    Set by a rule's `limits.per_rule` and the settings' `limits`.

    Verdicts: hold `rate_limited` until the next slot is free; deny it if the limit is zero.
    """
    return [
        _rate(scope, situation, usage)
        for scope in ("rule", "root", "action", "namespace", "global")
    ]


def in_flight(situation: Situation, usage: Usage) -> Verdict:
    """in_flight: how many remediations of a rule may act at the same time.

    Those beyond wait for their turn, the oldest first.

    Verdicts: hold `too_many_in_flight`.
    """
    if usage.in_flight >= situation.limits.in_flight:
        why = f"rule {situation.rule} is already acting on {usage.in_flight} targets, its limit"
        return hold("in_flight", Reason.TOO_MANY_IN_FLIGHT, why, ASKED_AGAIN)
    return allow("in_flight")


def _rate(scope: str, situation: Situation, usage: Usage) -> Verdict:
    guard = f"rate_{scope}"
    for limit in counted(situation):
        if limit.limit != scope or limit not in usage.used_up:
            continue
        if limit.rate.count == 0:
            return deny(guard, Reason.RATE_LIMITED, f"the {scope} rate limit is zero")
        frees = usage.used_up[limit] + limit.rate.window - situation.now
        why = (
            f"rate limit of {limit.rate} per {scope} reached; next slot in {format_duration(frees)}"
        )
        return hold(guard, Reason.RATE_LIMITED, why, max(frees, timedelta(seconds=1)))
    return allow(guard)


def fullest(
    process: ProcessLimits,
    per_rule: Mapping[str, tuple[Rate, ...]],
    charges: Sequence[Charge],
    now: datetime,
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
                used = sum(
                    key(charge) == name and charge.at > now - rate.window for charge in charges
                )
                out[scope] = max(out[scope], used / rate.count)
    return out


TARGET_LOCK = Guard(
    name="target_lock",
    manual=target_lock.__doc__ or "",
    set_by="`priority`",
    order=210,
    begin=lambda situation, usage: [target_lock(situation, usage)],
)
COOLDOWN = Guard(
    name="cooldown",
    manual=cooldown.__doc__ or "",
    set_by="`limits.cooldown`",
    order=220,
    begin=lambda situation, usage: [cooldown(situation, usage)],
)
ATTEMPTS = Guard(
    name="attempts",
    manual=attempts.__doc__ or "",
    set_by="`limits.attempts`",
    order=230,
    begin=lambda situation, usage: [attempts(situation, usage)],
)
RATES = Guard(
    name="rates",
    manual=rates.__doc__ or "",
    set_by="`limits.per_rule`; settings `limits`",
    order=240,
    begin=rates,
)
IN_FLIGHT = Guard(
    name="in_flight",
    manual=in_flight.__doc__ or "",
    set_by="`limits.in_flight`",
    order=250,
    begin=lambda situation, usage: [in_flight(situation, usage)],
)
