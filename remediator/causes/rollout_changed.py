"""A new revision was rolled out shortly before the alert started.

The evidence lists what changed in the pod template. A restart, whose template differs only in the
time of the restart, does not count; nor does one of our own rollbacks.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..model.duration import format_duration
from ..model.facts import Facts, Unknown
from ..model.template import bare_template, template_hash
from ..sights.revisions import REVISIONS, Revision, current_revision
from .cause_spec import CauseSpec, Found


def find(facts: Facts, changed_within: timedelta) -> Found | Unknown | None:
    """The change, where the template that runs now first appeared
    within `changed_within` of the trouble.
    """
    current, revisions = current_revision(facts), facts[REVISIONS]
    if isinstance(revisions, Unknown):
        return revisions
    if current is None:
        return None
    wanted = bare_template(current.template)
    if template_hash(wanted) in facts.past.chosen:
        return None
    others = [r for r in revisions if bare_template(r.template) != wanted]
    older = [r for r in others if r.number < current.number]
    created = min(r.created_at for r in revisions if r not in others)
    if not older or facts.since - created > changed_within:
        return None
    previous = max(older, key=lambda revision: revision.number)
    return _found(current, previous, facts.at - created)


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
    below: list[tuple[Any, Any, str]] = []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            below.append((old.get(key), new.get(key), f"{path}.{key}" if path else str(key)))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            below.append((one, other, f"{path}[{index}]"))
    elif old != new:
        return [f"{path}: {old} -> {new}"] if path.endswith(".image") else [path]
    found: list[str] = []
    for one, other, place in below:
        found += differences(one, other, place)
    return found


CAUSE = CauseSpec("rollout_changed", __doc__, frozenset({REVISIONS}), find)
