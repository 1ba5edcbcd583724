"""The chart: rendered by Helm, and accepted by a real API
server under Pod Security `restricted`.
"""

import json
import subprocess
import urllib.error
from itertools import chain, product
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.causes import CAUSES
from remediator.cluster import credentials
from remediator.cluster.client import connect
from remediator.generate import PRINTED
from remediator.located import load_text
from remediator.rules.loader import build
from remediator.settings import Settings
from tests.real.parts import ControlPlane, binary

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "remediator"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
NAMESPACE = "rem"
PLURALS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ServiceMonitor": "/apis/monitoring.coreos.com/v1/namespaces/{}/servicemonitors",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "PrometheusRule": "/apis/monitoring.coreos.com/v1/namespaces/{}/prometheusrules",
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary("helm", "helm"), *arguments], capture_output=True, text=True)


def rendered(*arguments: str) -> list[Any]:
    done = helm("template", "remediator", str(CHART), "--namespace", NAMESPACE, *arguments)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def of(items: list[Any], kind: str) -> list[Any]:
    return [item for item in items if item["kind"] == kind]


@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
def test_it_lints_and_every_object_is_labelled(values: Path) -> None:
    done = helm("lint", str(CHART), "--strict", "--values", str(values))
    assert done.returncode == 0, done.stdout + done.stderr
    for item in rendered("--values", str(values)):
        assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "remediator"


