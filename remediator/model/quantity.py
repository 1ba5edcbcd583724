"""Kubernetes quantities and what pods ask for. Source: apimachinery pkg/api/resource."""

import re
from collections.abc import Mapping
from decimal import Decimal
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


def parse_quantity(text: str) -> Decimal:
    """`500m`, `1.5`, `2Gi` or `1e3` as a number. Raises: ValueError."""
    found = QUANTITY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"invalid quantity {text!r}")
    number, exponent, suffix = found.groups()
    return Decimal(f"{number}{exponent or ''}") * SUFFIXES.get(suffix or "", Decimal(1))


def asked(template: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a pod of the template counts for in a ResourceQuota, by the quota's own keys."""
    out: dict[str, Decimal] = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for container in spec_of(template).get("containers") or []:
        resources = container.get("resources") or {}
        limits = resources.get("limits") or {}
        for kind, amounts in (
            ("requests", {**limits, **(resources.get("requests") or {})}),
            ("limits", limits),
        ):
            for name, amount in amounts.items():
                key = f"{kind}.{name}"
                out[key] = out.get(key, Decimal()) + parse_quantity(str(amount))
    out |= {
        name: out[f"requests.{name}"] for name in ("cpu", "memory") if f"requests.{name}" in out
    }
    return out


def format_bytes(amount: Decimal) -> str:
    """An amount of bytes, rounded up to whole Ki, or Mi from one on, as
    an API server writes it: 2Gi, never 2048Mi.
    """
    units = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
    least = 1 if amount >= SUFFIXES["Mi"] else 0
    count, place = -(-int(amount) // int(SUFFIXES[units[least]])), least
    while count % 1024 == 0 and place + 1 < len(units):
        count, place = count // 1024, place + 1
    return f"{count}{units[place]}"
