"""Which permissions a cluster does not grant that the rules need, or are better with."""

import asyncio
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from ..generate import rbac
from ..rules import looking
from ..rules.ruleset import RuleSet

PLAIN = re.compile(r"[a-z0-9-]+")


async def unwatched(cluster: Any, rules: RuleSet | None) -> list[str]:
    """The kinds that rules look at and that may not be watched. Raises: ClusterError."""
    needs = rbac.watches(looking.watched(rules))
    lacking = [need for need in needs if not await _everywhere(cluster, need)]
    return [resource for _group, resource, _verbs in lacking]


async def _everywhere(cluster: Any, need: rbac.Need) -> bool:
    """Whether a kind may be listed and watched in all namespaces."""
    group, resource, verbs = need
    return all([await cluster.may(group, resource, verb, "") for verb in verbs])


async def denied(cluster: Any, rules: RuleSet | None) -> list[str]:
    """What is not allowed: cluster-wide, or in the namespaces that the scopes name literally."""
    whole, local = rbac.grants(rules)
    given = [(_literal_scopes(rules), whole)]
    given += [([name], needs) for name, needs in local.items()]
    asked = []
    for named, needs in given:
        for group, resource, verbs in needs:
            asked += [_missing(cluster, rules, (group, resource, verb), named) for verb in verbs]
    return [text for text in await asyncio.gather(*asked) if text]


def _literal_scopes(rules: RuleSet | None) -> list[str]:
    """The namespaces of all scopes if none is a pattern, else one empty text: the whole cluster."""
    groups = [loaded.group for loaded in rules.sources] if rules else []
    scopes = set(chain.from_iterable(group.scope.namespaces for group in groups))
    plain = bool(scopes) and all(map(PLAIN.fullmatch, scopes))
    return sorted(scopes) if plain else [""]


async def _missing(
    cluster: Any, rules: RuleSet | None, need: tuple[str, str, str], named: list[str]
) -> str:
    """A missing permission and what needs it; empty if granted."""
    group, resource, verb = need
    places = [""] if resource in ("namespaces", "nodes") else named
    if places != [""] and await cluster.may(group, resource, verb, ""):
        return ""
    lacking = [name for name in places if not await cluster.may(group, resource, verb, name)]
    if not lacking:
        return ""
    place = f" in {', '.join(lacking)}" if lacking != [""] else ""
    full = f"{resource}.{group}" if group else resource
    return f"{verb} {full}{place}{_for(rules, group, resource, verb)}"


def _for(rules: RuleSet | None, group: str, resource: str, verb: str) -> str:
    """The rules that need the permission, if not all do."""
    if rules is None:
        return ""
    alone = {s.rule.name: rbac.needs(RuleSet((s,), rules.overrides)) for s in rules.sources}
    wanted = (group, resource, verb)
    needing = [name for name, needs in alone.items() if _among(wanted, needs)]
    if not needing or len(needing) == len(alone):
        return ""
    return f" (for {', '.join(needing[:5])}{', …' if len(needing) > 5 else ''})"


def _among(wanted: tuple[str, str, str], needs: Sequence[rbac.Need]) -> bool:
    kind, verb = wanted[:2], wanted[2]
    return any((group, resource) == kind and verb in verbs for group, resource, verbs in needs)
