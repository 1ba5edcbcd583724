"""Guards together, and each at its boundary: the strongest verdict decides, and no unknown passes.

Clocks that differ, several alerts of one remediation, and annotations as people write them.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediator.guards import (
    approval,
    breaker,
    freshness,
    grace,
    limits,
    opt_in,
    opt_out,
    ownership,
    pause,
    pipeline,
    preconditions,
    protection,
    storm,
    window,
)
from remediator.guards.situation import ProcessLimits, RuleLimits, Situation
from remediator.model.alert import Activity
from remediator.model.facts import Unknown
from remediator.model.interval import Interval, Named
from remediator.model.limit import BreakerLimit, StormLimit
from remediator.model.pauses import Pause
from remediator.model.target import Target
from remediator.model.usage import Ended, Rate
from remediator.model.verdict import Decision, Reason, Verdict, strongest
from remediator.sights.autoscaler import AUTOSCALER
from tests.unit import objects
from tests.unit.actions.samples import autoscaler, pod_facts
from tests.unit.actions.test_actions import planned
from tests.unit.guards.test_guards import (
    HPA,
    annotated,
    applied_by,
    episode,
    owned,
    paused,
    scaled,
    situation,
    through,
)
from tests.unit.guards.test_limits import charge, decided, ends, roots, usage
from tests.unit.objects import HOUR, MINUTE, WEB, T, facts

FEW = settings(deadline=None, max_examples=50)
SECOND = timedelta(seconds=1)
POD = Target("c", "Pod", "shop", "web-1", "uid-web-1")
VERDICTS = st.builds(
    Verdict,
    guard=st.sampled_from(["pause", "mode", "storm", "budgets"]),
    decision=st.sampled_from(Decision),
    why=st.text(max_size=3),
)
WEAKEST_FIRST = [Decision.ALLOW, Decision.APPROVE, Decision.HOLD, Decision.DENY]


@FEW
@given(st.lists(VERDICTS, max_size=12))
def test_the_strongest_verdict_decides_whatever_else_is_said(verdicts: list[Verdict]) -> None:
    decisive = strongest(verdicts)
    order = WEAKEST_FIRST.index
    assert all(order(one.decision) <= order(decisive.decision) for one in verdicts)
    if verdicts:
        equals = [one for one in verdicts if one.decision is decisive.decision]
        assert decisive is equals[0]
    else:
        assert decisive.decision is Decision.ALLOW


BLIND: list[tuple[str, dict[str, Any]]] = [
    ("Alertmanager", {"activity": Activity.UNKNOWN}),
    ("`unless`", {"inhibitor": Unknown("timeout")}),
    ("`when`", {"unmet": (("up", Unknown("timeout")),)}),
    ("the namespace", {"facts": replace(facts(), namespace=Unknown("timeout"))}),
    ("the object", {"facts": replace(facts(), object=Unknown("timeout"))}),
    ("budgets", {"facts": facts(budgets=Unknown("timeout"))}),
    ("room", {"facts": facts(room=Unknown("timeout"))}),
    ("pods", {"facts": facts(pods=Unknown("timeout"))}),
    ("siblings", {"facts": facts(peers=Unknown("timeout"))}),
]


def taking_one(**given: Any) -> Situation:
    """A restart that takes one ready pod away."""
    plan = planned(facts())
    one = replace(plan, touches=(replace(plan.touches[0], takes=1),))
    return situation(plan=one, **given)


@pytest.mark.parametrize(("what", "given"), BLIND, ids=[what for what, _ in BLIND])
def test_no_act_takes_place_while_one_fact_is_unknown(what: str, given: dict[str, Any]) -> None:
    assert strongest(pipeline.ask(pipeline.SECOND, taking_one())).decision is Decision.ALLOW
    verdict = strongest(pipeline.ask(pipeline.SECOND, taking_one(**given)))
    assert (verdict.decision, verdict.reason) == (Decision.HOLD, Reason.UNKNOWN_FACT)


def test_a_denial_stands_though_a_fact_is_unknown_and_every_verdict_is_kept() -> None:
    seen = taking_one(
        activity=Activity.UNKNOWN, mode="observe", pauses=paused("all"), outside=(WEB,)
    )
    verdicts = pipeline.ask(pipeline.SECOND, seen)
    assert {one.reason for one in verdicts if one.reason} == {
        Reason.PAUSED,
        Reason.UNKNOWN_FACT,
        Reason.OUT_OF_SCOPE,
        Reason.OBSERVE_MODE,
    }
    assert strongest(verdicts).reason is Reason.OUT_OF_SCOPE  # the first of the denials


def test_a_rule_in_approve_mode_asks_only_where_nothing_holds() -> None:
    asked = pipeline.ask(pipeline.SECOND, situation(mode="approve"))
    assert strongest(asked).reason is Reason.APPROVAL_REQUIRED
    held = pipeline.ask(pipeline.SECOND, situation(mode="approve", pauses=paused("all")))
    assert strongest(held).reason is Reason.PAUSED


def test_without_a_plan_there_is_nothing_to_approve() -> None:
    assert approval.check(situation(mode="approve", plan=None)).decision is Decision.ALLOW


def test_a_plan_that_changed_since_its_approval_says_so() -> None:
    assert "changed since" in approval.check(situation(mode="approve", approved_digest="x")).why
    assert "changed since" not in approval.check(situation(mode="approve")).why


@pytest.mark.parametrize(
    ("scopes", "held"),
    [
        (["cluster:d"], False),
        (["rule:R"], False),
        (["rule:r-2"], False),
        (["namespace:shop-2"], False),
        (["namespace:"], False),
        (["cluster:d", "namespace:shop"], True),
    ],
)
def test_a_pause_covers_exactly_its_scope(scopes: list[str], held: bool) -> None:
    pauses = tuple(Pause(scope, "why", "ann", None, T) for scope in scopes)
    assert (pause.check(situation(pauses=pauses)).decision is Decision.HOLD) == held


def test_a_pause_ends_exactly_when_its_time_is_up_and_names_who_paused() -> None:
    over = (Pause("all", "why", "me", T, T - HOUR),)
    assert pause.check(situation(pauses=over)).decision is Decision.ALLOW
    verdict = pause.check(situation(pauses=paused("all", SECOND)))
    assert verdict.why == "me paused all until 12:00:01 UTC: why"


def test_a_pause_of_the_namespace_of_anything_that_is_touched_holds() -> None:
    other = Target("c", "Deployment", "billing", "pay", "uid-pay")
    plan = planned(facts())
    touches = (*plan.touches, replace(plan.touches[0], target=other, root=other))
    there = replace(facts(), target=other, root=other)
    first = situation().touched[0]
    seen = replace(
        situation(pauses=paused("namespace:billing")),
        plan=replace(plan, touches=touches),
        touched=(first, replace(first, touch=touches[1], facts=there)),
    )
    assert pause.check(seen).reason is Reason.PAUSED
    protected = replace(seen, pauses=(), process=ProcessLimits(protected=("billing",)))
    verdict = protection.check(protected)
    assert verdict.reason is Reason.PROTECTED_TARGET
    assert "Deployment/billing/pay" in verdict.why
    lifted = replace(protected, lifted=frozenset({"Deployment/billing/pay"}))
    assert protection.check(lifted).decision is Decision.ALLOW


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
def test_system_namespaces_are_protected_without_any_setting(namespace: str) -> None:
    target = replace(WEB, namespace=namespace)
    assert protection.check(situation(target=target, root=target)).decision is Decision.DENY


def test_lifting_the_protection_of_one_object_lifts_it_of_no_other() -> None:
    lifted = frozenset({"Deployment/kube-system/coredns"})
    coredns = Target("c", "Deployment", "kube-system", "coredns", "u")
    for target in (replace(coredns, name="coredns-2"), replace(coredns, kind="DaemonSet")):
        seen = situation(target=target, root=target, lifted=lifted)
        assert protection.check(seen).reason is Reason.PROTECTED_TARGET


@pytest.mark.parametrize(
    ("age", "held"), [(HOUR - SECOND, False), (HOUR, False), (HOUR + SECOND, True)]
)
def test_an_alert_may_be_as_old_as_max_age(age: timedelta, held: bool) -> None:
    seen = situation(activity=Activity.UNKNOWN, episodes=(episode(-3 * HOUR, -age),))
    assert (freshness.check(seen).reason is Reason.NOT_ACTIVE) == held


def test_of_several_alerts_the_newest_confirmation_and_the_oldest_start_count() -> None:
    several = (
        episode(-30 * MINUTE, -3 * HOUR),
        episode(-5 * MINUTE, -MINUTE),
        episode(-9 * HOUR, timedelta(), open_=False),
    )
    seen = situation(activity=Activity.UNKNOWN, episodes=several, pending=30 * MINUTE)
    assert freshness.check(seen).decision is Decision.ALLOW
    longer = freshness.check(replace(seen, pending=31 * MINUTE))
    assert (longer.reason, longer.retry_after) == (Reason.TOO_RECENT, MINUTE)


def test_an_alert_that_has_resolved_confirms_nothing() -> None:
    closed = episode(-30 * MINUTE, timedelta(), open_=False)
    stale = episode(-3 * HOUR, -2 * HOUR)
    seen = situation(activity=Activity.UNKNOWN, episodes=(closed, stale))
    assert freshness.check(seen).reason is Reason.NOT_ACTIVE


def test_a_confirmation_from_a_clock_that_is_ahead_is_fresh() -> None:
    seen = situation(activity=Activity.UNKNOWN, episodes=(episode(-HOUR, 5 * MINUTE),))
    assert freshness.check(seen).decision is Decision.ALLOW


def test_a_rule_without_pending_waits_for_no_clock() -> None:
    ahead = (episode(2 * MINUTE),)
    assert freshness.check(situation(episodes=ahead)).decision is Decision.ALLOW
    waits = freshness.check(situation(episodes=ahead, pending=MINUTE))
    assert (waits.reason, waits.retry_after) == (Reason.TOO_RECENT, MINUTE)
    assert "firing for 0s" in waits.why


@pytest.mark.parametrize(
    ("since_start", "held"), [(-MINUTE, True), (-SECOND, True), (timedelta(), False)]
)
def test_only_what_began_before_the_daemon_waits_after_a_start(
    since_start: timedelta, held: bool
) -> None:
    started = T - MINUTE
    seen = situation(started_at=started, episodes=(episode(started + since_start - T),))
    verdict = grace.check(seen)
    assert (verdict.reason is Reason.STARTUP_GRACE) == held
    assert verdict.retry_after == (MINUTE if held else None)


def test_without_a_grace_period_nothing_waits() -> None:
    seen = situation(started_at=T, process=ProcessLimits(grace=timedelta()))
    assert grace.check(seen).decision is Decision.ALLOW


LUNCH = Named("lunch", (Interval(times=((12 * 60, 13 * 60),)),))


@pytest.mark.parametrize(("minute", "inside"), [(-1, False), (0, True), (59, True), (60, False)])
def test_a_window_includes_its_start_and_excludes_its_end(minute: int, inside: bool) -> None:
    now = T + minute * MINUTE
    active, muted = situation(now=now, active=(LUNCH,)), situation(now=now, mute=(LUNCH,))
    assert (window.check(active).decision is Decision.ALLOW) == inside
    assert (window.check(muted).decision is Decision.HOLD) == inside


@FEW
@given(seconds=st.integers(0, 59), micros=st.integers(0, 999_999))
def test_a_closed_window_is_looked_at_again_at_the_next_full_minute(
    seconds: int, micros: int
) -> None:
    now = T + timedelta(seconds=seconds, microseconds=micros)
    verdict = window.check(situation(now=now, mute=(LUNCH,)))
    assert verdict.retry_after is not None
    assert now + verdict.retry_after == T + MINUTE


@pytest.mark.parametrize(
    ("notes", "decision"),
    [
        ({"deny": " restart_workload ,"}, Decision.DENY),
        ({"deny": "restart"}, Decision.ALLOW),
        ({"deny": ""}, Decision.ALLOW),
        ({"allow": "scale_workload,restart_workload"}, Decision.ALLOW),
        ({"allow": "restart_workload", "deny": "restart_workload"}, Decision.DENY),
        ({"allow": "restart_workload", "disabled": "TRUE"}, Decision.DENY),
        ({"disabled": ""}, Decision.ALLOW),
        ({"paused_until": ""}, Decision.HOLD),
        ({"paused_until": "2026-05-01T12:00:00Z"}, Decision.ALLOW),
        ({"paused_until": "2026-05-01T12:00:01Z"}, Decision.HOLD),
        ({"paused_until": "2026-05-01T13:30:00+02:00"}, Decision.ALLOW),
        ({"paused_until": "2026-05-01T11:30:00-02:00"}, Decision.HOLD),
        ({"paused_until": "2026-05-01"}, Decision.HOLD),
        ({"paused_until": "übermorgen"}, Decision.HOLD),
        ({"paused_until": "tomorrow", "disabled": "true"}, Decision.DENY),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["target", "namespace"])
def test_what_annotations_forbid(where: str, notes: dict[str, str], decision: Decision) -> None:
    assert opt_out.check(situation(**annotated(where, **notes))).decision is decision


@FEW
@given(st.text(max_size=40))
def test_no_text_in_paused_until_lets_an_act_pass_unless_it_is_a_past_time(text: str) -> None:
    verdict = opt_out.check(situation(**annotated("target", paused_until=text)))
    assert verdict.decision is Decision.HOLD or text[:4].isdigit()


def test_the_hpa_of_a_workload_may_say_no_as_well() -> None:
    hpa = autoscaler(annotations={"remediator.io/deny": "scale_workload"})
    seen = situation(action="scale_workload", **through(hpa))
    assert opt_out.check(seen).reason is Reason.OPTED_OUT


def test_a_pod_whose_workload_cannot_be_read_is_held() -> None:
    seen = pod_facts(beside=Unknown("timeout"))
    verdict = opt_out.check(
        situation(facts=seen, plan=planned(pod_facts(), "quarantine_pod"), target=POD)
    )
    assert verdict.reason is Reason.UNKNOWN_FACT


@pytest.mark.parametrize("annotations", [None, {}, {"remediator.io/enabled": "1"}])
def test_only_the_word_true_opts_in(annotations: Any) -> None:
    obj = objects.workload()
    obj["metadata"]["annotations"] = annotations
    assert opt_in.check(situation(opt_in=True, facts=facts(obj))).decision is Decision.DENY


def test_an_object_that_cannot_be_read_may_have_opted_in() -> None:
    unread = replace(facts(), object=Unknown("timeout"))
    assert opt_in.check(situation(opt_in=True, facts=unread)).decision is Decision.HOLD


@pytest.mark.parametrize("policy", ["refuse", "warn", "allow"])
@pytest.mark.parametrize(
    ("owner", "given"),
    [
        ("gitops", scaled(managedFields=applied_by("kustomize-controller", "spec", "replicas"))),
        ("gitops", scaled(managedFields=applied_by("argocd-controller", "spec", "replicas"))),
        ("helm", scaled(managedFields=applied_by("helm", "spec", "replicas"))),
        ("hpa", {**scaled(), "facts": facts(autoscaler=autoscaler())}),
        (
            "operator",
            owned(ownerReferences=[{"controller": True, "kind": "Kafka", "name": "k"}]),
        ),
    ],
    ids=["Flux", "Argo CD", "Helm", "HPA", "operator"],
)
def test_each_owner_follows_its_own_policy(owner: str, given: dict[str, Any], policy: str) -> None:
    verdict = ownership.check(situation(**given, owners={owner: policy}))
    assert (verdict.decision is Decision.DENY) == (policy == "refuse")
    assert bool(verdict.why) == (policy != "allow")


def test_one_owner_that_refuses_outweighs_one_that_only_warns() -> None:
    both = scaled(
        managedFields=[
            *applied_by("helm", "spec", "replicas"),
            *applied_by("argocd-controller", "spec", "replicas"),
        ]
    )
    assert ownership.check(situation(**both)).reason is Reason.OWNED_ELSEWHERE


@pytest.mark.parametrize(
    "metadata",
    [
        {"managedFields": None},
        {"managedFields": [{"manager": "argocd-controller", "fieldsV1": None}]},
        {"managedFields": [{"manager": None, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
        {"managedFields": applied_by("kube-controller-manager", "status", "replicas")},
        {"ownerReferences": None},
        {"ownerReferences": [{"kind": "Kafka", "name": "k"}]},
    ],
    ids=str,
)
def test_what_names_no_owner_of_the_field_is_owned_by_nobody(metadata: dict[str, Any]) -> None:
    assert ownership.check(situation(**scaled(**metadata))).decision is Decision.ALLOW


def test_whether_an_hpa_scales_it_matters_only_to_a_scaling() -> None:
    blind = facts(autoscaler=Unknown("RBAC"))
    rolled_back = planned(facts(), "rollback_workload")
    assert ownership.check(situation(facts=blind, plan=rolled_back)).decision is Decision.ALLOW


def test_the_first_query_that_does_not_hold_is_named() -> None:
    seen = situation(unmet=(("up", None), ("down", Unknown("timeout"))))
    assert preconditions.check(seen).why == "query `up` returned nothing"


@pytest.mark.parametrize(
    ("ago", "open_"), [(6 * HOUR - SECOND, True), (6 * HOUR, False), (-MINUTE, True)]
)
def test_a_breaker_closes_once_nothing_bad_happened_for_its_quiet_time(
    ago: timedelta, open_: bool
) -> None:
    newest = [Ended(False, T - ago - number * MINUTE) for number in range(3)]
    since = breaker.open_since(BreakerLimit(), newest, T)
    assert (since is not None) == open_


@FEW
@given(st.permutations(ends("bgb?gb")))
def test_a_breaker_judges_the_last_ends_in_whatever_order_they_come(given_: list[Ended]) -> None:
    assert breaker.open_since(BreakerLimit(), given_, T) == T


def test_an_approved_plan_passes_an_open_breaker_but_no_other_limit() -> None:
    plan = situation().plan
    assert plan is not None
    used = usage(ends=ends("bbb"), in_flight=2)
    seen = situation(approved_digest=plan.digest)
    assert {one.reason for one in decided(seen, used) if one.reason} == {Reason.TOO_MANY_IN_FLIGHT}


@FEW
@given(
    troubled=st.integers(0, 30),
    workloads=st.none() | st.integers(0, 60),
    least=st.integers(1, 10),
    share=st.floats(0.01, 1),
)
@example(troubled=5, workloads=10, least=5, share=0.5)
def test_a_storm_needs_both_the_number_and_the_share(
    troubled: int, workloads: int | None, least: int, *, share: float
) -> None:
    keys = [f"w{number}" for number in range(troubled)]
    on = bool(storm.counted(StormLimit(least, share), "g", keys, workloads))
    whole = max(workloads, 1) if workloads is not None else None
    assert on == (troubled >= least and (whole is None or troubled / whole >= share))


def test_a_storm_is_looked_at_again_within_a_minute_and_sooner_where_it_ends_sooner() -> None:
    for left, wait in ((HOUR, MINUTE), (MINUTE, MINUTE), (20 * SECOND, 20 * SECOND)):
        seen = situation()
        verdict = storm.check(seen, usage(storm_until=T + left)(seen))
        assert (verdict.reason, verdict.retry_after) == (Reason.STORM, wait)


def test_only_namespaces_of_the_scope_count_toward_a_storm() -> None:
    troubled = (*roots(3), *roots(4, "db"), *roots(2, "shop-2"))
    assert len(storm.members(("shop",), troubled)) == 3
    assert len(storm.members(("shop.*",), troubled)) == 5
    assert len(storm.members((".+",), troubled)) == 9


@pytest.mark.parametrize("in_a_row", [0, 1, 2, 5, 6, 7, 100])
def test_a_cooldown_doubles_up_to_sixty_four_times_and_ends_exactly(in_a_row: int) -> None:
    grown = 15 * MINUTE * 2 ** min(in_a_row, 6)
    for early, held in ((SECOND, True), (timedelta(), False)):
        seen = situation(now=T + grown - early)
        verdict = limits.cooldown(seen, usage(ended=T, ineffective_in_row=in_a_row)(seen))
        assert (verdict.reason is Reason.COOLDOWN) == held
        assert verdict.retry_after == (early if held else None)


def test_a_rule_may_act_on_nothing_or_on_one_at_a_time() -> None:
    for allowed, flying, held in ((0, 0, True), (1, 0, False), (1, 1, True), (1, 9, True)):
        seen = situation(limits=RuleLimits(in_flight=allowed))
        verdict = limits.in_flight(seen, usage(in_flight=flying)(seen))
        assert (verdict.reason is Reason.TOO_MANY_IN_FLIGHT) == held


def test_a_rate_frees_when_its_oldest_charge_leaves_the_window() -> None:
    hourly = ProcessLimits(root=(), namespace=(), everything=(Rate(2, HOUR),))
    used = usage(charge(59 * MINUTE, root="x"), charge(MINUTE, root="y"))
    (held,) = [one for one in decided(situation(process=hourly), used) if one.reason]
    assert (held.guard, held.retry_after) == ("rate_global", MINUTE)
    gone = usage(charge(HOUR, root="x"), charge(MINUTE, root="y"))
    assert not [one for one in decided(situation(process=hourly), gone) if one.reason]


def test_the_hpa_of_the_target_goes_with_it_and_another_workload_is_apart() -> None:
    seen = situation(**through(autoscaler()))
    assert [item.touch.target for item in seen.touched] == [WEB, HPA]
    assert [item.touch.target for item in seen.apart] == [WEB]
    assert seen.facts[AUTOSCALER] is not None
