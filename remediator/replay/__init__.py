"""Replays recorded alerts through the same engine on virtual time, without any side effect."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import orjson

from ..alertmanager.sandbox import SandboxAlertmanager
from ..cluster.objects import Objects
from ..engine.doors import Doors
from ..engine.engine import Engine
from ..guards.situation import ProcessLimits
from ..journal.memory import MemoryJournal
from ..model.alert import Alert, AlertStatus
from ..model.entry import EntryKind
from ..model.remediation import LIVE
from ..model.verdict import Reason
from ..ports.journal import Journal
from ..ports.records import Delivery
from ..rules.ruleset import RuleSet, WhyNot
from ..telemetry import Metrics
from .assumed import Healthy
from .closed import ClosedCluster, ClosedPrometheus, receivers
from .recorded import Recorded

SOURCE = "replay"
SHORTEST = timedelta(seconds=1)
AFTERWARDS = timedelta(hours=26)
MANY = 1_000_000
Row = Mapping[str, Any]
"""What the API shows of one remediation or episode, or one line of the timeline."""
ID = re.compile(r"[ru]-[a-z0-9]{10}")


class VirtualClock:
    """A clock that only the replay moves."""

    def __init__(self, start: datetime) -> None:
        self.time = start

    def now(self) -> datetime:
        """Aware, in UTC."""
        return self.time


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a replay: timeline, remediations, alerts, and notifications that would have
    been sent.
    """

    timeline: Sequence[Row]
    remediations: Sequence[Row]
    episodes: Sequence[Row]
    notified: Sequence[Row]
    summary: Row = field(default_factory=dict)

    def as_json(self) -> Row:
        """For `--output json`."""
        return {
            "summary": self.summary,
            "timeline": self.timeline,
            "remediations": self.remediations,
            "alerts": self.episodes,
            "notifications": self.notified,
        }


def in_mode(rules: RuleSet, mode: str) -> RuleSet:
    """The rules in this mode; a step's own stricter mode still applies."""
    sources = [
        replace(s, rule=s.rule.model_copy(update={"mode": mode}), raw={**s.raw, "mode": mode})
        for s in rules.sources
    ]
    return RuleSet(
        tuple(sources),
        tuple(override.model_copy(update={"mode": None}) for override in rules.overrides),
    )


async def run(
    recorded: Sequence[Recorded], rules: RuleSet, facts: Objects | None, limits: ProcessLimits
) -> Report:
    """Replays the webhooks in order until nothing is left to do."""
    clock = VirtualClock(recorded[0].at)
    journal, alertmanager, cluster = (
        MemoryJournal(),
        SandboxAlertmanager(),
        ClosedCluster(facts),
    )
    notified: list[Row] = []
    await journal.open(clock.now())
    clusters = {"default": cluster}
    doors = Doors(
        journal=journal,
        clusters=clusters,
        watched=clusters,
        sources={SOURCE: "default"},
        prometheus=ClosedPrometheus(isinstance(facts, Healthy)),
        alertmanager=alertmanager,
        clock=clock,
        metrics=Metrics(),
        rules=rules,
        limits=replace(limits, grace=timedelta()),
        started_at=clock.now() - timedelta(hours=1),
    )
    names = sorted(set(chain.from_iterable(loaded.rule.escalate.to for loaded in rules.sources)))
    engine = Engine(doors, receivers(names, notified))
    try:
        due: datetime | None = None
        for item in recorded:
            await _until(engine, clock, item.at, due)
            await journal.receive([Delivery(SOURCE, item.alerts, clock.now())])
            alertmanager.delivered(SOURCE, item.alerts)
            due = await engine.run_due()
        await _to_the_end(engine, clock, clock.now() + AFTERWARDS, due)
        return await _report(journal, cluster, recorded, rules, notified=notified)
    finally:
        await journal.close()


async def _until(engine: Engine, clock: VirtualClock, ends: datetime, due: datetime | None) -> None:
    """Does what is due until a time."""
    while due is not None and due <= ends and clock.time < ends:
        clock.time = min(ends, max(due, clock.time + SHORTEST))
        due = await engine.run_due()
    clock.time = ends


async def _to_the_end(
    engine: Engine, clock: VirtualClock, ends: datetime, due: datetime | None
) -> None:
    """Does what is due as long as something is in progress, but not for ever."""
    while due is not None and clock.time < ends and await _under_way(engine.doors.journal, ends):
        await _until(engine, clock, min(ends, max(due, clock.time + SHORTEST)), due)
        due = await engine.doors.journal.next_due()


async def _under_way(journal: Any, ends: datetime) -> bool:
    """Whether a remediation is live, or an undo is pending although all alerts resolved."""
    if (await journal.counts())["remediations"]:
        return True
    owed = await journal.restorations(ends, MANY)
    firing: set[str] = set()
    for row in await journal.episodes(MANY, None):
        if row["open"]:
            firing.update(row["remediations"])
    return any(item.remediation.id not in firing for item in owed)


