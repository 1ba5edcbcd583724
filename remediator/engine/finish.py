"""The only place where a slice ends: the journal writes the decision; metrics, log and Event
follow.
"""

from datetime import datetime
from functools import partial

from ..errors import ClusterError
from ..model.decision import Applied, Ask, Decided, Hold, TakeBack
from ..model.remediation import LIVE, STATES, Outcome, Remediation, State
from ..ports.records import Claim, Written
from ..telemetry import Metrics, log
from . import messages
from .doors import Doors


async def finish(doors: Doors, claim: Claim, decided: Decided) -> None:
    """Writes what was decided, and returns what was written."""
    remediation = claim.remediation
    audience = messages.audience(claim, doors.rule_of(claim), doors.followers)
    tell = partial(messages.of, claim, audience)
    written = await doors.journal.write(remediation, decided, tell)
    _count(doors, claim, written)
    _log(remediation, written)
    if written.state not in LIVE:
        doors.news.forget(remediation.id)
        doors.wake.set()
    if written.state is not written.before:
        await _announce(doors, remediation, written)


def _log(remediation: Remediation, written: Written) -> None:
    """What was written. Where nothing has changed, only for debugging."""
    unchanged = written.state is written.before and written.decided.reason == remediation.reason
    (log().debug if unchanged else log().info)(
        "remediation_moved",
        remediation_id=remediation.id,
        rule=remediation.rule,
        target=str(remediation.target),
        state=written.state,
        reason=written.decided.reason,
        why=written.decided.why,
    )


def _count(doors: Doors, claim: Claim, written: Written) -> None:
    """The metrics of what was written."""
    remediation, metrics, decided = claim.remediation, doors.metrics, written.decided
    change = None if isinstance(decided, Hold | Ask | TakeBack) else decided.change
    outcome = change.outcome if change else None
    if outcome and claim.attempts:
        _count_attempt(metrics, claim, outcome, decided.at)
    # what is worse has its outcome only once it is undone, but the verification ends here
    result = Outcome.WORSE if isinstance(decided, TakeBack) else outcome
    if result and remediation.state is State.VERIFYING and not remediation.undo_of:
        metrics.count("verifications_total", remediation.rule, result)
    if written.state not in LIVE:
        _count_end(metrics, claim, written)


def _count_attempt(metrics: Metrics, claim: Claim, outcome: Outcome, at: datetime) -> None:
    attempt = claim.attempts[-1]
    took = (at - attempt.begun_at).total_seconds()
    metrics.count("attempts_total", claim.remediation.rule, attempt.action, outcome)
    metrics.observe("attempt_duration_seconds", took, attempt.action)


def _count_end(metrics: Metrics, claim: Claim, written: Written) -> None:
    """The metrics of a remediation that has ended."""
    remediation = claim.remediation
    if remediation.undo_of:
        undone = claim.undone.action if claim.undone else ""
        metrics.count("undos_total", undone, written.state)
        return
    metrics.count("remediations_total", remediation.rule, remediation.mode, written.state)
    if written.state is State.SUCCEEDED:
        took = (written.decided.at - remediation.created_at).total_seconds()
        metrics.observe("time_to_remediate_seconds", took, remediation.rule)


async def _announce(doors: Doors, remediation: Remediation, written: Written) -> None:
    """Creates a Kubernetes Event on the target. A failure is logged and changes nothing."""
    spec, decided = STATES[written.state], written.decided
    if isinstance(decided, Applied) and decided.change.applied_at is None:
        return  # further calls are held
    cluster = doors.clusters.get(remediation.target.cluster)
    if not spec.event or cluster is None:
        return
    said = f"{remediation.rule} ({remediation.id}): {decided.why}"
    try:
        await cluster.announce(remediation.target, spec.event, said, spec.event != "Remediated")
    except ClusterError as error:
        log().warning("event_not_written", remediation_id=remediation.id, why=str(error))
