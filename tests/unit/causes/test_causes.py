"""Facts to causes: each with its evidence, none from what is unknown, our own acts never."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator import causes
from remediator.causes.rollout_changed import differences
from remediator.model.facts import Facts, Unknown
from remediator.model.past import Past, PastAct
from tests.unit.objects import MINUTE, T, facts, hash_of, pod, revision

LOOPING: dict[str, Any] = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
KILLED: dict[str, Any] = {"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
QUIET = (revision(1, "web:1", 90 * MINUTE, current=True),)


def names(seen: Facts, within: timedelta = timedelta(hours=1)) -> list[str]:
    return [cause.name for cause in causes.find(seen, within)]


def test_every_cause_says_what_it_is_and_sees() -> None:
    for name, cause in causes.CAUSES.items():
        assert (name, bool(cause.manual), bool(cause.sees)) == (cause.name, True, True)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, []),
        (LOOPING, ["crash_loop"]),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, []),
        (KILLED, ["oom_killed"]),
        ({"state": {"terminated": {"reason": "OOMKilled"}}}, ["oom_killed"]),
        ({"lastState": {"terminated": {"reason": "Error"}}}, []),
        (LOOPING | KILLED, ["crash_loop", "oom_killed"]),
    ],
)
def test_what_containers_tell(status: dict[str, Any], expected: list[str]) -> None:
    assert names(facts(pods=(pod("a", **status), pod("b")), revisions=QUIET)) == expected


def test_a_crash_loop_names_its_containers_and_their_restarts() -> None:
    (cause,) = causes.find(facts(pods=(pod("a", restarts=4, **LOOPING),), revisions=QUIET))
    assert cause.evidence == {"containers": {"a/app": 4}}
    assert cause.why == "crash loop: a/app (4 restarts)"


def test_a_rollout_names_what_it_changed() -> None:
    (cause,) = causes.find(facts())
    assert (
        cause.why
        == "revision 2 was rolled out 5m ago and changed spec.containers[0].image: web:1 -> web:2"
    )
    assert cause.evidence == {
        "revision": 2,
        "previous": 1,
        "age_seconds": 300,
        "changed": ["spec.containers[0].image: web:1 -> web:2"],
    }


def test_no_secret_is_shown_by_what_changed() -> None:
    old, new = (
        {"spec": {"containers": [{"env": [{"name": "P", "value": value}]}]}}
        for value in ("hunter2", "hunter3")
    )
    assert differences(old, new) == ["spec.containers[0].env[0].value"]


@pytest.mark.parametrize(
    ("name", "seen", "within"),
    [
        ("older than the window", facts(), timedelta(minutes=4)),
        ("the first revision", facts(revisions=QUIET), timedelta(hours=2)),
        (
            "a restart: nothing differs",
            facts(
                revisions=(revision(1, "web:2", 60 * MINUTE), revision(2, "web:2", current=True))
            ),
            timedelta(hours=1),
        ),
        (
            "back to an older one: it is not new",
            facts(
                revisions=(
                    revision(2, "web:1", 90 * MINUTE),
                    revision(3, "web:2", 80 * MINUTE),
                    revision(4, "web:1", current=True),
                )
            ),
            timedelta(hours=1),
        ),
        ("no current revision", facts(revisions=(revision(1, "web:1"),)), timedelta(hours=1)),
        ("revisions are unknown", facts(revisions=Unknown("RBAC")), timedelta(hours=1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_rollout(name: str, seen: Facts, within: timedelta) -> None:
    assert "rollout_changed" not in names(seen, within)


def test_our_own_rollback_is_no_news() -> None:
    act = PastAct("r", "rollback_workload", (), None, T, hash_of("web:1"), hash_of("web:2"))
    assert names(facts(past=Past((act,)))) == []
    restart = replace(act, action="restart_workload", before=hash_of("web:2"))
    assert names(facts(past=Past((restart,)))) == ["rollout_changed"]


def test_unknown_pods_show_no_cause() -> None:
    assert names(facts(pods=Unknown("RBAC"), revisions=QUIET)) == []
