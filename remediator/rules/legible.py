"""What can be read of a part of a rule file that has mistakes, so that one hides no other."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .schema import EXAMPLE, Rule
from .sections import TimeInterval
from .wording import innermost, keys_of

Part = TypeVar("Part", bound=BaseModel)
# in place of what is missing: the rest can be read without
SPARE: Mapping[type[BaseModel], Mapping[str, Any]] = {
    Rule: {key: EXAMPLE[key] for key in ("match", "escalate")},
    TimeInterval: {"time_intervals": [{}]},
}
# in place of what is wrong: without it, something else would look wrong too
HARMLESS: Mapping[str, Any] = {
    "if": "always",
    "attempts": "1000/1h",
    "namespace": "{{ labels.namespace }}",
}


def legible(model: type[Part], raw: Any) -> tuple[Part, Any] | None:
    """A part without the keys that have mistakes, and the data of which it was made.

    None where one is wrong without which nothing can be read.
    """
    if not isinstance(raw, Mapping):
        return None
    left: Any = raw
    while True:
        try:
            return model.model_validate(left), left
        except ValidationError as error:
            left = deepcopy(raw) if left is raw else left
            found = innermost(error.errors(include_url=False))
            if not all(_mended(left, one, SPARE.get(model, {})) for one in found):
                return None


def _mended(left: Any, error: Mapping[str, Any], spare: Mapping[str, Any]) -> bool:
    """Takes away, or replaces, the innermost key that has the mistake; False if there is none."""
    loc: tuple[Any, ...] = keys_of(error["loc"])
    missing = error["type"] == "missing"
    if missing and len(loc) == 1 and loc[0] in spare:
        left[loc[0]] = spare[loc[0]]
        return True
    loc = loc[:-1] if missing else loc
    while loc and isinstance(loc[-1], int):  # the items of a list keep their numbers
        loc = loc[:-1]
    if loc:
        _take_away(left, loc)
    return bool(loc)


def _take_away(left: Any, loc: tuple[Any, ...]) -> None:
    """The key at the place, or what is written there if something harmless can stand for it."""
    *above, key = loc
    for part in above:
        if isinstance(left, Mapping) and part not in left:
            return  # taken away with another mistake in it
        left = left[part]
    if key not in left:
        return
    if key in HARMLESS and left[key] != HARMLESS[key]:
        left[key] = HARMLESS[key]
    else:
        del left[key]
