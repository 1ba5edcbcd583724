"""RBAC that follows from the definitions: what rules must see, and what their actions call."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from .. import causes
from ..actions import ACTIONS
from ..catalogue import KINDS
from ..causes import CAUSES
from ..kinds import EVENT, WORKLOADS
from ..model.kind import Kind
from ..model.matcher import admits
from ..model.sight import Sight
from ..rules import planner
from ..rules.loader import load
from ..rules.looking import CLIMBED, kinds_of, of_actions, sights_of, watched
from ..rules.ruleset import LoadedRule, RuleSet

Need = tuple[str, str, tuple[str, ...]]
# no Role can grant what these do
ON_CLUSTER = {
    name for name, action in ACTIONS.items() if any(not k.namespaced for k in action.targets)
}
EVERYWHERE = ""  # where the name of a namespace would stand
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # a pattern that admits one namespace


def needs(loaded: RuleSet | None) -> list[Need]:
    """What RBAC the rules need anywhere (every action's, where none are given).

    Rules that only observe need no writes.
    """
    whole, local = grants(loaded)
    return _merged([*whole, *chain.from_iterable(local.values())])


def grants(loaded: RuleSet | None) -> tuple[list[Need], dict[str, list[Need]]]:
    """What is needed in every namespace, and what in single ones beside it.

    Where rules may act is all that is named.
    """
    if loaded is None:
        return _merged([*_always(), *_reads(sights_of(None)), *_acts(set(ACTIONS))]), {}
    local: dict[str, set[str]] = {}
    for name, used in chain.from_iterable(_used(source, loaded) for source in loaded.sources):
        local.setdefault(name, set()).update(used)
    everywhere = local.pop(EVERYWHERE, set())
    whole = _merged([*_always(), *_reads(sights_of(loaded)), *_acts(everywhere)])
    rest = {name: used - everywhere for name, used in sorted(local.items())}
    return whole, {name: _merged(_acts(used)) for name, used in rest.items() if used}


def _used(source: LoadedRule, loaded: RuleSet) -> Iterator[tuple[str, set[str]]]:
    """The namespaces in which a rule may act, or EVERYWHERE, each with its actions."""
    steps = chain.from_iterable(made.rule.steps for made in loaded.bound(source))
    actions_ = {step.action for step in steps}
    for namespaces in _acts_in(source, loaded):
        if source.group.scope.nodes:
            yield EVERYWHERE, actions_ & ON_CLUSTER
        named = bool(namespaces) and all(map(NAME.fullmatch, namespaces))
        for name in namespaces if named else (EVERYWHERE,):
            yield name, actions_


def _always() -> list[Need]:
    """What every rule needs: to find its target, to see what
    every rule must, and to write Events.
    """
    named = [kind for kind in KINDS.values() if kind.labels or kind in CLIMBED]
    found = [(kind.group, kind.plural, ("get",)) for kind in named]
    counted = [(kind.group, kind.plural, ("list",)) for kind in WORKLOADS]
    return _merged([*found, *counted, *_reads(planner.ALWAYS), ("", "events", ("create",))])


def _acts_in(source: LoadedRule, loaded: RuleSet) -> Iterator[tuple[str, ...]]:
    """The namespaces (patterns) in which a rule may act.

    By itself, and by each override that lets it.
    """
    own = source.group.scope.namespaces
    if source.rule.mode != "observe":
        yield own
    for override in loaded.overrides:
        if source.rule.name in override.rules and override.mode not in (None, "observe"):
            yield _within(own, override.namespaces)


def _within(scope: tuple[str, ...], namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """The namespaces of an override that are in the scope; of patterns, the whole scope."""
    if not namespaces or not all(map(NAME.fullmatch, namespaces)):
        return scope
    return tuple(name for name in namespaces if admits(scope, name))


def _merged(given: Sequence[Need]) -> list[Need]:
    """Each resource once, with all its verbs."""
    merged: dict[tuple[str, str], set[str]] = {}
    for group, resource, verbs in given:
        merged.setdefault((group, resource), set()).update(verbs)
    return [
        (group, resource, tuple(sorted(verbs)))
        for (group, resource), verbs in sorted(merged.items())
    ]


def rbac(paths: Sequence[Path]) -> str:
    """A ClusterRole with what the rules' actions need, and a Role in
    each single namespace in which some may act.
    """
    loaded = load(paths) if paths else None
    whole, local = grants(loaded)
    whole = _merged([*whole, *watches(watched(loaded))])
    roles = [_role("ClusterRole", {"name": "remediator"}, whole)]
    roles += [
        _role("Role", {"name": "remediator", "namespace": name}, needs_)
        for name, needs_ in local.items()
    ]
    return str(yaml.safe_dump_all(roles, sort_keys=False))


def _role(kind: str, metadata: Mapping[str, str], given: Sequence[Need]) -> dict[str, Any]:
    rules_ = [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for group, resource, verbs in given
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": dict(metadata),
        "rules": rules_,
    }


def _reads(sights: Iterable[Sight[Any]]) -> list[Need]:
    """What the sights read."""
    made: list[Need] = []
    for sight in sights:
        made += [(kind.group, kind.plural, ("list",)) for kind in sight.lists]
        made += [(kind.group, kind.plural, ("get",)) for kind in sight.gets]
    return _merged(made)


def watches(kinds: Iterable[Kind]) -> list[Need]:
    """What it takes to watch kinds. Without it they are read by requests."""
    return _merged([(kind.group, kind.plural, ("list", "watch")) for kind in kinds])


def _watched_reads(sights: frozenset[Sight[Any]]) -> list[Need]:
    return _merged([*_reads(sights), *watches(kinds_of(sights))])


def _acts(names: set[str]) -> list[Need]:
    """What the actions' calls need."""
    made: list[Need] = []
    for name in names:
        for call in ACTIONS[name].calls:
            made += _call(*call)
    return _merged(made)


def _call(verb: str, kind: Kind, below: str) -> list[Need]:
    """What one call needs: its object is read just before, and after an answer that was lost."""
    if verb == "collect":
        logs = (kind.group, f"{kind.plural}/log", ("get",))
        return [(kind.group, kind.plural, ("get",)), logs, (EVENT.group, EVENT.plural, ("list",))]
    if verb == "evict":
        evictions = (kind.group, f"{kind.plural}/eviction", ("create",))
        return [(kind.group, kind.plural, ("get",)), evictions]
    resource = f"{kind.plural}/{below}" if below else kind.plural
    return [(kind.group, resource, ("get", verb)), (kind.group, kind.plural, ("get",))]


def permissions(_paths: Sequence[Path]) -> str:
    """What every rule needs, and each action to see and to act.

    From which the chart makes the RBAC of its rules.
    """

    def shown(needs: Sequence[Need]) -> list[dict[str, Any]]:
        return [
            {"group": group, "resource": resource, "verbs": list(verbs)}
            for group, resource, verbs in needs
        ]

    needed = {
        "cluster": sorted(kind.plural for kind in KINDS.values() if not kind.namespaced),
        "onCluster": sorted(ON_CLUSTER),
        "always": shown(_merged([*_always(), *watches(watched(RuleSet(())))])),
        "sees": {name: shown(_watched_reads(of_actions({name}))) for name in sorted(ACTIONS)},
        "causes": {name: shown(_watched_reads(causes.sights({name}))) for name in sorted(CAUSES)},
        "acts": {name: shown(_acts({name})) for name in sorted(ACTIONS)},
    }
    return "# Generated: remediator generate permissions\n" + str(
        yaml.safe_dump(needed, sort_keys=False)
    )


def binding(service_account: str, paths: Sequence[Path] = ()) -> str:
    """A ServiceAccount, `namespace/name`, that is given the
    ClusterRole, and the Roles in single namespaces.
    """
    namespace, _, name = service_account.rpartition("/")
    where = namespace or "default"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": where},
    }
    _, local = grants(load(paths) if paths else None)
    given = [_binding("ClusterRole", {"name": "remediator"}, name, where)]
    given += [
        _binding("Role", {"name": "remediator", "namespace": place}, name, where) for place in local
    ]
    return "---\n" + str(yaml.safe_dump_all([account, *given], sort_keys=False))


def _binding(
    kind: str, metadata: Mapping[str, str], account: str, namespace: str
) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "remediator"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
