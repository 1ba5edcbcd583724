"""What users meet, and inputs that must not be forgotten: each by the promise that was broken."""

import asyncio
import contextlib
import dataclasses
import gc
import inspect
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from remediator import shipped
from remediator.app import check_people
from remediator.causes import crash_loop, oom_killed
from remediator.cli.starter import ROUTES
from remediator.cluster.sandbox import SandboxCluster
from remediator.errors import ConfigurationError
from remediator.generate import PRINTED, rbac
from remediator.guards.situation import Before, Situation, Undoing
from remediator.located import load_text
from remediator.model.facts import Facts
from remediator.model.notice import from_payload
from remediator.model.target import Target, target_of
from remediator.notify import words
from remediator.rules.loader import RuleErrors, build
from remediator.rules.targets import resolve
from remediator.settings import Settings
from remediator.sights import SIGHTS
from remediator.sights.pods import PODS
from tests.unit.objects import MINUTE, T, facts

HOUR = timedelta(hours=1)
HEAD = (
    "version: 1\ngroups:\n  - name: g\n    scope: {namespaces: [shop]}\n    defaults: {escalate:"
    " {to: [log]}}\n    rules:\n"
)


def mistakes(rule: str, head: str = HEAD) -> list[Any]:
    with pytest.raises(RuleErrors) as refused:
        build([load_text(f"{head}      - {{{rule}}}\n", "rules.yaml")])
    return refused.value.findings


RESTART = "steps: [{action: restart_workload}]"


@pytest.mark.parametrize(
    ("rule", "code", "words_"),
    [
        (
            "name: r, match: ['alertname=\"A\"'], when: ['up{'], " + RESTART,
            "bad-promql",
            "Prometheus would reject this query",
        ),
        (
            "name: r, match: ['alertname=\"A\"'], when: ['0'], " + RESTART,
            "scalar-query",
            "a scalar always returns a value",
        ),
        (
            "name: r, match: ['alertname=\"A\"'], when: ['scalar(up)'], " + RESTART,
            "scalar-query",
            "a scalar always returns",
        ),
        (
            "name: r, match: ['alertname=\"A\"'], when: ['(scalar(up) + 1)'], " + RESTART,
            "scalar-query",
            "a scalar always returns",
        ),
        (
            "name: r, match: ['alertname=\"A\"'], when: ['(1 > bool 0)'], " + RESTART,
            "scalar-query",
            "a scalar always returns",
        ),
        (
            "name: r, match: ['alertname=\"A\"'], when: ['up > bool 1'], " + RESTART,
            "scalar-query",
            "remove `bool`",
        ),
        (
            "name: r, match: ['alertname=\"A\"'], when: ['vector(1)'], " + RESTART,
            "scalar-query",
            "vector() always returns",
        ),
        (
            "name: r, match: ['a=\"x\"', 'a=\"y\"'], " + RESTART,
            "contradiction",
            'no alert can match both a="x" and a="y"',
        ),
        (
            "name: r, match: ['a=\"x\"', 'a!=\"x\"'], " + RESTART,
            "contradiction",
            "no alert can match both",
        ),
        (
            "name: r, match: ['a=\"x\"', 'a=~\"y.*\"'], " + RESTART,
            "contradiction",
            "no alert can match both",
        ),
        (
            "name: r, match: ['a=\"x\"'], target: {kind: deploy, namespace: shop, name: web}, "
            + RESTART,
            "unknown-kind",
            "did you mean `Deployment`?",
        ),
        (
            "name: r, match: ['a=\"x\"'], target: {kind: Job, namespace: shop, name: web}, "
            + RESTART,
            "wrong-kind",
            "`restart_workload` cannot act on a Job; it supports DaemonSet, Deployment, "
            "StatefulSet",
        ),
        (
            "name: r, match: ['a=\"x\"'], target: {kind: Deployment, namespace: db, name: web}, "
            + RESTART,
            "out-of-scope",
            "namespace db is outside the scope",
        ),
        (
            "name: r, match: ['a=\"x\"'], target: {kind: Deployment, namespace: shop, name:"
            " 'Web_1'}, " + RESTART,
            "bad-name",
            "'Web_1' is not a valid",
        ),
        (
            "name: r, match: ['a=\"x\"'], target: {kind: Deployment, namespace: shop, name: 'web-{{"
            " labels.x'}, " + RESTART,
            "bad-template",
            "a `{{` is not closed",
        ),
        (
            "name: r, match: ['a=\"x\"'], when: ['up{pod=\"{{ labels.pod\"}'], " + RESTART,
            "bad-template",
            "a `{{` is not closed",
        ),
        ("name: r, match: 'a=\"x\"', " + RESTART, "bad-value", "write a list, such as [a, b]"),
        (
            "name: r, match: ['a=\"x\"'], limits: {in_flight: many}, " + RESTART,
            "bad-value",
            "write a whole number",
        ),
        (
            (
                "name: r, match: ['a=\"x\"'], steps: [{action: restart_workload, verify: {until:"
                " ['1']}}]"
            ),
            "scalar-query",
            "a scalar",
        ),
    ],
)
def test_what_cannot_work_is_found_when_it_is_loaded(rule: str, code: str, words_: str) -> None:
    found = mistakes(rule)
    assert [finding.code for finding in found] == [code], [finding.render() for finding in found]
    assert words_ in found[0].message
    assert "input should" not in found[0].message.lower()