async def _report(
    journal: Journal,
    cluster: ClosedCluster,
    recorded: Sequence[Recorded],
    rules: RuleSet,
    *,
    notified: Sequence[Row],
) -> Report:
    """The report. IDs are numbered by creation, so that two replays are equal."""
    rows = [
        shown
        for row in reversed(await journal.remediations(MANY, None))
        if (shown := await journal.show(row["id"]))
    ]
    episodes = list(reversed(await journal.episodes(MANY, None)))
    timeline = list(chain.from_iterable(map(_delivered, recorded)))
    timeline += _acted(rows, cluster)
    timeline += _unmatched(rules, episodes)
    unmatched = [row for row in episodes if row["fate"] == "unmatched"]
    summary = {
        "webhooks": len(recorded),
        "alerts": sum(len(item.alerts) for item in recorded),
        "truncated": sum(item.truncated for item in recorded),
        "episodes": len(episodes),
        "unmatched": sum(not row["remediations"] for row in unmatched),
        "remediations": dict(Counter(map(_ended_how, rows))),
        "calls": len(cluster.calls),
        "notifications": len(notified),
    }
    report = Report(
        sorted(timeline, key=lambda line: line["at"]), rows, episodes, notified, summary
    )
    numbers = {row["id"]: f"{row['id'][0]}-{number}" for number, row in enumerate(rows, 1)}
    text = orjson.dumps(report.as_json(), default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    plain = orjson.loads(ID.sub(lambda found: numbers.get(found[0], found[0]), text))
    return Report(
        plain["timeline"], plain["remediations"], plain["alerts"], plain["notifications"], summary
    )


def _acted(rows: Sequence[Row], cluster: ClosedCluster) -> Iterator[Row]:
    """The history of each remediation; after each start, the calls that would have been made."""
    calls: dict[str, list[str]] = {}
    for call_id, text in cluster.calls:
        calls.setdefault(call_id.split(".")[0], []).append(text)
    for row in rows:
        for entry in row["history"]:
            at, kind = entry["at"], entry["kind"]
            reason, text = entry["reason"], entry["text"]
            yield _line(at, row["id"], kind, row["target"], reason=reason, text=text)
            for called in calls.pop(row["id"], []) if kind == EntryKind.STARTED else []:
                yield _line(at, row["id"], "would call", row["target"], reason=None, text=called)


def _unmatched(rules: RuleSet, episodes: Sequence[Row]) -> Iterator[Row]:
    """Alerts that no rule matched, and why."""
    for row in episodes:
        if row["fate"] != "unmatched" or not row["reason"]:
            continue
        text = f"{row['labels'].get('alertname', '')}: {_why_not(rules, row)}"
        place = _namespaced(row["labels"])
        yield _line(row["last_seen"], "", "unmatched", place, reason=row["reason"], text=text)


def _ended_how(row: Row) -> str:
    ended = row["reason"] and row["state"] not in LIVE
    return f"{row['state']} {row['reason']}" if ended else str(row["state"])


def _why_not(rules: RuleSet, row: Row) -> str:
    """Why no rule matched: of those whose matchers did, what was against them."""
    alert = Alert(
        row["fingerprint"],
        AlertStatus.FIRING,
        row["labels"],
        {},
        datetime.fromisoformat(row["starts_at"]),
        None,
    )
    against = [
        a
        for a in rules.explain(alert, "default")
        if isinstance(a, WhyNot) and a.reason is not Reason.UNMATCHED
    ]
    return (
        "; ".join(f"{a.rule}: {a.why}" for a in against[:5])
        or f"no rule's matchers hold (of {len(rules.sources)})"
    )


def _delivered(item: Recorded) -> list[Row]:
    at = item.at.astimezone(UTC).isoformat()
    lines = [
        _line(
            at,
            "",
            str(alert.status),
            _namespaced(alert.labels),
            reason=None,
            text=f"{alert.name} ({alert.fingerprint})",
        )
        for alert in item.alerts
    ]
    lost = (
        [
            _line(
                at,
                "",
                "truncated",
                "",
                reason=None,
                text=f"{item.truncated} alerts were truncated from the webhook",
            )
        ]
        if item.truncated
        else []
    )
    return [*lines, *lost]


def _namespaced(labels: Mapping[str, str]) -> str:
    return "/".join(
        labels[key]
        for key in ("namespace", "deployment", "statefulset", "daemonset", "pod", "node")
        if labels.get(key)
    )


def _line(
    at: str, remediation: str, what: str, target: str, *, reason: str | None, text: str
) -> Row:
    return {
        "at": at,
        "remediation": remediation,
        "what": what,
        "target": target,
        "reason": reason,
        "text": text,
    }
