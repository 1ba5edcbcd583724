"""Why something was done or not: guards' verdicts and the closed list of reasons."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Decision(StrEnum):
    """What a guard says, weakest first; the strongest of all wins."""

    ALLOW = "allow"
    APPROVE = "approve"
    HOLD = "hold"
    DENY = "deny"


STRENGTH = {decision: strength for strength, decision in enumerate(Decision)}


class Reason(StrEnum):
    """Why: a closed list, public API. `REASONS` says for each what it means."""

    UNMATCHED = "unmatched"
    ATTACHED = "attached"
    STALE_ALERT = "stale_alert"
    RESOLVED = "resolved"
    SHADOWED = "shadowed"
    NO_TARGET = "no_target"
    AMBIGUOUS_TARGET = "ambiguous_target"
    INVALID_TARGET = "invalid_target"
    TARGET_IS_EXPORTER = "target_is_exporter"
    OBSERVE_MODE = "observe_mode"
    PAUSED = "paused"
    OUTSIDE_WINDOW = "outside_window"
    STARTUP_GRACE = "startup_grace"
    TOO_RECENT = "too_recent"
    SETTLING = "settling"
    INHIBITED = "inhibited"
    NOT_ACTIVE = "not_active"
    SILENCED = "silenced"
    PROTECTED_TARGET = "protected_target"
    OPTED_OUT = "opted_out"
    OUT_OF_SCOPE = "out_of_scope"
    UNMANAGED_TARGET = "unmanaged_target"
    UNSUPPORTED_TARGET = "unsupported_target"
    OWNED_ELSEWHERE = "owned_elsewhere"
    TARGET_BUSY = "target_busy"
    COOLDOWN = "cooldown"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_IN_FLIGHT = "too_many_in_flight"
    BLAST_RADIUS = "blast_radius"
    BUDGET_EXHAUSTED = "budget_exhausted"
    STORM = "storm"
    BREAKER_OPEN = "breaker_open"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_EXPIRED = "approval_expired"
    PRECONDITION = "precondition"
    NO_CAUSE = "no_cause"
    INEFFECTIVE_BEFORE = "ineffective_before"
    GAVE_UP = "gave_up"
    UNKNOWN_FACT = "unknown_fact"
    ASSUMPTION_CHANGED = "assumption_changed"
    WOULD_INTERRUPT = "would_interrupt"
    ROLLOUT_RUNNING = "rollout_running"
    PAUSED_ROLLOUT = "paused_rollout"
    NO_REVISION = "no_revision"
    SCALED_TO_ZERO = "scaled_to_zero"
    AT_CEILING = "at_ceiling"
    NO_HEADROOM = "no_headroom"
    NOT_REPLACEABLE = "not_replaceable"
    TERMINATING = "terminating"
    ALREADY_DONE = "already_done"
    TARGET_GONE = "target_gone"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    WORSE = "worse"
    UNSUCCESSFUL = "unsuccessful"
    DEADLINE = "deadline"
    OPERATOR = "operator"
    RULE_CHANGED = "rule_changed"
    OUTRANKED = "outranked"


@dataclass(frozen=True, slots=True)
class ReasonSpec:
    """What a reason means, and what follows from it.

    `holds`: an action's refusal with it is looked at again, as it may pass. `clears`: a remediation
    that expired for it is looked at again once it is over. `stepped_in`: a failure with it says
    nothing of the rule, since somebody else changed the object, or an operator decided.
    """

    means: str
    holds: bool = False
    clears: bool = True
    stepped_in: bool = False


REASONS: dict[Reason, ReasonSpec] = {
    Reason.UNMATCHED: ReasonSpec("no rule matches the alert; `explain` says why for each rule"),
    Reason.ATTACHED: ReasonSpec("the alert joined a live remediation of the same rule and target"),
    Reason.STALE_ALERT: ReasonSpec(
        "a late delivery: the alert has resolved, and Alertmanager no longer lists it"
    ),
    Reason.RESOLVED: ReasonSpec("the alert resolved"),
    Reason.SHADOWED: ReasonSpec("an earlier rule matched and does not set `continue`"),
    Reason.NO_TARGET: ReasonSpec("no label names an object to act on"),
    Reason.AMBIGUOUS_TARGET: ReasonSpec("the labels lead to more than one object"),
    Reason.INVALID_TARGET: ReasonSpec("a label is not a valid Kubernetes name"),
    Reason.TARGET_IS_EXPORTER: ReasonSpec(
        "the only object named is the exporter that was scraped, not the workload in trouble"
    ),
    Reason.OBSERVE_MODE: ReasonSpec(
        "the rule is in observe mode: the plan was made and shown, but not executed"
    ),
    Reason.PAUSED: ReasonSpec("this scope is paused; `remediator resume` lifts the pause"),
    Reason.OUTSIDE_WINDOW: ReasonSpec(
        "outside the rule's active time intervals, or inside one that mutes it"
    ),
    Reason.STARTUP_GRACE: ReasonSpec(
        "the daemon has just started; older alerts wait until they have been re-sent"
    ),
    Reason.TOO_RECENT: ReasonSpec(
        "the alert has not been firing for as long as the rule's `pending` requires"
    ),
    Reason.SETTLING: ReasonSpec("the settle time of a new remediation has not passed"),
    Reason.INHIBITED: ReasonSpec(
        "an alert that the rule's `unless` names is firing, or Alertmanager inhibits the alert"
    ),
    Reason.NOT_ACTIVE: ReasonSpec("Alertmanager does not list the alert as active"),
    Reason.SILENCED: ReasonSpec("the alert is silenced in Alertmanager"),
    Reason.PROTECTED_TARGET: ReasonSpec("the target is in a protected namespace"),
    Reason.OPTED_OUT: ReasonSpec("an annotation on the target or its namespace forbids it"),
    Reason.OUT_OF_SCOPE: ReasonSpec(
        "the target, or the workload that owns it, is outside the scope of the rule's group"
    ),
    Reason.UNMANAGED_TARGET: ReasonSpec("the target has no controller to recreate it"),
    Reason.UNSUPPORTED_TARGET: ReasonSpec("the action does not support this kind of object"),
    Reason.OWNED_ELSEWHERE: ReasonSpec(
        "GitOps, Helm or an operator owns the fields that the plan would change"
    ),
    Reason.TARGET_BUSY: ReasonSpec("another remediation holds the lock on the target or its root"),
    Reason.COOLDOWN: ReasonSpec("a remediation of this rule on this target ended too recently"),
    Reason.RATE_LIMITED: ReasonSpec("a rate limit is used up; slots free up over time"),
    Reason.TOO_MANY_IN_FLIGHT: ReasonSpec(
        "the rule is already acting on as many targets as it may"
    ),
    Reason.BLAST_RADIUS: ReasonSpec(
        "the plan would take down more ready pods at once than `blast_radius` allows"
    ),
    Reason.BUDGET_EXHAUSTED: ReasonSpec("a disruption budget allows no further disruption now"),
    Reason.STORM: ReasonSpec(
        "so many workloads have alerts at once that a common cause is likely; people should find it"
    ),
    Reason.BREAKER_OPEN: ReasonSpec(
        "too many of the rule's last remediations did not help: approval is required until"
        " `remediator reset`"
    ),
    Reason.APPROVAL_REQUIRED: ReasonSpec("waiting for approval: `remediator approve` or `deny`"),
    Reason.APPROVAL_EXPIRED: ReasonSpec("nobody approved or denied in time", clears=False),
    Reason.PRECONDITION: ReasonSpec("a `when` query of the rule does not hold"),
    Reason.NO_CAUSE: ReasonSpec(
        "none of the causes that the rule's steps handle was found", holds=True
    ),
    Reason.INEFFECTIVE_BEFORE: ReasonSpec("this step was tried for this cause and did not help"),
    Reason.GAVE_UP: ReasonSpec("the rule's attempts on this workload are used up"),
    Reason.UNKNOWN_FACT: ReasonSpec("a fact that is needed could not be observed", holds=True),
    Reason.ASSUMPTION_CHANGED: ReasonSpec(
        "the object was modified by someone else since it was planned", stepped_in=True
    ),
    Reason.WOULD_INTERRUPT: ReasonSpec(
        "the action would take down every ready pod at once; set `allow_outage` to allow it"
    ),
    Reason.ROLLOUT_RUNNING: ReasonSpec("a rollout of the target is in progress", holds=True),
    Reason.PAUSED_ROLLOUT: ReasonSpec("the target's rollout is paused", holds=True),
    Reason.NO_REVISION: ReasonSpec("there is no older revision with a different template"),
    Reason.SCALED_TO_ZERO: ReasonSpec("the target is scaled to zero"),
    Reason.AT_CEILING: ReasonSpec(
        "an upper limit is reached: the rule's, an annotation's, or the HPA's"
    ),
    Reason.NO_HEADROOM: ReasonSpec(
        "pods already requested do not start: no node has room, or a quota rejects them"
    ),
    Reason.NOT_REPLACEABLE: ReasonSpec("nothing would replace what the action removes"),
    Reason.TERMINATING: ReasonSpec("the target is being deleted"),
    Reason.ALREADY_DONE: ReasonSpec(
        "it is already done, or we did it before and someone reverted it, so we leave it alone"
    ),
    Reason.TARGET_GONE: ReasonSpec(
        "the target does not exist, or another object has its name now", stepped_in=True
    ),
    Reason.CONFLICT: ReasonSpec("the target kept changing while we tried to write it"),
    Reason.FORBIDDEN: ReasonSpec(
        "RBAC does not allow the call; the message names the verb and the resource"
    ),
    Reason.REJECTED: ReasonSpec("the API server or an admission policy rejected the call"),
    Reason.UNREACHABLE: ReasonSpec("the API server did not answer"),
    Reason.UNSUCCESSFUL: ReasonSpec(
        "what was started ended without success, such as a Job that failed"
    ),
    Reason.WORSE: ReasonSpec("the action made things worse: fewer ready pods or new restarts"),
    Reason.DEADLINE: ReasonSpec("it took too long", clears=False),
    Reason.OPERATOR: ReasonSpec("an operator decided", clears=False, stepped_in=True),
    Reason.OUTRANKED: ReasonSpec(
        "a rule of higher priority took over while this one was only verifying"
    ),
    Reason.RULE_CHANGED: ReasonSpec(
        "the rule was changed or removed before the remediation acted, took its next step or undid"
        " its change"
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One guard's answer, with the words for a person. `retry_after` is set on every hold."""

    guard: str
    decision: Decision
    reason: Reason | None = None
    why: str = ""
    retry_after: timedelta | None = None

    def as_json(self) -> dict[str, str | None]:
        """As it is stored and shown."""
        shown = {"guard": self.guard, "verdict": self.decision, "reason": self.reason}
        return {**shown, "why": self.why}


def allow(guard: str) -> Verdict:
    """The verdict of a guard that has nothing against it."""
    return Verdict(guard, Decision.ALLOW)


def hold(
    guard: str, reason: Reason, why: str, retry_after: timedelta = timedelta(seconds=15)
) -> Verdict:
    """Not now; look again after `retry_after`."""
    return Verdict(guard, Decision.HOLD, reason, why, retry_after)


def deny(guard: str, reason: Reason, why: str) -> Verdict:
    """Not at all."""
    return Verdict(guard, Decision.DENY, reason, why)


def strongest(verdicts: list[Verdict]) -> Verdict:
    """The verdict that decides: deny over hold over approve over allow, the first of equals."""
    return max(verdicts, key=lambda verdict: STRENGTH[verdict.decision], default=allow("none"))
