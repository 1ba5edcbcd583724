"""How fast recorded webhooks are replayed, of which one in a hundred matches a rule."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from remediator.guards.situation import ProcessLimits
from remediator.located import load_text
from remediator.model.alert import Alert, AlertStatus
from remediator.model.limit import StormLimit
from remediator.replay import run
from remediator.replay.assumed import Healthy
from remediator.replay.recorded import Recorded
from remediator.rules.loader import build
from remediator.rules.ruleset import RuleSet

START = datetime(2026, 5, 1, tzinfo=UTC)
EVERY = timedelta(milliseconds=100)
MATCHING, OTHERS, LASTS = 100, 997, timedelta(minutes=5)
RULES = """\
version: 1
groups:
  - name: g
    scope: {namespaces: [shop]}
    defaults: {mode: act, escalate: {to: [log]}}
    rules:
      - {name: r, match: ['alertname="Leak"'], steps: [{action: restart_workload, if: always}]}
"""


def rules() -> RuleSet:
    """One rule."""
    return build([load_text(RULES, "bench.yaml")])


def recorded(count: int) -> list[Recorded]:
    """Alerts that fire and resolve in turn; the matching ones soon, each of its own workload."""
    return [_webhook(number) for number in range(count)]


def _webhook(number: int) -> Recorded:
    at, matches = START + number * EVERY, number % MATCHING == 0
    own = number // MATCHING // 2 if matches else number % OTHERS
    resolved = number // (MATCHING if matches else OTHERS) % 2 == 1
    labels = {
        "alertname": "Leak" if matches else "Other",
        "namespace": "shop",
        "deployment": f"w{own}",
    }
    alert = Alert(
        f"{labels['alertname']}-{own}",
        AlertStatus.RESOLVED if resolved else AlertStatus.FIRING,
        labels,
        {},
        at - LASTS if resolved else at,
        at if resolved else None,
    )
    return Recorded(f"bench:{number}", at, (alert,), 0)


def a_second(count: int) -> float:
    """Webhooks replayed a second, without a limit that holds most of what matches."""
    webhooks, limits = recorded(count), ProcessLimits(storm=StormLimit(roots=0))
    started = time.perf_counter()
    report = asyncio.run(run(webhooks, rules(), Healthy(), limits))
    took = time.perf_counter() - started
    assert report.summary["webhooks"] == count
    return count / took


def matched_a_second(count: int) -> float:
    """Webhooks whose alerts are only matched a second: what no replay can be faster than."""
    webhooks, found = recorded(count), rules()
    started = time.perf_counter()
    for webhook in webhooks:
        for alert in webhook.alerts:
            found.match(alert, "c")
    return count / (time.perf_counter() - started)
