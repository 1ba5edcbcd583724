"""A new revision was rolled out shortly before the alert started.

The evidence lists what changed in the pod template. A restart, whose template differs only in the
time of the restart, does not count; nor does one of our own rollbacks.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..model.duration import format_duration
from ..model.facts import Facts, Unknown
from ..model.template import bare_template, template_hash
from ..sights.revisions import REVISIONS, Revision, current_revision
from .cause_spec import CauseSpec, Found


def find(facts: Facts, changed_within: timedelta) -> Found | Unknown | None:
    """The change, if the current template is new: `changed_within` before the trouble or later."""
    current, revisions = current_revision(facts), facts[REVISIONS]
    if isinstance(revisions, Unknown):
        return revisions
    if current is None or template_hash(bare_template(current.template)) in facts.past.chosen:
        return None
    previous, created = _before(current, revisions)
    if previous is None or facts.since - created > changed_within:
        return None
    return _found(current, previous, facts.at - created)


def _before(current: Revision, revisions: Sequence[Revision]) -> tuple[Revision | None, datetime]:
    """The newest older revision with another template, and when the current template appeared."""
    wanted = bare_template(current.template)
    others = [r for r in revisions if bare_template(r.template) != wanted]
    older = [r for r in others if r.number < current.number]
    created = min(r.created_at for r in revisions if r not in others)
    return max(older, key=lambda revision: revision.number, default=None), created


def _found(current: Revision, previous: Revision, age: timedelta) -> Found:
    """What the current revision changed, `age` ago."""
    changes = differences(bare_template(previous.template), bare_template(current.template))
    why = f"revision {current.number} was rolled out {format_duration(age)} ago and changed "
    evidence = {
        "revision": current.number,
        "previous": previous.number,
        "age_seconds": int(age.total_seconds()),
        "changed": changes,
    }
    return Found(why + (", ".join(changes) or "its template"), evidence)


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """The paths whose values differ; values are not shown, since env may hold secrets.

    Images are.
    """
    if old == new:
        return []
    below = _below(old, new)
    if not below:
        return [f"{path}: {old} -> {new}"] if path.endswith(".image") else [path]
    found: list[str] = []
    for one, other, place in below:
        found += differences(one, other, f"{path}{place}".removeprefix("."))
    return found


def _below(old: Any, new: Any) -> list[tuple[Any, Any, str]]:
    """The values that can be compared one by one, with their places; none of other values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [(old.get(key), new.get(key), f".{key}") for key in sorted({*old, *new})]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [(one, other, f"[{index}]") for index, (one, other) in pairs]
    return []


CAUSE = CauseSpec("rollout_changed", __doc__, frozenset({REVISIONS}), find)
