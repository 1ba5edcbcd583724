"""run_cronjob: one Job of the template, named by its attempt.

Never two, and one that failed is kept.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.actions import ACTIONS
from remediator.actions.run_cronjob import JOBS
from remediator.errors import Unreachable
from remediator.model.call import CALL_ID, STAMP, Call, Evidence, bound
from remediator.model.facts import Facts, Unknown
from remediator.model.plan import Plan, Refusal, Seen, Verified
from remediator.model.target import Target
from remediator.model.verdict import Reason
from tests.integration.world import World, rules
from tests.unit.actions.samples import Sample
from tests.unit.objects import MINUTE, T, looked_at

RUN = ACTIONS["run_cronjob"]
BACKUP = Target("c", "CronJob", "shop", "backup", "uid-backup")
SENT = (Evidence(201, "r-1.1"),)


def cronjob(**spec: Any) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "dump", "image": "dump:1"}], "restartPolicy": "Never"}}
    template = {"metadata": {"labels": {"team": "data"}}, "spec": {"template": pod}}
    return {
        "kind": "CronJob",
        "metadata": {"name": "backup", "namespace": "shop", "uid": "uid-backup"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": template, **spec},
        "status": {},
    }


def job(name: str = "backup-1", ended: str = "", stamp: str = "", at: Any = None) -> dict[str, Any]:
    conditions = [{"type": ended, "status": "True"}] if ended else []
    return {
        "metadata": {"name": name, "annotations": {STAMP: stamp} if stamp else {}},
        "status": {
            "conditions": conditions,
            **({"completionTime": at.isoformat()} if at else {}),
        },
    }


def seen(*jobs: Any, obj: Any = None) -> Facts:
    return looked_at(BACKUP, BACKUP, obj or cronjob()).saw(JOBS, tuple(jobs))


SAMPLES = [Sample(seen())]


def planned(facts: Facts) -> Plan | Refusal:
    return RUN.plan(facts, RUN.params(), ())


def test_run_cronjob_makes_one_job_of_the_template_that_is_named_by_its_attempt() -> None:
    plan = planned(seen())
    assert isinstance(plan, Plan)
    (call,) = plan.calls
    assert str(bound(call, "r-abc.1.2").target) == "Job/shop/backup-r-abc-1-2"
    assert call.body["spec"] == cronjob()["spec"]["jobTemplate"]["spec"]
    metadata = call.body["metadata"]
    assert metadata["labels"] == {"team": "data"}
    assert metadata["annotations"] == {
        "cronjob.kubernetes.io/instantiate": "manual",
        STAMP: CALL_ID,
    }
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == ("uid-backup", True)


def test_a_long_name_leaves_room_for_the_attempt() -> None:
    there = replace(seen(), target=replace(BACKUP, name="b" * 52))
    plan = planned(there)
    assert isinstance(plan, Plan)
    assert len(bound(plan.calls[0], "r-0123456789.10").target.name) == 63


def succeeded(at: Any) -> dict[str, Any]:
    return {**cronjob(), "status": {"lastSuccessfulTime": at.isoformat()}}


@pytest.mark.parametrize(
    ("name", "facts", "reason"),
    [
        ("it is suspended", seen(obj=cronjob(suspend=True)), Reason.OPTED_OUT),
        (
            "one runs, and one may",
            seen(job(), obj=cronjob(concurrencyPolicy="Forbid")),
            Reason.ROLLOUT_RUNNING,
        ),
        (
            "it has succeeded since",
            replace(seen(obj=succeeded(T)), began=T - MINUTE),
            Reason.ALREADY_DONE,
        ),
        ("one of ours runs, whatever its policy", seen(job(stamp="r-0.1")), Reason.ROLLOUT_RUNNING),
        (
            "a Job was complete since",
            replace(seen(job(ended="Complete", at=T)), began=T - MINUTE),
            Reason.ALREADY_DONE,
        ),
        ("its Jobs are not known", seen().saw(JOBS, Unknown("RBAC")), Reason.UNKNOWN_FACT),
        (
            "it is not a CronJob",
            replace(seen(), target=replace(BACKUP, kind="Job")),
            Reason.UNSUPPORTED_TARGET,
        ),
        ("it is gone", replace(seen(), object=None), Reason.TARGET_GONE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_not_run_where(name: str, facts: Facts, reason: Reason) -> None:
    answer = planned(facts)
    assert isinstance(answer, Refusal)
    assert answer.reason is reason


@pytest.mark.parametrize(
    "facts",
    [
        seen(job()),  # Allow is the default
        seen(job(ended="Complete"), obj=cronjob(concurrencyPolicy="Forbid")),
        replace(seen(obj=succeeded(T - 2 * MINUTE)), began=T - MINUTE),
    ],
)
def test_what_ran_before_is_no_reason_against_it(facts: Facts) -> None:
    assert isinstance(planned(facts), Plan)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ((job(stamp="r-1.1", ended="Complete"), job("other", "Failed")), Verified.CONVERGED),
        ((job(stamp="r-1.1"), job("other", "Complete")), Verified.WAITING),
        ((job(stamp="r-1.1", ended="Failed"),), Verified.FAILED),
        ((job("other", "Complete"),), Verified.OVERTAKEN),
    ],
)
def test_its_own_job_decides(jobs: tuple[Any, ...], expected: Verified) -> None:
    plan = planned(seen())
    assert isinstance(plan, Plan)
    assert RUN.verify(plan, SENT, seen(*jobs)).how is expected
    assert RUN.verify(plan, SENT, seen().saw(JOBS, Unknown("timeout"))) == Seen(Verified.UNKNOWN)


RULE = (
    "name: run, match: ['alertname=\"BackupMissed\"'], steps: [{action: run_cronjob, if: always}]"
)


async def world_of(image: str = "dump:1") -> World:
    world = World(rules(RULE))
    made = cronjob()
    made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] = image
    world.cluster.create("CronJob", "shop", "backup", made["spec"], status={})
    await world.start()
    await world.run(MINUTE)
    return world


def jobs_of(world: World) -> list[Any]:
    return [obj for (kind, _, _), obj in world.cluster.objects.items() if kind == "Job"]


async def test_it_runs_once_and_is_done_when_the_job_is_complete() -> None:
    world = await world_of()
    await world.deliver("BackupMissed", "", cronjob="backup")
    await world.run(10 * MINUTE)
    (made,) = jobs_of(world)
    row = await world.only()
    assert row["state"] == "succeeded"
    assert made["metadata"]["name"] == f"backup-{row['id']}-1"
    await world.journal.close()


async def test_an_alert_that_comes_back_after_a_run_that_succeeded_makes_no_second_job() -> None:
    world = await world_of()
    since = world.clock.time
    await world.deliver("BackupMissed", "", cronjob="backup", since=since)
    await world.run(10 * MINUTE)
    await world.deliver("BackupMissed", "", cronjob="backup", since=since, firing=False)
    await world.run(30 * MINUTE, MINUTE)
    await world.deliver("BackupMissed", "", cronjob="backup", since=since)
    await world.run(timedelta(hours=2), MINUTE)
    assert len(jobs_of(world)) == 1
    await world.journal.close()


async def test_an_answer_that_was_lost_makes_no_second_job() -> None:
    world = await world_of()
    apply, asked = world.cluster.apply, list[str]()

    async def lost(call: Call, *more: Any) -> Any:
        asked.append(call.verb)
        answer = await apply(call, *more)
        if len(asked) == 1:
            raise Unreachable("the answer was lost")
        return answer

    world.cluster.apply = lost  # type: ignore[assignment, method-assign]
    await world.deliver("BackupMissed", "", cronjob="backup")
    await world.run(10 * MINUTE)
    assert (asked, len(jobs_of(world))) == (["create"], 1)
    assert (await world.only())["state"] == "succeeded"
    await world.journal.close()


async def test_a_job_that_fails_is_kept_and_nothing_is_undone() -> None:
    world = await world_of("bad:1")
    world.cluster.crashing.add("bad:1")
    await world.deliver("BackupMissed", "", cronjob="backup")
    await world.run(timedelta(minutes=20))
    rows = await world.rows()
    assert [(row["state"], row["reason"]) for row in rows] == [("failed", "unsuccessful")]
    assert "it is kept" in rows[0]["why"]
    assert len(jobs_of(world)) == 1
    await world.journal.close()