def test_every_value_is_in_the_schema_and_no_other_is_taken() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def covered(given: dict[str, Any], known: dict[str, Any]) -> None:
        assert set(given) <= set(known["properties"])
        for key, value in given.items():
            if isinstance(value, dict) and "properties" in known["properties"][key]:
                covered(value, known["properties"][key])

    covered(values, schema)
    assert (
        "additional properties 'replcas'"
        in helm("template", "r", str(CHART), "--set", "replcas=2").stderr
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("replicas=2", "needs a PostgreSQL journal"),
        ("rules.shipped=false", "there are no rules"),
        ("ingress.enabled=true", "set ingress.host to the name"),
        ("rules.extra.act=x", "does not match pattern"),
        ("rules.extra.act\\.yaml=a: [b", "rules.extra.act.yaml: this is no YAML"),
        (
            "rules.extra.act\\.yaml=overrides: [{rules: one}]",
            "rules.extra.act.yaml: `rules` of an override must be a list",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(change: str, words: str) -> None:
    done = helm("template", "r", str(CHART), "--set", change)
    assert done.returncode != 0
    assert words in done.stderr


ACTING = """
version: 1
groups:
  - name: mine
    scope: {namespaces: [shop]}
    defaults: {mode: act, escalate: {to: [log]}}
    rules:
      - {name: more, match: ['alertname="Slow"'], steps: [{action: scale_workload, if: always}]}
      - {name: look, match: ['alertname="Odd"'], mode: observe, target: object,
         steps: [{action: quarantine_pod, if: always}]}
overrides:
  - {rules: [restart-a-leaking-workload], namespaces: [shop], mode: approve}
"""


@pytest.mark.parametrize("extra", [None, ACTING], ids=["as shipped", "with rules that act"])
def test_the_rbac_is_what_the_rules_need(extra: str | None, tmp_path: Path) -> None:
    paths, arguments = [ROOT / "rules"], []
    if extra:
        (tmp_path / "mine.yaml").write_text(extra)
        (tmp_path / "values.yaml").write_text(
            yaml.safe_dump({"rules": {"extra": {"mine.yaml": yaml.safe_load(extra)}}})
        )
        paths.append(tmp_path / "mine.yaml")
        arguments = ["--values", str(tmp_path / "values.yaml")]

    def granted(role: Any) -> set[tuple[str, str, str]]:
        given: set[tuple[str, str, str]] = set()
        for rule in role["rules"]:
            given |= set(product(rule["apiGroups"], rule["resources"], rule["verbs"]))
        return given

    items = rendered(*arguments)
    roles = [
        *of(items, "ClusterRole"),
        *(r for r in of(items, "Role") if "credentials" not in r["metadata"]["name"]),
    ]
    wanted = list(yaml.safe_load_all(PRINTED["rbac"](paths)))
    assert {r["metadata"].get("namespace", ""): granted(r) for r in roles} == {
        r["metadata"].get("namespace", ""): granted(r) for r in wanted
    }
    writes = {
        r["kind"]: {verb for _, what, verb in granted(r) if what != "events"}
        - {"get", "list", "watch"}
        for r in roles
    }
    assert writes["ClusterRole"] == set()  # whatever acts, acts in `shop`
    assert bool(writes.get("Role")) == bool(extra)


def test_roles_stand_where_it_may_act_and_nowhere_else() -> None:
    items = rendered("--values", str(CHART / "ci" / "full-values.yaml"))
    places = {
        role["metadata"]["namespace"]
        for role in of(items, "Role")
        if "credentials" not in role["metadata"]["name"]
    }
    assert places == {"shop", "billing"}
    (whole,) = of(items, "ClusterRole")
    assert set(chain.from_iterable(rule["resources"] for rule in whole["rules"])) == {
        "namespaces",
        "nodes",
        "persistentvolumes",
    }


@pytest.mark.parametrize(
    ("action", "where"),
    [
        ("restart_workload", {"nodes": [".+"]}),
        ("drain_node", {"namespaces": ["shop"], "nodes": [".+"]}),
    ],
)
def test_what_acts_on_nodes_is_granted_everywhere(
    action: str, where: dict[str, list[str]], tmp_path: Path
) -> None:
    step = {"action": action, "if": "always"}
    rule = {
        "name": "r",
        "match": ['alertname="A"'],
        "mode": "act",
        "escalate": {"to": ["log"]},
        "steps": [step],
    }
    group = {"name": "g", "scope": where, "rules": [rule]}
    extra: dict[str, Any] = {"version": 1, "groups": [group]}
    values = {"rules": {"shipped": False, "extra": {"r.yaml": extra}}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    (whole,) = of(rendered("--values", str(tmp_path / "values.yaml")), "ClusterRole")
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(extra))
    generated, *_ = yaml.safe_load_all(PRINTED["rbac"]([tmp_path / "r.yaml"]))
    assert sorted(whole["rules"], key=str) == sorted(generated["rules"], key=str)
    assert any("patch" in rule["verbs"] for rule in whole["rules"])


@pytest.mark.parametrize("word", [*CAUSES, "any"])
@pytest.mark.parametrize("where", ["rule", "override"])
def test_what_a_step_s_causes_read_is_granted(word: str, where: str, tmp_path: Path) -> None:
    step = {"action": "scale_workload", "if": word if where == "rule" else "always"}
    rule = {"name": "r", "match": ['alertname="A"'], "escalate": {"to": ["log"]}, "steps": [step]}
    group = {"name": "g", "scope": {"namespaces": ["shop"]}, "rules": [rule]}
    extra: dict[str, Any] = {"version": 1, "groups": [group]}
    if where == "override":
        extra["overrides"] = [{"rules": ["r"], "steps": {"scale_workload": {"if": [word]}}}]
    values = {"rules": {"shipped": False, "extra": {"r.yaml": extra}}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    (whole,) = of(rendered("--values", str(tmp_path / "values.yaml")), "ClusterRole")
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(extra))
    (generated,) = yaml.safe_load_all(PRINTED["rbac"]([tmp_path / "r.yaml"]))
    assert sorted(whole["rules"], key=str) == sorted(generated["rules"], key=str)


def test_an_override_for_one_namespace_gives_rights_in_that_namespace_only(tmp_path: Path) -> None:
    override = {"rules": ["heal-a-crashing-workload"], "namespaces": ["prod"], "mode": "act"}
    other = {**override, "namespaces": ["staging"], "mode": "observe"}
    values = {"rules": {"extra": {"act.yaml": {"version": 1, "overrides": [override, other]}}}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    items = rendered("--values", str(tmp_path / "values.yaml"))
    (whole,) = of(items, "ClusterRole")
    assert not any("patch" in rule["verbs"] for rule in whole["rules"])
    (role,) = [item for item in of(items, "Role") if "credentials" not in item["metadata"]["name"]]
    assert role["metadata"]["namespace"] == "prod"
    assert any(
        "patch" in rule["verbs"] and "deployments" in rule["resources"] for rule in role["rules"]
    )


@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
def test_what_is_rendered_twice_is_the_same_bytes(values: Path) -> None:
    """Argo CD renders at each sync; a token that changed with it would lock Alertmanager out."""
    first, second = (
        helm("template", "r", str(CHART), "--values", str(values)).stdout for _ in range(2)
    )
    assert first == second
    assert "Secret" not in {item["kind"] for item in yaml.safe_load_all(first) if item}


def test_the_first_start_after_an_upgrade_may_take_its_time() -> None:
    (deployment,) = of(rendered(), "Deployment")
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 15 * 60


def test_what_users_of_other_charts_expect_is_there(tmp_path: Path) -> None:
    values = {
        "commonLabels": {"team": "sre"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "ingress": {
            "enabled": True,
            "host": "remediator.example.org",
            "className": "nginx",
            "tlsSecret": "tls",
        },
        "auth": {"receiversSecret": "chat"},
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    items = rendered("--values", str(tmp_path / "values.yaml"))
    assert all(item["metadata"]["labels"]["team"] == "sre" for item in items)
    (deployment,) = of(items, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["env"] == values["extraEnv"]
    assert {"ca", "receivers"} <= {volume["name"] for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert (mounts["ca"], mounts["receivers"]) == ("/ca", "/etc/remediator/receivers")
    (ingress,) = of(items, "Ingress")
    paths = [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    assert paths == ["/approvals/", "/api/"]  # nobody outside posts alerts
    (claim,) = of(items, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


async def test_the_credentials_are_made_once_on_a_real_api_server(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    control_plane.namespace(NAMESPACE)
    (role,) = [item for item in of(rendered(), "Role") if "credentials" in item["metadata"]["name"]]
    token = control_plane.service_account(
        NAMESPACE, "credentials-maker", {**role, "kind": "ClusterRole"}
    )
    kubeconfig = tmp_path / "kubeconfig"
    control_plane.write_kubeconfig(kubeconfig, control_plane.url, token)
    cluster = await connect(str(kubeconfig), "", qps=50)
    old = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "remediator"},
        "data": {"alertmanager": "b2xk"},
    }
    # of the version before
    control_plane.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", old)
    made = "remediator-credentials"
    assert await credentials.make(cluster, NAMESPACE, made, "remediator") == [
        "alertmanager",
        "operator",
        "links",
    ]
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{made}"
    first = control_plane.ask("GET", path)["data"]
    assert (first["alertmanager"], len(first["operator"]) > 40) == ("b2xk", True)
    assert await credentials.make(cluster, NAMESPACE, made, "remediator") == []
    assert control_plane.ask("GET", path)["data"] == first
    # of an older version
    control_plane.ask("PATCH", path, {"data": {"links": None}}, kind="application/merge-patch+json")
    assert await credentials.make(cluster, NAMESPACE, made) == ["links"]
    again = control_plane.ask("GET", path)["data"]
    assert {key: again[key] for key in ("alertmanager", "operator")} == {
        key: first[key] for key in ("alertmanager", "operator")
    }
    await cluster.close()


def test_what_the_pod_reads_is_what_the_daemon_loads(tmp_path: Path) -> None:
    config, rules, *_ = of(rendered(), "ConfigMap")
    given = yaml.safe_load(config["data"]["remediator.yaml"])
    for section in (given["sources"][0], given["operators"][0]):
        (tmp_path / "token").write_text("t")
        section["token_file"] = str(tmp_path / "token")
    settings = Settings.model_validate(given)
    assert (settings.own_namespace, settings.web.listen) == (NAMESPACE, "0.0.0.0:9099")
    assert len(build([load_text(text, name) for name, text in rules["data"].items()]).sources) >= 7
    (claim,) = of(rendered("--set", "persistence.size=5Gi"), "PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    over = rendered("--set", "config.settle=30s")
    assert yaml.safe_load(of(over, "ConfigMap")[0]["data"]["remediator.yaml"])["settle"] == "30s"


def test_dashboards_and_alerts_are_the_shipped_files() -> None:
    items = rendered("--values", str(CHART / "ci" / "full-values.yaml"))
    data: dict[str, str] = {}
    for item in of(items, "ConfigMap"):
        data |= item["data"]
    boards = {name: json.loads(text) for name, text in data.items() if name.endswith(".json")}
    assert boards == {
        path.name: json.loads(path.read_text()) for path in (ROOT / "dashboards").glob("*.json")
    }
    shipped = {
        path.stem: yaml.safe_load(path.read_text())["groups"]
        for path in (ROOT / "alerts").glob("*[!t].yaml")
    }
    made = {
        item["metadata"]["name"].removeprefix("remediator-"): item["spec"]["groups"]
        for item in of(items, "PrometheusRule")
    }
    assert made == shipped
    assert all(
        item["metadata"]["labels"]["release"] == "kps"
        for item in of(items, "PrometheusRule") + of(items, "ServiceMonitor")
    )


@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
def test_a_real_api_server_takes_every_object_under_restricted(
    control_plane: ControlPlane, values: Path
) -> None:
    for name in (NAMESPACE, "shop", "billing"):
        control_plane.namespace(name)
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    control_plane.ask(
        "PATCH", f"/api/v1/namespaces/{NAMESPACE}", restricted, kind="application/merge-patch+json"
    )
    control_plane.define()
    items = rendered("--values", str(values))
    (deployment,) = of(items, "Deployment")
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        **template,
        "metadata": {"name": "one", "namespace": NAMESPACE, **template["metadata"]},
    }
    taken = []
    for item in [*items, pod]:
        path = PLURALS[item["kind"]].format(item["metadata"].get("namespace"))
        answer = control_plane.ask("POST", f"{path}?dryRun=All&fieldValidation=Strict", item)
        taken.append(answer["kind"])
    assert len(taken) == len(items) + 1
    root = {**pod, "spec": {**pod["spec"], "securityContext": {}}}
    with pytest.raises(urllib.error.HTTPError) as refused:  # the namespace does enforce it
        control_plane.ask("POST", f"{PLURALS['Pod'].format(NAMESPACE)}?dryRun=All", root)
    assert refused.value.code == 403
