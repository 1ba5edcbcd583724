"""The one Kubernetes object acted upon."""

import re
from dataclasses import dataclass, replace

from .verdict import Reason

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*\Z")
# what controllers append to names has no vowels, and no digits that look like them
SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
POD = re.compile(
    rf"(?P<deployment>.+)-{SAFE}{{6,10}}-{SAFE}{{5}}"
    r"|(?P<statefulset>.+)-[0-9]+"
    rf"|(?P<daemonset>.+)-{SAFE}{{5}}"
)

REPLACED = "was deleted or replaced by another object of the same name"


@dataclass(frozen=True, slots=True)
class Target:
    """cluster/kind/namespace/name; `uid` once it was observed, or where the alert carries one."""

    cluster: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    @property
    def key(self) -> str:
        """What locks and uniqueness go by; the uid is checked at each write instead."""
        return f"{self.cluster}/{self.kind}/{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))

    def seen(self, uid: str) -> "Target":
        """The same target with the uid that was observed."""
        return replace(self, uid=uid)


def target_of(key: str) -> Target | None:
    """The target of a key, None of an empty one: its root is not known yet."""
    parts = key.split("/", 3)
    return Target(*parts) if len(parts) == 4 else None


def invalid_name(namespace: str, name: str) -> str | None:
    """Why these are no Kubernetes names, or None; no namespace where the kind has none.

    Source: RFC 1123 labels and subdomains, as the API server checks.
    """
    if namespace and not NAMESPACE.match(namespace):
        return f"{namespace!r} is not a valid Kubernetes namespace name"
    if not NAME.match(name):
        return f"{name!r} is not a valid Kubernetes object name"
    return None


def workload_name(kind: str, name: str) -> str:
    """The name of a pod's workload as far as its own tells; any other object's own name."""
    found = POD.fullmatch(name) if kind == "Pod" else None
    return next(filter(None, found.groups()), name) if found else name


@dataclass(frozen=True, slots=True)
class Unresolved:
    """No object to act on, and why."""

    reason: Reason
    why: str
