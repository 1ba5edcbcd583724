"""Kubernetes quantities and what pods ask for. Source: apimachinery pkg/api/resource."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from operator import add
from typing import Any

from .raw import spec_of

QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?"
)
SUFFIXES = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{letter: Decimal(1000) ** -power for power, letter in enumerate("mun", 1)},
}


Amounts = dict[str, Decimal]
# a quota may name these without `requests.` too
COUNTED_PLAIN = ("cpu", "memory", "ephemeral-storage", "hugepages-")


def parse_quantity(text: str) -> Decimal:
    """`500m`, `1.5`, `2Gi` or `1e3` as a number. Raises: ValueError."""
    found = QUANTITY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"invalid quantity {text!r}")
    number, exponent, suffix = found.groups()
    try:
        return Decimal(f"{number}{exponent or ''}") * SUFFIXES.get(suffix or "", Decimal(1))
    except ArithmeticError:
        raise ValueError(f"quantity {text!r} is beyond what can be counted") from None


def share(value: Any, whole: int, rounded: Callable[[float], int]) -> int:
    """A count, or a percentage of the whole."""
    text = str(value)
    return rounded(int(text[:-1]) * whole / 100) if text.endswith("%") else int(text)


def asked(template: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a pod of the template counts for in a ResourceQuota, by the quota's own keys.

    Init containers run one after the other, so the largest of them counts, with the sidecars that
    run beside it, if that is more than what runs later. Source: kubernetes pkg/quota/v1/evaluator
    (podComputeUsageHelper), component-helpers resource (PodRequests, PodLimits).
    """
    spec = spec_of(template)
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers") or []:
        needs = _needs(container)
        starting = _combined(max, starting, _combined(add, sidecars, needs))
        if container.get("restartPolicy") == "Always":
            sidecars = _combined(add, sidecars, needs)
    running = sidecars
    for container in spec.get("containers") or []:
        running = _combined(add, running, _needs(container))
    overhead = {f"requests.{name}": amount for name, amount in _amounts(spec.get("overhead"))}
    used = _combined(add, _combined(max, running, starting), overhead)
    plain = {key.removeprefix("requests."): amount for key, amount in used.items()}
    short = {name: amount for name, amount in plain.items() if name.startswith(COUNTED_PLAIN)}
    return {"pods": Decimal(1), "count/pods": Decimal(1), **used, **short}


def _needs(container: Mapping[str, Any]) -> Amounts:
    """What a container asks for; a request that is not given is its limit."""
    resources = container.get("resources") or {}
    limits = dict(_amounts(resources.get("limits")))
    requests = {**limits, **dict(_amounts(resources.get("requests")))}
    needs = {f"requests.{name}": amount for name, amount in requests.items()}
    return needs | {f"limits.{name}": amount for name, amount in limits.items()}


def _amounts(given: Mapping[str, Any] | None) -> Iterator[tuple[str, Decimal]]:
    for name, amount in (given or {}).items():
        yield name, parse_quantity(str(amount))


def _combined(how: Callable[[Decimal, Decimal], Decimal], one: Amounts, other: Amounts) -> Amounts:
    nothing = Decimal()
    return {key: how(one.get(key, nothing), other.get(key, nothing)) for key in {*one, *other}}


def format_bytes(amount: Decimal) -> str:
    """An amount of bytes, rounded up to whole Ki, or Mi from one on, as
    an API server writes it: 2Gi, never 2048Mi.
    """
    units = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
    least = 1 if amount >= SUFFIXES["Mi"] else 0
    count, place = math.ceil(amount / SUFFIXES[units[least]]), least
    while count and count % 1024 == 0 and place + 1 < len(units):
        count, place = count // 1024, place + 1
    return f"{count}{units[place]}"
