"""rollout_changed: a new revision was rolled out within the window, and what changed in it.

A restart makes a revision that differs in nothing but its time, and a rollback of ours is no news: neither counts.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..model.call import bare_template, template_hash
from ..model.duration import format_duration
from ..model.facts import Facts, current_revision
from .cause import Cause, CauseName


def find(facts: Facts, changed_within: timedelta) -> Cause | None:
    """The change, where the template that runs now first appeared within `changed_within` of the trouble's begin."""
    current = current_revision(facts)
    if current is None or not isinstance(facts.revisions, tuple):
        return None
    wanted = bare_template(current.template)
    if template_hash(wanted) in facts.past.chosen:
        return None
    same = [r for r in facts.revisions if bare_template(r.template) == wanted]
    older = [
        r
        for r in facts.revisions
        if r.number < current.number and bare_template(r.template) != wanted
    ]
    created = min(r.created_at for r in same)
    age = facts.at - created
    if not older or facts.since - created > changed_within:
        return None
    previous = max(older, key=lambda revision: revision.number)
    changes = differences(bare_template(previous.template), wanted)
    why = f"revision {current.number} was rolled out {format_duration(age)} ago and changed {', '.join(changes) or 'its template'}"
    evidence = {
        "revision": current.number,
        "previous": previous.number,
        "age_seconds": int(age.total_seconds()),
    }
    return Cause(CauseName.ROLLOUT_CHANGED, why, {**evidence, "changed": changes})


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """The paths whose values differ; values are not shown, since env may hold secrets. Images are."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({*old, *new})
        return [
            line
            for key in keys
            for line in differences(
                old.get(key), new.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for line in differences(a, b, f"{path}[{i}]")
        ]
    if old == new:
        return []
    return [f"{path}: {old} -> {new}"] if path.endswith(".image") else [path]
