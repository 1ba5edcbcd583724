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
    nothing of the rule, since somebody else changed the object, or a person decided.
    """

    means: str
    holds: bool = False
    clears: bool = True
    stepped_in: bool = False


REASONS: dict[Reason, ReasonSpec] = {
    Reason.UNMATCHED: ReasonSpec("no rule matches the alert; `explain` says for each rule why not"),
    Reason.ATTACHED: ReasonSpec(
        "the alert joined a remediation that is already on its way for the same rule and target"
    ),
    Reason.STALE_ALERT: ReasonSpec(
        "a late delivery: the alert had resolved, and its Alertmanager does not list it"
    ),
    Reason.RESOLVED: ReasonSpec("the alert resolved"),
    Reason.SHADOWED: ReasonSpec("an earlier rule matched and does not say `continue`"),
    Reason.NO_TARGET: ReasonSpec("the labels name no object to act on"),
    Reason.AMBIGUOUS_TARGET: ReasonSpec("the labels lead to more than one object"),
    Reason.INVALID_TARGET: ReasonSpec("a label is no valid Kubernetes name"),
    Reason.TARGET_IS_EXPORTER: ReasonSpec(
        "the only object named is the exporter that was scraped, not the victim"
    ),
    Reason.OBSERVE_MODE: ReasonSpec(
        "the rule only observes: the plan was made and shown, nothing was called"
    ),
    Reason.PAUSED: ReasonSpec("somebody paused this scope; `remediator resume` lifts it"),
    Reason.OUTSIDE_WINDOW: ReasonSpec(
        "the rule may act only in other time intervals, or one mutes it now"
    ),
    Reason.STARTUP_GRACE: ReasonSpec(
        "the daemon started moments ago; old news is let settle first"
    ),
    Reason.TOO_RECENT: ReasonSpec(
        "the alert has not been firing as long as the rule's `pending` asks"
    ),
    Reason.SETTLING: ReasonSpec("the settle time of a new remediation is not over"),
    Reason.INHIBITED: ReasonSpec(
        "an alert named in the rule's `unless`, or in Alertmanager's inhibition, is firing"
    ),
    Reason.NOT_ACTIVE: ReasonSpec("the alert's Alertmanager does not list it as active"),
    Reason.SILENCED: ReasonSpec("somebody silenced the alert"),
    Reason.PROTECTED_TARGET: ReasonSpec("the target is in a protected namespace"),
    Reason.OPTED_OUT: ReasonSpec("an annotation on the target or its namespace says no"),
    Reason.OUT_OF_SCOPE: ReasonSpec("the climbed target is outside the scope of the rule's group"),
    Reason.UNMANAGED_TARGET: ReasonSpec("the target has no controller that would bring it back"),
    Reason.UNSUPPORTED_TARGET: ReasonSpec("the action does not know this kind of object"),
    Reason.OWNED_ELSEWHERE: ReasonSpec(
        "GitOps, Helm or an operator owns what the plan would write"
    ),
    Reason.TARGET_BUSY: ReasonSpec("another remediation holds the lock on the target or its root"),
    Reason.COOLDOWN: ReasonSpec("a remediation of this rule on this target ended too recently"),
    Reason.RATE_LIMITED: ReasonSpec("a rate limit is used up; it frees with time"),
    Reason.TOO_MANY_IN_FLIGHT: ReasonSpec(
        "the rule is acting on as many targets as it may at once"
    ),
    Reason.BLAST_RADIUS: ReasonSpec(
        "the plan would take away more ready pods at once than `blast_radius` permits"
    ),
    Reason.BUDGET_EXHAUSTED: ReasonSpec("a disruption budget permits no more pods to go now"),
    Reason.STORM: ReasonSpec(
        "so many workloads are in trouble at once that they have a common cause; it is for people"
        " to find"
    ),
    Reason.BREAKER_OPEN: ReasonSpec(
        "too many of the rule's last remediations did not help: a person must approve; `remediator"
        " reset` ends that"
    ),
    Reason.APPROVAL_REQUIRED: ReasonSpec("waiting for a person: `remediator approve` or `deny`"),
    Reason.APPROVAL_EXPIRED: ReasonSpec("nobody decided in time", clears=False),
    Reason.PRECONDITION: ReasonSpec("a `when` query of the rule does not hold"),
    Reason.NO_CAUSE: ReasonSpec(
        "the facts show none of the causes that the rule's steps are for", holds=True
    ),
    Reason.INEFFECTIVE_BEFORE: ReasonSpec("this step was tried for this cause and did not help"),
    Reason.GAVE_UP: ReasonSpec("the rule's attempts on this root are spent"),
    Reason.UNKNOWN_FACT: ReasonSpec(
        "something that must be known could not be observed", holds=True
    ),
    Reason.ASSUMPTION_CHANGED: ReasonSpec(
        "the object is no longer as the plan assumed; somebody else changed it", stepped_in=True
    ),
    Reason.WOULD_INTERRUPT: ReasonSpec(
        "the act would take every ready pod away at once; `allow_outage` permits it"
    ),
    Reason.ROLLOUT_RUNNING: ReasonSpec("a rollout of the target is in progress", holds=True),
    Reason.PAUSED_ROLLOUT: ReasonSpec("the target's rollout is paused", holds=True),
    Reason.NO_REVISION: ReasonSpec("there is no older revision that truly differs"),
    Reason.SCALED_TO_ZERO: ReasonSpec("the target is scaled to zero on purpose"),
    Reason.AT_CEILING: ReasonSpec("a cap is reached: the rule's, an annotation's, or the HPA's"),
    Reason.NO_HEADROOM: ReasonSpec(
        "pods that were asked for already do not come: no node takes them, or a quota refuses them"
    ),
    Reason.NOT_REPLACEABLE: ReasonSpec("nothing would take the place of what the act removes"),
    Reason.TERMINATING: ReasonSpec("the target is being deleted"),
    Reason.ALREADY_DONE: ReasonSpec(
        "it is so already, or an act of ours did this before and others took it back: it is theirs"
        " to decide"
    ),
    Reason.TARGET_GONE: ReasonSpec(
        "the target does not exist, or another object has its name now", stepped_in=True
    ),
    Reason.CONFLICT: ReasonSpec("the target kept changing while it was being written"),
    Reason.FORBIDDEN: ReasonSpec(
        "RBAC does not allow the call; the message names the verb and the resource"
    ),
    Reason.REJECTED: ReasonSpec("the API server or an admission policy refused the call"),
    Reason.UNREACHABLE: ReasonSpec("the API server did not answer, or cannot now"),
    Reason.UNSUCCESSFUL: ReasonSpec(
        "what was begun came to an end without success, such as a Job that failed"
    ),
    Reason.WORSE: ReasonSpec("the act made things worse: fewer ready pods or new restarts"),
    Reason.DEADLINE: ReasonSpec("the time for it ran out", clears=False),
    Reason.OPERATOR: ReasonSpec("a person decided", clears=False, stepped_in=True),
    Reason.OUTRANKED: ReasonSpec(
        "a rule of higher priority took over while this one only verified"
    ),
    Reason.RULE_CHANGED: ReasonSpec(
        "the rule was changed or withdrawn while the remediation had not begun, or what it did was"
        " to be undone"
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