def test_an_override_for_a_place_that_no_rule_of_it_may_act_in_is_found() -> None:
    text = (
        HEAD + f"      - {{name: r, match: ['a=\"x\"'], {RESTART}}}\noverrides:\n  - {{rules: [r],"
        " namespaces: [NAMES], mode: act}\n"
    )
    with pytest.raises(RuleErrors) as refused:
        build([load_text(text.replace("NAMES", "shop-staging"), "rules.yaml")])
    assert [finding.code for finding in refused.value.findings] == ["out-of-scope"]
    assert "shop-staging: outside the scope of these rules" in refused.value.findings[0].message
    for namespaces in ('shop, "sh.+"', "shop-staging, shop", "sh.p"):
        assert build([load_text(text.replace("NAMES", namespaces), "rules.yaml")]).overrides


@pytest.mark.parametrize(
    ("mode", "approval", "operators", "words"),
    [
        (
            "approve",
            "{two_person: true}",
            ["me"],
            "needs 2 operators to approve, but of those allowed the settings define only me",
        ),
        ("approve", "{two_person: true}", ["me", "Me"], "needs 2 operators to approve"),
        ("approve", "{two_person: true}", ["me", "you"], ""),
        (
            "approve",
            "{two_person: true, by: [me, gone]}",
            ["me", "you"],
            "needs 2 operators to approve",
        ),
        (
            "approve",
            "{by: [gone]}",
            ["me"],
            "the settings define only nobody; add them under `operators`",
        ),
        ("approve", "{by: [me, gone]}", ["me"], ""),
        ("act", "{by: [gone]}", ["me"], ""),  # it asks only while its breaker is open
        ("observe", "{by: [gone]}", ["me"], ""),
        ("observe, promoted", "{by: [gone]}", ["me"], "the settings define only nobody"),
    ],
)
def test_a_rule_that_nobody_could_ever_approve_is_refused(
    mode: str, approval: str, operators: list[str], words: str, *, tmp_path: Path
) -> None:
    (tmp_path / "t").write_text("x")
    text = (
        f"{HEAD}      - {{name: r, match: ['a=\"x\"'], mode: {mode.split(',')[0]}, approval:"
        f" {approval}, {RESTART}}}\n"
    )
    if "promoted" in mode:
        text += "overrides:\n  - {rules: [r], mode: approve}\n"
    settings = Settings.model_validate(
        {"operators": [{"name": name, "token_file": str(tmp_path / "t")} for name in operators]}
    )
    with pytest.raises(ConfigurationError, match=words) if words else contextlib.nullcontext():
        check_people(settings, build([load_text(text, "rules.yaml")]))


def test_a_mistake_in_the_defaults_is_reported_once() -> None:
    head = HEAD.replace("{escalate: {to: [log]}}", "{escalate: {to: [log]}, mode: loud}")
    rules = "".join(f"      - {{name: r{n}, match: ['a=\"x\"'], {RESTART}}}\n" for n in range(5))
    with pytest.raises(RuleErrors) as refused:
        build([load_text(head + rules, "rules.yaml")])
    assert len(refused.value.findings) == 1


