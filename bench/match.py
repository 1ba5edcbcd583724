"""What an alert costs to match, by how many rules there are and by what tells them apart."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from remediator.located import load_text
from remediator.model.alert import Alert, AlertStatus
from remediator.rules.loader import build
from remediator.rules.ruleset import RuleSet

SINCE = datetime(2026, 5, 1, tzinfo=UTC)
LASTS = 1.0  # seconds of each case
LABELS = {"alertname": "A", "namespace": "shop", "deployment": "web", "severity": "critical"}


@dataclass(frozen=True, slots=True)
class Shape:
    """Rules by number: their matchers, their group's scope, and the labels of an alert for each."""

    name: str
    matchers: str
    scope: str
    labels: Mapping[str, str]
    goal: float  # at most so many times the cost with ten rules


SHAPES = (
    Shape("each for a name", 'alertname="A{n}"', "shop", {"alertname": "A{n}"}, 1.2),
    Shape("each in a namespace", 'alertname="A"', "team-{n}", {"namespace": "team-{n}"}, 1.2),
    Shape("each for a label", 'alertname="A"\', \'team="t{n}"', "shop", {"team": "t{n}"}, 1.2),
    Shape("each by a pattern", 'alertname=~"A.*-{n}"', "shop", {"alertname": "A{n}-{n}"}, 3),
)


def rules(shape: Shape, count: int) -> RuleSet:
    """So many rules of a shape, each in a group of its own."""
    groups = "".join(
        f"  - name: g{n}\n    scope: {{namespaces: ['{shape.scope}']}}\n    defaults: {{escalate:"
        f" {{to: [log]}}}}\n    rules:\n      - {{name: r{n}, match: ['{shape.matchers}'], steps:"
        " [{action: restart_workload}]}\n".replace("{n}", str(n))
        for n in range(count)
    )
    return build([load_text(f"version: 1\ngroups:\n{groups}", "bench.yaml")])


def seconds(shape: Shape, count: int) -> float:
    """Seconds per alert, of alerts that match one rule after the other: a median of rounds."""
    found = rules(shape, count)
    alerts = [_alert(shape, n * count // 500) for n in range(500)]
    assert all(found.match(one, "c")[0] for one in alerts)
    took: list[float] = []
    ends = time.perf_counter() + LASTS
    while not took or time.perf_counter() < ends:
        started = time.perf_counter()
        for alert in alerts:
            found.match(alert, "c")
        took.append((time.perf_counter() - started) / len(alerts))
    return median(took)


def _alert(shape: Shape, number: int) -> Alert:
    own = {label: value.replace("{n}", str(number)) for label, value in shape.labels.items()}
    return Alert("f", AlertStatus.FIRING, {**LABELS, **own}, {}, SINCE, None)
