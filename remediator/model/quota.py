"""ResourceQuotas: which pods one counts, and whether it has room for another."""

from collections.abc import Iterator, Mapping
from typing import Any

from .quantity import Amounts, asked, parse_quantity
from .raw import selected, spec_of, status_of

MAKES_QUALITY = ("requests.cpu", "requests.memory")  # a limit counts as a request too


def lacks(
    quota: Mapping[str, Any], template: Mapping[str, Any], leaving: Amounts
) -> Iterator[tuple[str, str, str]]:
    """What a pod of the template cannot have once a pod that counts for `leaving` is gone: the
    resource, how much of it is used, and the limit.
    """
    status = status_of(quota)
    needed = asked(template) if _counts(spec_of(quota), template) else {}
    for key, most in (status.get("hard") or {}).items():
        used = str((status.get("used") or {}).get(key, "0"))
        if key in needed:
            after = parse_quantity(used) + needed[key] - leaving.get(key, 0)
            if after > parse_quantity(str(most)):
                yield key, used, str(most)


def _counts(spec: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    """Whether pods of the template are in all scopes of the quota."""
    wanted = [{"key": scope, "operator": "Exists"} for scope in spec.get("scopes") or []]
    for one in (spec.get("scopeSelector") or {}).get("matchExpressions") or []:
        wanted.append({**one, "key": one["scopeName"]})
    return selected({"matchExpressions": wanted}, _scopes(template))


def _scopes(template: Mapping[str, Any]) -> dict[str, str]:
    """The scopes that pods of the template are in; the priority class has a value.

    Source: kubernetes pkg/quota/v1/evaluator/core (podMatchesScopeFunc).
    """
    spec, amounts = spec_of(template), asked(template)
    ends = spec.get("activeDeadlineSeconds") is not None
    best_effort = not any(amounts.get(key) for key in MAKES_QUALITY)
    scopes = {
        "Terminating" if ends else "NotTerminating": "",
        "BestEffort" if best_effort else "NotBestEffort": "",
    }
    if spec.get("priorityClassName"):
        scopes["PriorityClass"] = spec["priorityClassName"]
    if _looks_elsewhere(spec.get("affinity") or {}):
        scopes["CrossNamespacePodAffinity"] = ""
    return scopes


def _looks_elsewhere(affinity: Mapping[str, Any]) -> bool:
    """Whether the affinity is about pods of other namespaces."""
    terms: list[Mapping[str, Any]] = []
    for key in ("podAffinity", "podAntiAffinity"):
        given = affinity.get(key) or {}
        terms += given.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = given.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        terms += [one["podAffinityTerm"] for one in preferred]
    return any(
        term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms
    )
