"""Why each rule did or did not match an alert, and what the matching ones would do now.

A look without any write.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeGuard

from ..model.alert import Alert, AlertStatus, Episode, Fate
from ..model.plan import Refusal
from ..model.pointer import Object
from ..model.remediation import Remediation, RemediationId, State
from ..rules.ruleset import Match
from .after import undo
from .decide.assess import assess, cannot_see
from .doors import Doors
from .see.observe import observe


async def explain(doors: Doors, question: Object) -> dict[str, Any]:
    """Answers for a fingerprint that was received, or for an alert given as in a webhook.

    `error` where neither.
    """
    now = doors.clock.now()
    row: Mapping[str, Any] = {}
    if question.get("fingerprint"):
        rows = await doors.journal.episodes(1, str(question["fingerprint"]))
        if not rows:
            why = f"no alert with fingerprint {question['fingerprint']} has been received"
            return {"error": why}
        alert, source, row = _from_row(rows[0]), str(rows[0]["source"]), rows[0]
    else:
        given = question.get("alert")
        if not _has_labels(given):
            return {"error": "send a fingerprint, or an alert with labels whose values are text"}
        alert, source = _from_given(given, now), next(iter(doors.sources), "local")
    answers = []
    for answer in doors.rules.explain(alert, doors.cluster_of(source)):
        if isinstance(answer, Match):
            would = await _would(doors, answer, alert, source, now=now)
            answers.append({"rule": answer.rule.name, "matched": True, **would})
        else:
            answers.append(
                {"rule": answer.rule, "matched": False, "reason": answer.reason, "why": answer.why}
            )
    fate = {key: row[key] for key in ("fate", "reason", "deliveries", "remediations") if key in row}
    return {
        "alert": dict(alert.labels),
        "fingerprint": alert.fingerprint,
        "source": source,
        **fate,
        "rules": answers,
    }


async def would_undo(doors: Doors, remediation: str, now: datetime) -> dict[str, Any] | str:
    """What an undo that is asked for now would do; a text where it cannot be asked for."""
    would = await undo.preview(doors, remediation, now)
    if isinstance(would, str):
        return would
    answer, verdicts = would.answer, [verdict.as_json() for verdict in would.verdicts]
    if isinstance(answer, Refusal):
        refused = f"{answer.reason}: {answer.why}"
        return {"plan": "", "refused": refused, "verdicts": verdicts, "calls": []}
    calls = [call.describe() for call in answer.calls]
    return {"plan": answer.summary, "digest": answer.digest, "verdicts": verdicts, "calls": calls}


async def _would(
    doors: Doors, match: Match, alert: Alert, source: str, *, now: datetime
) -> dict[str, Any]:
    episode = Episode(0, source, alert, True, Fate.PENDING, None, now, now, 1, "")
    remediation = Remediation(
        RemediationId("explain"),
        match.rule.name,
        match.loaded.digest,
        match.target,
        "",
        State.QUEUED,
        None,
        "",
        match.rule.mode,
        0,
        now,
        now,
        None,
        None,
        "",
        "",
        "",
        0,
    )
    facts = await observe(doors, remediation, match.loaded, now, live=True)
    verdict = cannot_see(facts)
    if verdict is not None:
        return {"target": str(match.target), "verdicts": [verdict.as_json()]}
    judged = await assess(
        doors, remediation, (episode,), match.loaded, facts=facts, now=now, live=True
    )
    return dict(judged.look.as_json())


def _has_labels(given: Any) -> TypeGuard[Mapping[str, Any]]:
    labels = given.get("labels") if isinstance(given, Mapping) else None
    if not isinstance(labels, Mapping):
        return False
    return all(isinstance(value, str) for value in labels.values())


def _from_row(row: Object) -> Alert:
    starts_at = datetime.fromisoformat(row["starts_at"])
    return Alert(
        row["fingerprint"], AlertStatus.FIRING, row["labels"], row["annotations"], starts_at, None
    )


def _from_given(given: Object, now: datetime) -> Alert:
    labels = dict(given["labels"])
    return Alert(
        str(given.get("fingerprint") or "given"), AlertStatus.FIRING, labels, {}, now, None
    )
