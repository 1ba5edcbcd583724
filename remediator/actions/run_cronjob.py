"""Run a CronJob now: create one Job from its template, as `kubectl create job --from` does.

Use when: a backup or another periodic task failed or was missed, and running it again is safe.
Do not use when: a run outside its schedule, or an additional run, does harm.
How it verifies: the Job is Complete. A Job that fails is kept for inspection, with its pods and
logs.
What it leaves behind: the Job, which is owned by the CronJob like any other: its success counts as
the CronJob's, and the CronJob's history limits remove it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydantic import Field

from ..kinds import CRON_JOB, JOB
from ..model.call import CALL_ID, STAMP, Call
from ..model.facts import Facts, Unknown
from ..model.plan import Plan, Refusal, Seen, Touch, Verified, gone
from ..model.raw import annotations, conditions_of, meta, spec_of, status_of, timestamp
from ..model.sight import Looking, Object, Read, Sight
from ..model.target import Target
from ..model.verdict import Reason
from .action_spec import ActionSpec, Causes, Parameters, Sent
from .workload import terminating, unseen

NAME = "run_cronjob"
LONGEST_NAME = 63  # of a Job: its pods carry it as a label


class Params(Parameters):
    """Parameters of run_cronjob."""

    within_minutes: int = Field(default=60, ge=1, description="Time limit for the Job, in minutes.")


def _jobs(facts: Facts, _obj: Object) -> Looking[tuple[Object, ...]]:
    """The Jobs of a CronJob, including those created from it by hand."""
    (found,) = yield (Read(JOB, facts.target.namespace),)
    return tuple(job for job in found if facts.target.uid in _owners(job))


def _owners(job: Object) -> set[str]:
    return {str(owner.get("uid")) for owner in meta(job).get("ownerReferences") or []}


JOBS = Sight("jobs", _jobs, lists=frozenset({JOB}), of=frozenset({CRON_JOB}))


def plan(facts: Facts, params: Params, _causes: Causes) -> Plan | Refusal:
    """One Job; its name is bound to the call's id, so that it is never made twice."""
    refused = unseen(facts) or _refusal(facts)
    if refused:
        return refused
    assert isinstance(facts.object, Mapping)
    there = facts.target
    room = LONGEST_NAME - len("-r-0123456789-10")
    start = there.name[:room].rstrip(".")  # "-" must not follow a dot in a name
    job = Target(there.cluster, JOB.name, there.namespace, f"{start}-{CALL_ID}")
    return Plan(
        action=NAME,
        target=there,
        parameters=params.model_dump(mode="json"),
        calls=(Call("create", job, _job(there, facts.object)),),
        assumptions={},
        locks=tuple(sorted({there.key, facts.root.key})),
        summary=f"run {there} now",
        previous={},
        before={},
        touches=(Touch(there, facts.root),),
        converged_within=timedelta(minutes=params.within_minutes),
    )


def _runs_beside(jobs: Sequence[Object], spec: Object) -> str:
    """A Job that runs beside which none is started: any, or only one of ours where several may."""
    alone = spec.get("concurrencyPolicy", "Allow") != "Allow"
    running = [job for job in jobs if not _ended(job)]
    against = [job for job in running if alone or STAMP in annotations(job)]
    return str(meta(against[0])["name"]) if against else ""


def _refusal(facts: Facts) -> Refusal | None:
    """Why it is not run now."""
    obj, target, jobs = facts.object, facts.target, facts[JOBS]
    assert isinstance(obj, Mapping)
    if target.kind != CRON_JOB.name:
        return Refusal(Reason.UNSUPPORTED_TARGET, f"{target} is not a CronJob")
    if isinstance(jobs, Unknown):
        return Refusal(Reason.UNKNOWN_FACT, f"cannot list the Jobs of {target}: {jobs.why}")
    spec, status = spec_of(obj), status_of(obj)
    going = terminating(target, obj)
    if going:
        return going
    if spec.get("suspend"):
        return Refusal(Reason.OPTED_OUT, f"{target} is suspended")
    beside = _runs_beside(jobs, spec)
    if beside:
        why = f"Job {beside} of {target} is already running; not starting a second one"
        return Refusal(Reason.ROLLOUT_RUNNING, why)
    times = [status.get("lastSuccessfulTime"), *(_succeeded_at(job) for job in jobs)]
    succeeded = max(filter(None, map(timestamp, times)), default=facts.since)
    if succeeded > facts.since:
        why = f"{target} has already succeeded since the alert started, at {succeeded:%H:%M:%S} UTC"
        return Refusal(Reason.ALREADY_DONE, why)
    return None


def _succeeded_at(job: Object) -> str | None:
    """When the Job was complete."""
    status = status_of(job)
    return status.get("completionTime") if _ended(job) == "Complete" else None


def _job(cronjob: Target, obj: Object) -> Object:
    """Source: kubectl create_job.go.

    It is the CronJob's own, so that its success is the CronJob's last one.
    """
    template = obj["spec"]["jobTemplate"]
    metadata = meta(template)
    owner = {
        "apiVersion": "batch/v1",
        "kind": CRON_JOB.name,
        "name": cronjob.name,
        "uid": cronjob.uid,
        "controller": True,
    }
    notes = {
        **(metadata.get("annotations") or {}),
        "cronjob.kubernetes.io/instantiate": "manual",
        STAMP: CALL_ID,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": JOB.name,
        "metadata": {
            "labels": dict(metadata.get("labels") or {}),
            "annotations": notes,
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }


def _ended(job: Object) -> str:
    """Complete or Failed, empty while it runs."""
    for condition in conditions_of(job):
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return str(condition["type"])
    return ""


def verify(plan: Plan, sent: Sent, facts: Facts) -> Seen:
    """Whether the Job is Complete; one that failed is not taken back."""
    jobs = facts[JOBS]
    if gone(plan, facts):
        return Seen(Verified.OVERTAKEN)
    if isinstance(jobs, Unknown):
        return Seen(Verified.UNKNOWN)
    mine = [job for job in jobs if sent and annotations(job).get(STAMP) == sent[0].stamp]
    if not mine:
        return Seen(Verified.OVERTAKEN)
    name, ended = meta(mine[0]).get("name"), _ended(mine[0])
    if ended == "Failed":
        return Seen(
            Verified.FAILED,
            f"Job {name} failed; it is kept for inspection: `kubectl logs job/{name}`",
        )
    if ended:
        return Seen(Verified.CONVERGED)
    return Seen(Verified.WAITING, f"Job {name} is running")


ACTION = ActionSpec(
    name=NAME,
    summary="Run a CronJob now.",
    manual=__doc__,
    params=Params,
    targets=frozenset({CRON_JOB}),
    calls=frozenset({("create", JOB, "")}),
    disruption="none",
    causes=frozenset(),
    sees=frozenset({JOBS}),
    watches=frozenset({JOBS}),
    waives=frozenset(),
    plan=plan,
    verify=verify,
    proof="converged",
    disruptive=False,
    example="{action: run_cronjob, if: always, with: {within_minutes: 30}}",
)
