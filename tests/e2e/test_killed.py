"""Killed, or told to stop, in each state.

The same end, exactly one act by the API server's own audit log.
"""

import pytest

from tests.e2e.stack import Stack
from tests.real.parts import until

pytestmark = pytest.mark.timeout(300)
MOMENTS = [
    "queued",
    "held",
    "awaiting_approval",
    "before the write",
    "after the write",
    "verifying",
]


def reach(stack: Stack, namespace: str, moment: str) -> None:
    """A crashing release, its alert, and a remediation that has come that far."""
    stack.plane.deploy(namespace, "web", "web:1")
    stack.plane.release(namespace, "web", "web:2", crashes=True)
    stack.proxy.hold = {"before the write": "before", "after the write": "after"}.get(moment, "")
    if moment == "held":
        stack.pause(namespace)
    stack.fire(namespace, alert(moment))
    if stack.proxy.hold:
        assert stack.proxy.held.wait(60)
    else:
        stack.wait(namespace, moment)


def alert(moment: str) -> str:
    return "AskFirst" if moment == "awaiting_approval" else "KubePodCrashLooping"


def go_on(stack: Stack, namespace: str, moment: str) -> None:
    """A new process, and what a person does."""
    stack.proxy.hold = ""
    stack.proxy.release.set()
    stack.start_daemon()
    if moment == "held":
        assert stack.wait(namespace, "held")["reason"] == "paused"
        stack.resume(namespace)
    if moment == "awaiting_approval":
        row = stack.wait(namespace, "awaiting_approval")
        shown = stack.get(f"{stack.url}/api/v1/remediations/{row['id']}")
        stack.post(
            f"{stack.url}/api/v1/remediations/{row['id']}/approve",
            {"digest": shown["look"]["digest"]},
        )


def ends_well(stack: Stack, namespace: str, moment: str) -> None:
    stack.wait(namespace, "verifying", seconds=90)
    until(
        lambda: stack.plane.deployment(namespace, "web")["status"].get("updatedReplicas") == 3,
        "the rollout",
        60,
    )
    stack.fire(namespace, alert(moment), ended=True)
    row = stack.wait(namespace, "succeeded", "failed", seconds=90)
    assert row["state"] == "succeeded"
    assert stack.image(namespace) == "web:1"
    acts = stack.plane.acts(namespace, "web")
    print(f"stopped {moment}: {len(acts)} act in the audit log")
    assert len(acts) == 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_each_state_it_acts_exactly_once(
    stack: Stack, namespace: str, moment: str
) -> None:
    reach(stack, namespace, moment)
    stack.kill_daemon()
    go_on(stack, namespace, moment)
    ends_well(stack, namespace, moment)


@pytest.mark.parametrize("moment", MOMENTS)
def test_stopped_in_each_state_it_continues_and_acts_exactly_once(
    stack: Stack, namespace: str, moment: str
) -> None:
    reach(stack, namespace, moment)
    if stack.proxy.hold:
        stack.proxy.release.set()
    assert stack.stop_daemon() == 0
    go_on(stack, namespace, moment)
    ends_well(stack, namespace, moment)


def test_a_person_who_sets_it_back_before_recovery_wins(stack: Stack, namespace: str) -> None:
    reach(stack, namespace, "after the write")
    stack.kill_daemon()
    stack.plane.release(namespace, "web", "web:2", crashes=False)
    go_on(stack, namespace, "after the write")
    row = stack.wait(namespace, "failed", "succeeded", "verifying", seconds=60)
    assert (row["state"], row["reason"]) == ("failed", "assumption_changed")
    assert (stack.image(namespace), len(stack.plane.acts(namespace, "web"))) == ("web:2", 1)
