"""The RBAC of rules: enough for what they may do, in the places where they may, and no more."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.actions import ACTIONS
from remediator.generate.rbac import Need, binding, grants, needs, rbac
from remediator.rules.ruleset import RuleSet
from tests.unit.rules.files import file, group, loaded, rule

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
Right = tuple[str, str, str]
EVENTS: Right = ("", "events", "create")
PODS_GO: Right = ("", "pods", "delete")
WORKLOADS: set[Right] = {
    ("apps", plural, "patch") for plural in ("deployments", "statefulsets", "daemonsets")
}
SCALES: set[Right] = {
    ("apps", f"{plural}/scale", "patch") for plural in ("deployments", "statefulsets")
}
WRITTEN: dict[str, set[Right]] = {
    "restart_workload": {*WORKLOADS, PODS_GO},
    "rollback_workload": {*WORKLOADS, PODS_GO},
    "set_resources": {*WORKLOADS, PODS_GO, ("", "pods/resize", "patch")},
    "scale_workload": {*SCALES, ("autoscaling", "horizontalpodautoscalers", "patch")},
    "drain_node": {("", "nodes", "patch"), ("", "pods/eviction", "create")},
    "renew_certificate": {("cert-manager.io", "certificates/status", "patch")},
    "run_cronjob": {("batch", "jobs", "create")},
    "quarantine_pod": {
        ("", "pods", "patch"),
        PODS_GO,
        ("networking.k8s.io", "networkpolicies", "create"),
        ("networking.k8s.io", "networkpolicies", "delete"),
    },
}
NODES = "nodes: ['worker-.+']"


def rights(given_: list[Need]) -> set[Right]:
    """Each verb on each resource by itself."""
    flat: set[Right] = set()
    for group_, resource, verbs in given_:
        flat |= {(group_, resource, verb) for verb in verbs}
    return flat


def written(given_: list[Need]) -> set[Right]:
    """The rights that change something, except to write Events."""
    return {right for right in rights(given_) if right[2] in WRITES} - {EVENTS}


def acting(*names: str) -> str:
    """A rule whose steps are these actions."""
    steps = ", ".join(f"{{action: {name}, if: always}}" for name in names)
    return rule(f"r-{'-'.join(names)}".replace("_", "-"), steps=steps)


def where(rules: RuleSet) -> dict[str, set[Right]]:
    """What may be changed by namespace; the empty one stands for all of them."""
    whole, local = grants(rules)
    everywhere = {"": written(whole)} if written(whole) else {}
    return everywhere | {name: written(given_) for name, given_ in local.items()}


def in_scope(scope: str, *names: str, mode: str = "act", overrides: str = "") -> RuleSet:
    return loaded(file(group(acting(*names), scope=scope, mode=mode), overrides=overrides))


def test_the_table_is_of_all_actions() -> None:
    assert WRITTEN.keys() == ACTIONS.keys()


@pytest.mark.parametrize("action", sorted(WRITTEN))
def test_an_action_may_change_exactly_what_it_says(action: str) -> None:
    rules = in_scope(f"namespaces: ['.+'], {NODES}", action)
    assert where(rules) == {"": WRITTEN[action]}


@pytest.mark.parametrize("action", sorted(WRITTEN))
@pytest.mark.parametrize("mode", ["observe", "approve", "act"])
def test_only_who_observes_changes_nothing(action: str, mode: str) -> None:
    given_ = needs(in_scope(f"namespaces: ['.+'], {NODES}", action, mode=mode))
    assert written(given_) == (set() if mode == "observe" else WRITTEN[action])
    assert EVENTS in rights(given_)


@pytest.mark.parametrize("action", sorted(WRITTEN))
def test_who_observes_sees_as_much_as_who_acts(action: str) -> None:
    def read(mode: str) -> set[Right]:
        return {
            (group_, resource, verb)
            for group_, resource, verb in rights(
                grants(in_scope("namespaces: [shop]", action, mode=mode))[0]
            )
            if verb not in WRITES
        }

    assert read("observe") == read("act")


def test_whatever_is_changed_is_read_before() -> None:
    for action in ACTIONS:
        given_ = rights(needs(in_scope(f"namespaces: ['.+'], {NODES}", action)))
        for group_, resource, verb in WRITTEN[action]:
            if verb in ("patch", "delete"):
                assert {
                    (group_, resource, "get"),
                    (group_, resource.split("/")[0], "get"),
                } <= given_


def test_no_rules_need_no_right_to_change_anything() -> None:
    for rules in (loaded("version: 1\n"), loaded("version: 1\ngroups: []\n")):
        whole, local = grants(rules)
        assert (written(whole), local) == (set(), {})


@pytest.mark.parametrize(
    ("scope", "places"),
    [
        ("namespaces: [shop]", {"shop"}),
        ("namespaces: [shop, bank-1, '0']", {"shop", "bank-1", "0"}),
        ("namespaces: ['shop.*']", {""}),
        ("namespaces: [shop, 'bank-.+']", {""}),
        ("namespaces: ['shop|bank']", {""}),
        ("namespaces: ['shop.a']", {""}),
        ("namespaces: ['(?i)shop']", {""}),
        ("namespaces: [shop-]", {""}),
    ],
)
def test_a_role_is_for_namespaces_that_are_named_and_all_others_need_the_cluster(
    scope: str, places: set[str]
) -> None:
    assert where(in_scope(scope, "restart_workload")).keys() == places


def test_each_namespace_gets_what_its_own_rules_do() -> None:
    rules = loaded(
        file(
            group(acting("restart_workload"), name="shop"),
            group(acting("run_cronjob"), name="jobs", scope="namespaces: [jobs, shop]"),
            group(
                acting("drain_node", "scale_workload"),
                name="both",
                scope=f"namespaces: [db], {NODES}",
            ),
            group(acting("scale_workload"), name="seen", scope="namespaces: [x]", mode="observe"),
        )
    )
    assert where(rules) == {
        "": WRITTEN["drain_node"],
        "db": WRITTEN["scale_workload"],
        "jobs": WRITTEN["run_cronjob"],
        "shop": WRITTEN["restart_workload"] | WRITTEN["run_cronjob"],
    }


def test_what_is_granted_everywhere_is_not_granted_again_in_a_namespace() -> None:
    rules = loaded(
        file(
            group(acting("restart_workload"), name="all", scope="namespaces: ['.*']"),
            group(acting("run_cronjob", "restart_workload"), name="shop"),
        )
    )
    assert where(rules) == {
        "": WRITTEN["restart_workload"],
        "shop": WRITTEN["run_cronjob"],
    }


@pytest.mark.parametrize(
    ("override", "places"),
    [
        ("mode: act", {"shop", "bank"}),
        ("mode: approve", {"shop", "bank"}),
        ("mode: observe", set()),
        ("limits: {cooldown: 1m}", set()),
        ("match: ['severity=\"low\"'], mode: act", {"shop", "bank"}),
        ("namespaces: [bank], mode: act", {"bank"}),
        ("namespaces: [bank], mode: observe", set()),
        ("namespaces: [bank], limits: {cooldown: 1m}", set()),
    ],
)
def test_an_override_that_lets_a_rule_act_brings_the_rights_where_it_binds(
    override: str, places: set[str]
) -> None:
    rules = in_scope(
        "namespaces: [shop, bank]",
        "restart_workload",
        mode="observe",
        overrides=f"rules: [r-restart-workload], {override}",
    )
    assert where(rules) == dict.fromkeys(places, WRITTEN["restart_workload"])


def test_an_override_that_takes_another_action_brings_its_rights() -> None:
    over = "rules: [r-restart-workload], steps: {restart_workload: {action: scale_workload}}"
    rules = in_scope("namespaces: [shop]", "restart_workload", overrides=over)
    assert WRITTEN["scale_workload"] <= where(rules)["shop"]


@pytest.mark.parametrize(
    ("scope", "namespaces"),
    [("[shop, bank]", "['.*']"), ("[shop, bank]", "['sho.']"), ("['shop.*']", "[shop, other]")],
)
def test_an_override_brings_no_rights_outside_the_scope(scope: str, namespaces: str) -> None:
    rules = in_scope(
        f"namespaces: {scope}",
        "restart_workload",
        mode="observe",
        overrides=f"rules: [r-restart-workload], namespaces: {namespaces}, mode: act",
    )
    assert where(rules).keys() <= {"shop", "bank"}


SETS = st.sets(st.sampled_from(sorted(set(ACTIONS) - {"drain_node"})), min_size=1, max_size=3)
GROUPS = st.lists(
    st.tuples(
        SETS,
        st.sampled_from(["[shop]", "[bank, shop]", "['.*']"]),
        st.sampled_from(["act", "observe"]),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=25, deadline=None)
@given(GROUPS)
def test_rights_are_enough_and_no_group_gets_those_of_another(
    drawn: list[tuple[set[str], str, str]],
) -> None:
    groups = []
    for number, (actions, scope, mode) in enumerate(drawn):
        text = acting(*sorted(actions)).replace("name: r-", f"name: r{number}-")
        made = group(text, name=f"g{number}", scope=f"namespaces: {scope}", mode=mode)
        groups.append(made.replace("mode: act,", "mode: act, limits: {attempts: 9/1h},"))
    found = where(loaded(file(*groups)))
    for place in ("shop", "bank", "elsewhere"):
        expected: set[Right] = set()
        for actions, scope, mode in drawn:
            if mode == "act" and (place in scope or ".*" in scope):
                expected = expected.union(*(WRITTEN[action] for action in actions))
        assert found.get("", set()) | found.get(place, set()) == expected


@pytest.mark.parametrize("action", sorted(WRITTEN))
def test_a_further_rule_takes_no_right_away(action: str) -> None:
    alone = needs(in_scope("namespaces: [shop]", "run_cronjob"))
    text = file(group(acting("run_cronjob"), acting(action).replace("name: r-", "name: s-")))
    both = needs(loaded(text))
    assert rights(alone) | rights(needs(in_scope("namespaces: [shop]", action))) == rights(both)


def test_without_rules_given_every_action_s_rights_are_needed() -> None:
    texts = [acting(action) for action in sorted(ACTIONS)]
    rules = loaded(file(group(*texts, scope=f"namespaces: ['.*'], {NODES}")))
    assert rights(needs(None)) >= rights(needs(rules))
    assert written(needs(None)) == set().union(*WRITTEN.values())


def printed(tmp_path: Any, *groups: str) -> list[dict[str, Any]]:
    (tmp_path / "r.yaml").write_text(file(*groups))
    return list(yaml.safe_load_all(rbac([tmp_path])))


def test_roles_are_printed_as_kubernetes_reads_them(tmp_path: Any) -> None:
    scope = "namespaces: [shop, bank]"
    roles = printed(tmp_path, group(acting("restart_workload"), scope=scope))
    assert [(role["kind"], role["metadata"].get("namespace")) for role in roles] == [
        ("ClusterRole", None),
        ("Role", "bank"),
        ("Role", "shop"),
    ]
    for role in roles:
        assert role["apiVersion"] == "rbac.authorization.k8s.io/v1"
        assert role["metadata"]["name"] == "remediator"
        resources = [(one["apiGroups"], one["resources"]) for one in role["rules"]]
        assert len(resources) == len({str(one) for one in resources})
        for one in role["rules"]:
            assert one["verbs"] == sorted(set(one["verbs"]))
            assert "*" not in [*one["verbs"], *one["resources"], *one["apiGroups"]]


def test_every_role_is_bound_to_the_account_and_to_no_other(tmp_path: Any) -> None:
    printed(tmp_path, group(acting("restart_workload"), scope="namespaces: [shop, bank]"))
    account, *bound = yaml.safe_load_all(binding("ops/healer", [tmp_path]).removeprefix("---\n"))
    assert account["metadata"] == {"name": "healer", "namespace": "ops"}
    assert [(b["kind"], b["metadata"].get("namespace"), b["roleRef"]["kind"]) for b in bound] == [
        ("ClusterRoleBinding", None, "ClusterRole"),
        ("RoleBinding", "bank", "Role"),
        ("RoleBinding", "shop", "Role"),
    ]
    subject = {"kind": "ServiceAccount", "name": "healer", "namespace": "ops"}
    assert all(b["subjects"] == [subject] for b in bound)
    assert all(b["roleRef"]["name"] == "remediator" for b in bound)


def test_an_account_without_a_namespace_is_one_of_the_default_one() -> None:
    account, bound = yaml.safe_load_all(binding("healer").removeprefix("---\n"))
    assert account["metadata"] == {"name": "healer", "namespace": "default"}
    assert bound["subjects"][0]["namespace"] == "default"
