"""The demo plays to its end; with any part broken it exits non-zero and says what did not come."""

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from remediator import causes
from remediator.actions import ACTIONS
from remediator.alertmanager.sandbox import SandboxAlertmanager
from remediator.cli import demo
from remediator.cluster.sandbox import SandboxCluster
from remediator.engine.after import verify
from remediator.engine.arrive import triage
from remediator.engine.arrive.intake import Intake
from remediator.guards import approval, limits, pipeline
from remediator.journal.sql import SqlJournal
from remediator.model.alert import Activity
from remediator.model.plan import Refusal
from remediator.model.verdict import Reason
from remediator.web.api import OperatorApi


async def test_the_demo_comes_to_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert await demo.run(0, leave=True) == 0
    shown = capsys.readouterr().out
    assert shown.count("=> as expected") == 6
    assert "rollout_changed" in shown
    assert "gave_up" in shown
    assert "awaiting_approval" in shown
    assert "from 3 to 5 replicas" in shown
    assert "quarantine Pod/shop/api-" in shown


async def fails(*_: object, **__: object) -> None:
    raise RuntimeError("broken for the test")


def refuses(*_: object) -> Refusal:
    return Refusal(Reason.UNKNOWN_FACT, "broken for the test")


async def unknown(*_: object) -> Activity:
    return Activity.UNKNOWN


BROKEN: list[tuple[str, Any, str, Any]] = [
    ("the webhook", Intake, "receive", fails),
    ("the inbox", SqlJournal, "inbox", fails),
    ("triage", triage, "decide", fails),
    ("the journal's begin", SqlJournal, "begin", fails),
    ("observe", SandboxCluster, "observe", fails),
    ("apply", SandboxCluster, "apply", fails),
    ("causes", causes, "CAUSES", {}),
    ("Alertmanager", SandboxAlertmanager, "activity", unknown),
    ("scaling", ACTIONS, "scale_workload", replace(ACTIONS["scale_workload"], plan=refuses)),
    ("isolating", ACTIONS, "quarantine_pod", replace(ACTIONS["quarantine_pod"], plan=refuses)),
    (
        "the attempts limit",
        pipeline,
        "BEGIN",
        [c for c in pipeline.BEGIN if c is not limits.ATTEMPTS.begin],
    ),
    (
        "the approval guard",
        pipeline,
        "SECOND",
        [guard for guard in pipeline.SECOND if guard is not approval.check],
    ),
    ("verification", verify, "check", fails),
    ("the API", OperatorApi, "_remediation", fails),
]


@pytest.mark.parametrize(
    ("name", "where", "what", "instead"), BROKEN, ids=[case[0] for case in BROKEN]
)
async def test_a_broken_part_fails_the_demo(
    name: str,
    where: Any,
    what: str,
    instead: Any,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 9.0)
    if isinstance(where, MutableMapping):
        monkeypatch.setitem(where, what, instead)
    else:
        monkeypatch.setattr(where, what, instead)
    assert await demo.run(0, leave=True) == 1
    assert "NOT as expected" in capsys.readouterr().out