def test_a_second_cluster_is_refused_rather_than_confused_with_the_first(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x")
    sources = [
        {"name": name, "cluster": name, "token_file": str(tmp_path / "t")} for name in ("eu", "us")
    ]
    with pytest.raises(ValidationError, match="run a remediator for each cluster"):
        Settings.model_validate({"sources": sources})
    assert Settings.model_validate({"sources": sources[:1]}).sources[0].cluster == "eu"


@pytest.mark.parametrize("section", ["sources", "operators"])
def test_a_credential_that_nobody_could_speak_for_is_refused(section: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x")
    with pytest.raises(ValidationError, match="it can never authenticate"):
        Settings.model_validate(
            {section: [{"name": "a", "token_file": str(tmp_path / "t")}, {"name": "b"}]}
        )


def test_an_alertmanager_is_one_url_or_several() -> None:
    assert Settings.model_validate(
        {"sources": [{"name": "a", "alertmanager": "http://a"}]}
    ).sources[0].alertmanager == ("http://a",)
    both = ["http://a", "http://b"]
    assert Settings.model_validate({"sources": [{"name": "a", "alertmanager": both}]}).sources[
        0
    ].alertmanager == tuple(both)


def test_settings_of_the_version_before_still_load() -> None:
    assert (
        Settings.model_validate({"storm": {"within": "5m", "calm": "1m"}}).process_limits.storm.calm
        == MINUTE
    )


def test_no_input_of_a_guard_has_a_default() -> None:
    for kind in (Before, Undoing, Situation):
        for field in dataclasses.fields(kind):
            assert field.default is dataclasses.MISSING, f"{kind.__name__}.{field.name}"
            assert field.default_factory is dataclasses.MISSING, f"{kind.__name__}.{field.name}"
    for builder in (Before.planned, Before.undoing):
        given = list(inspect.signature(builder).parameters.values())[1:]
        assert all(
            parameter.default is inspect.Parameter.empty
            and parameter.kind is parameter.KEYWORD_ONLY
            for parameter in given
        )
    assert {f.name for f in dataclasses.fields(Situation)} - {
        f.name for f in dataclasses.fields(Before)
    } <= set(inspect.signature(Before.planned).parameters)


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": status}


def killed(ended: str) -> dict[str, Any]:
    state = {
        "name": "app",
        "lastState": {"terminated": {"reason": "OOMKilled", "finishedAt": ended}},
    }
    return pod(containerStatuses=[state])


def test_an_oom_kill_of_long_ago_is_no_cause_now() -> None:
    def find(seen: dict[str, Any], began: timedelta = timedelta()) -> Any:
        web = Target("c", "Deployment", "shop", "web")
        there = Facts(T, web, web, web, {}, began=T - began).saw(PODS, (seen,))
        return oom_killed.find(there, HOUR)

    assert find(killed("2026-01-01T00:00:00Z")) is None
    assert find(killed((T - 30 * MINUTE).isoformat())) is not None
    # counted from when the trouble began
    assert find(killed((T - 3 * HOUR).isoformat()), 2 * HOUR + 30 * MINUTE) is not None


def test_a_crash_loop_of_an_init_container_is_seen() -> None:
    waiting = {
        "name": "migrate",
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    }
    found = crash_loop.find(facts(pods=(pod(initContainerStatuses=[waiting]),)), HOUR)
    assert found is not None
    assert "p/migrate (4 restarts)" in found.why


@pytest.mark.parametrize(
    "labels",
    [
        {"job": "postgres-exporter", "pod": "postgres-exporter-6d5-x"},
        {"job": "redis", "pod": "redis-exporter-0", "container": "redis-exporter"},
        {"job": "blackbox", "pod": "prometheus-blackbox-exporter-1", "instance": "https://shop"},
        {"job": "x509-certificate-exporter", "pod": "x509-1"},
        {"pod": "db-0", "container": "postgres-exporter"},
        {"service": "mysqld-exporter"},
    ],
)
def test_an_exporter_is_not_the_target_of_what_it_reports(labels: dict[str, str]) -> None:
    found = resolve({"alertname": "A", "namespace": "shop", **labels}, "c")
    assert not isinstance(found, Target)
    assert found.reason == "target_is_exporter"


def test_the_node_exporter_s_job_says_nothing_of_a_node_or_a_pod() -> None:
    assert isinstance(
        resolve({"namespace": "shop", "job": "node-exporter", "node": "n1"}, "c"), Target
    )
    assert isinstance(
        resolve(
            {"namespace": "shop", "job": "kube-state-metrics", "pod": "web-1", "service": "ksm"},
            "c",
        ),
        Target,
    )


def test_a_target_comes_back_from_its_key() -> None:
    for target in (Target("c", "Deployment", "shop", "web"), Target("c", "Node", "", "n1")):
        assert target_of(target.key) == target
    assert target_of("") is None


@pytest.mark.parametrize(
    ("state", "severity"),
    [
        ("failed", "critical"),
        ("ineffective", "critical"),
        ("blocked", "warning"),
        ("expired", "warning"),
    ],
)
def test_what_was_not_even_tried_pages_nobody_as_critical(state: str, severity: str) -> None:
    given = {"rule": "r", "target": "Pod/a/b", "state": state, "cluster": "eu"}
    message = from_payload(given)
    assert words.severity(message) == severity
    assert words.title(message).endswith("r on Pod/a/b in eu")


def test_rights_are_the_union_of_all_that_may_happen() -> None:
    text = HEAD.replace("[shop]", "['.+']").replace("{escalate", "{mode: observe, escalate")
    text += "      - {name: r, match: ['alertname=\"A\"'], steps: [{action: rollback_workload}]}\n"
    text += (
        "overrides:\n  - {rules: [r], namespaces: [prod], mode: act}\n  - {rules: [r], namespaces:"
        " [staging], mode: observe}\n"
    )
    whole, local = rbac.grants(build([load_text(text, "rules.yaml")]))
    assert not any("patch" in verbs for _, _, verbs in whole)
    assert list(local) == ["prod"]
    assert any("patch" in verbs for _, _, verbs in local["prod"])


def test_what_acts_on_nodes_is_granted_everywhere_beside_what_acts_in_namespaces() -> None:
    text = HEAD.replace("namespaces: [shop]", "namespaces: [shop], nodes: ['.+']")
    text = text.replace("{escalate", "{mode: act, escalate")
    text += (
        "      - {name: r, match: ['alertname=\"A\"'], steps: [{action: drain_node, if: always},"
        " {action: restart_workload}]}\n"
    )
    whole, local = rbac.grants(build([load_text(text, "rules.yaml")]))
    assert [plural for _, plural, verbs in whole if "patch" in verbs] == ["nodes"]
    assert any("patch" in verbs for _, plural, verbs in local["shop"] if plural == "deployments")


def test_the_schema_knows_actions_and_what_they_take() -> None:
    schema = json.loads(PRINTED["schema"](()))
    rule: dict[str, Any] = {
        "name": "r",
        "match": ['a="x"'],
        "escalate": {"to": ["log"]},
        "steps": [{"action": "scale_workload", "if": "always"}],
    }
    document = {
        "version": 1,
        "groups": [{"name": "g", "scope": {"namespaces": ["shop"]}, "rules": [rule]}],
    }
    step = rule["steps"][0]

    def errors() -> list[str]:
        return [
            error.message
            for error in jsonschema.Draft202012Validator(schema).iter_errors(document)
            if "is not of type" not in error.message
        ]

    step["with"] = {"by": 2}
    fine = len(errors())
    step["with"] = {"bye": 2}
    assert len(errors()) > fine
    step["action"], step["with"] = "no_such_action", {}
    assert any("is not one of" in message for message in errors())


def test_what_is_shipped_is_installed_with_the_code() -> None:
    assert (shipped.rules() / "workloads.yaml").is_file()
    assert (shipped.FOLDER / "alerts" / "remediator.yaml").is_file()
    assert (shipped.FOLDER / "dashboards" / "overview.json").is_file()


def test_the_watchdog_comes_more_often_than_its_absence_is_noticed() -> None:
    first, second, *_ = yaml.safe_load(ROUTES)["route"]["routes"]
    assert (first["matchers"], first["receiver"], first["continue"]) == (
        ['alertname="Watchdog"'],
        "remediator",
        True,
    )
    assert first["repeat_interval"] == "5m"
    assert (second["receiver"], second["repeat_interval"]) == ("remediator", "1h")


async def test_a_look_that_is_stopped_at_any_moment_leaves_no_reading_behind(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """A reading that was made and never begun is a warning in the
    log of a daemon that was told to stop.
    """
    cluster = SandboxCluster(lambda: T)
    cluster.create_workload("Deployment", "shop", "web", "web:1")
    web = Target("c", "Deployment", "shop", "web")
    gc.collect()
    recwarn.clear()
    turns, done = 0, False
    while not done:
        look = asyncio.create_task(cluster.observe(web, True, frozenset(SIGHTS.values()), T))
        for _ in range(turns):
            await asyncio.sleep(0)
        done = look.done()
        look.cancel()
        await asyncio.wait([look])
        turns += 1
    gc.collect()
    assert turns > 5
    assert [str(item.message) for item in recwarn if "never awaited" in str(item.message)] == []
