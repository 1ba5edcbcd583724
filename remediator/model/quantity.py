"""Kubernetes quantities and what pods ask for. Source: apimachinery pkg/api/resource."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

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
        raise ValueError(f"{text!r} is no quantity")
    number, exponent, suffix = found.groups()
    return Decimal(f"{number}{exponent or ''}") * SUFFIXES.get(suffix or "", Decimal(1))


def asked(template: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a pod of the template counts for in a ResourceQuota, by the quota's own keys."""
    out: dict[str, Decimal] = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for container in (template.get("spec") or {}).get("containers") or []:
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
    """An amount of bytes as Kubernetes writes it, rounded up to whole Mi, or Ki where it is less than one."""
    suffix = "Mi" if amount >= SUFFIXES["Mi"] else "Ki"
    return f"{-(-int(amount) // int(SUFFIXES[suffix]))}{suffix}"
