"""Rules that read well and cannot work are found when they are loaded; those that work are not."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.located import Finding
from remediator.rules.loader import RuleErrors
from tests.unit.rules.files import RESTART, file, group, loaded, refused, rule

AGAIN = "{action: restart_workload, name: again, if: any}"
BOTH = "namespaces: [shop], nodes: ['worker-.+']"


def asked(query: str) -> str:
    """A file whose rule has a `when` query."""
    return file(group(rule(more=f"when: ['{query}']")))


def aimed(target: str, *, scope: str = "namespaces: [shop]", steps: str = RESTART) -> str:
    """A file whose rule names its target."""
    return file(group(rule(more=f"target: {{{target}}}", steps=steps), scope=scope))


def the_only(findings: list[Finding]) -> str:
    (found,) = findings
    return found.code


QUERIES_THAT_CAN_BE_EMPTY = [
    "up",
    "vector(1) > 2",
    "vector(scalar(up)) > 1",
    "time() - process_start_time_seconds > 3600",
    "max_over_time(up[1h:5m] offset 10m) < 1",
    'up{app="{{ labels.app }}"} and on () up{pod=~"{{ root.name }}-.+"}',
    "up unless vector(1)",
    "up > 1 or up < 0",
    "hour() * up",
    "hour(up)",
    "up or vector(1) > 2",
    "day_of_week() == 0",
    '{__name__=~"up|down"}',
    "up # the database",
]
QUERIES_THAT_ALWAYS_HOLD = [
    "0",
    "((2))",
    "1 + 1 == bool 3",
    "-time()",
    "pi() * 2",
    "((vector(time())))",
    "((up > bool 0))",
    "sum(up) >= bool 3",
]
QUERIES_THAT_PROMETHEUS_REFUSES = [
    "",
    "up{",
    "up >",
    "up{a=b}",
    "rate(up)",
    "nosuchfunction(up)",
    "(",
]


@pytest.mark.parametrize("query", QUERIES_THAT_CAN_BE_EMPTY)
def test_a_query_that_can_be_empty_is_a_condition(query: str) -> None:
    assert loaded(asked(query)).sources[0].rule.when == (query,)


@pytest.mark.parametrize("query", QUERIES_THAT_ALWAYS_HOLD)
def test_a_query_that_is_never_empty_is_no_condition(query: str) -> None:
    assert the_only(refused(asked(query))) == "scalar-query"


@pytest.mark.parametrize("query", QUERIES_THAT_PROMETHEUS_REFUSES)
def test_a_query_that_prometheus_would_refuse_is_refused(query: str) -> None:
    assert the_only(refused(asked(query))) == "bad-promql"


@pytest.mark.parametrize(
    "query",
    [
        "up or vector(1)",
        "up or (sum(errors) or on () vector(0))",
        "-vector(1)",
        "hour()",
        "hour() * 60 + minute()",
    ],
)
def test_a_query_that_falls_back_to_a_constant_is_no_condition(query: str) -> None:
    assert the_only(refused(asked(query))) == "scalar-query"


@pytest.mark.parametrize("key", ["when: ['up{']", "verify: {until: ['up{']}"])
def test_the_queries_of_a_step_are_looked_at_as_those_of_the_rule(key: str) -> None:
    steps = f"{RESTART}, {{action: restart_workload, name: b, if: any, {key}}}"
    assert the_only(refused(file(group(rule(steps=steps))))) == "bad-promql"


@pytest.mark.parametrize(
    ("match", "fine"),
    [
        ('alertname="A"\', \'alertname!="B"', True),
        ('alertname=~"A|B"\', \'alertname!="B"', True),
        ('alertname="A"\', \'alertname="A"', True),
        ('alertname="A"\', \'team="B"', True),
        ('alertname="A"\', \'alertname=~"A.*"', True),
        ('team=""\', \'team!~".+"', True),
        ('alertname!="B"\', \'alertname="B"', False),
        ('alertname=~"AB"\', \'alertname="A"', False),
        ('alertname="A"\', \'alertname!~"A|B"', False),
        ('team=""\', \'team=~".+"', False),
        ('x="1"\', \'team="a"\', \'team="b"', False),
    ],
)
def test_matchers_that_no_alert_can_satisfy_are_told(match: str, fine: bool) -> None:
    text = file(group(rule(match=match)))
    if fine:
        assert loaded(text).sources
    else:
        assert the_only(refused(text)) == "contradiction"


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        ("kind: Deployment, namespace: shop, name: web", RESTART),
        ("kind: StatefulSet, namespace: shop, name: db.main-1", RESTART),
        ("kind: Deployment, namespace: '{{ labels.ns }}', name: 'web-{{ labels.app }}'", RESTART),
        ("kind: CronJob, namespace: shop, name: b", "{action: run_cronjob, if: always}"),
        ("kind: Node, name: worker-1", "{action: drain_node, if: always}"),
    ],
)
def test_a_target_that_the_actions_take_and_the_scope_admits_is_fine(
    target: str, steps: str
) -> None:
    assert loaded(aimed(target, steps=steps, scope=BOTH)).sources


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("kind: Pod, namespace: shop, name: web", "wrong-kind"),
        ("kind: Deployment, namespace: shop2, name: web", "out-of-scope"),
        ("kind: Deployment, namespace: shop, name: '-web'", "bad-name"),
        ("kind: Deployment, namespace: shop, name: 'web-{{ labels.app }}-'", "bad-name"),
        ("kind: Deployment, namespace: shop, name: 'wéb'", "bad-name"),
    ],
)
def test_a_target_that_can_never_be_acted_on_is_told(target: str, code: str) -> None:
    assert code in {finding.code for finding in refused(aimed(target))}


def test_an_empty_name_is_no_name() -> None:
    assert the_only(refused(aimed("kind: Deployment, namespace: shop, name: ''"))) == "bad-name"


@pytest.mark.parametrize(
    "target",
    [
        "kind: Deployment, name: web",
        "kind: Deployment, namespace: shop, name: '{{ target.name }}'",
        "kind: Deployment, namespace: '{{ root.namespace }}', name: web",
    ],
    ids=["no-namespace", "its-own-name", "its-root-s-namespace"],
)
def test_a_target_that_no_alert_can_ever_name_is_told(target: str) -> None:
    assert the_only(refused(aimed(target))) in ("missing-field", "bad-template")


def test_a_node_that_the_scope_does_not_admit_is_told() -> None:
    steps = "{action: drain_node, if: always}"
    text = aimed("kind: Node, name: master-1", scope=BOTH, steps=steps)
    assert the_only(refused(text)) == "out-of-scope"


def test_a_namespace_that_kubernetes_would_not_have_is_told() -> None:
    text = aimed("kind: Deployment, namespace: shop.a, name: web", scope="namespaces: ['shop.+']")
    assert the_only(refused(text)) == "bad-name"


@pytest.mark.parametrize(
    ("attempts", "steps", "fine"),
    [
        ("1/6h", 1, True),
        ("2/6h", 2, True),
        ("1/6h", 2, False),
        ("[5/1h, 2/6h]", 2, True),
        ("[5/1h, 1/6h]", 2, False),
        ("0/6h", 1, False),
    ],
)
def test_a_ladder_is_no_longer_than_its_attempts(attempts: str, steps: int, fine: bool) -> None:
    ladder = ", ".join([RESTART, AGAIN][:steps])
    text = file(group(rule(more=f"limits: {{attempts: {attempts}}}", steps=ladder)))
    if fine:
        assert len(loaded(text).sources[0].rule.steps) == steps
    else:
        assert the_only(refused(text)) == "ladder-too-long"


@pytest.mark.parametrize("action", ["scale_workload", "drain_node", "quarantine_pod"])
def test_an_action_that_is_for_no_cause_needs_one_from_the_rule(action: str) -> None:
    def text(more: str) -> str:
        return file(group(rule(steps=f"{{action: {action}{more}}}"), scope=BOTH))

    assert the_only(refused(text(""))) == "no-cause-named"
    for cause in ("always", "any", "crash_loop", "[oom_killed, image_pull]"):
        assert loaded(text(f", if: {cause}")).sources


@pytest.mark.parametrize("action", ["scale_workload", "restart_workload"])
def test_a_step_that_is_for_no_cause_at_all_is_told(action: str) -> None:
    (found,) = refused(file(group(rule(steps=f"{{action: {action}, if: []}}"))))
    assert found.message == "it must not be empty"


@pytest.mark.parametrize(
    ("step", "fine"),
    [
        ("{action: restart_workload, restore: {after: 1h}}", False),
        ("{action: restart_workload, restore: {after: 0s}}", True),
        ("{action: restart_workload, restore: {}}", True),
        ("{action: scale_workload, if: always, restore: {after: 1h}}", True),
        ("{action: renew_certificate, if: always, restore: {after: 1s}}", False),
    ],
)
def test_only_what_can_be_taken_back_is_taken_back_in_time(step: str, fine: bool) -> None:
    text = file(group(rule(steps=step)))
    if fine:
        assert loaded(text).sources
    else:
        assert the_only(refused(text)) == "cannot-restore"


@pytest.mark.parametrize(
    ("scope", "fine"),
    [
        ("namespaces: [shop]", True),
        ("nodes: [n1]", True),
        ("namespaces: [], nodes: [n1]", True),
        ("namespaces: []", False),
        ("namespaces: [], nodes: []", False),
        ("alerts: [shop]", False),
        ("protected: [Deployment/shop/web]", False),
        ("opt_in: true", False),
    ],
)
def test_a_scope_says_where_and_an_empty_one_is_not_everywhere(scope: str, fine: bool) -> None:
    text = file(group(rule(), scope=scope))
    if fine:
        assert loaded(text).sources
    else:
        assert the_only(refused(text)) == "no-scope"


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30))
def test_any_text_as_a_query_or_a_name_is_loaded_or_told(text: str) -> None:
    quoted = text.replace("'", "''")
    for written in (asked(quoted), aimed(f"kind: Pod, namespace: shop, name: '{quoted}'")):
        with contextlib.suppress(RuleErrors):
            loaded(written)
