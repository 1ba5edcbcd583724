"""What a guard is: one frozen value that says when it is asked, and which facts it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..model.sight import Sight
from ..model.usage import Usage
from ..model.verdict import Verdict
from .situation import Before, Situation, Undoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard; `manual` is its page, `set_by` the keys that set it, `order` its place among all.

    It is asked before anything is looked at (`first`), with facts and a plan and just before each
    write (`planned`), in the transaction that begins an attempt (`begin`), and before an act is
    taken back (`undo`): by what there is to look at then. `sees` is what it looks at where the
    action sees it too, `sees_pods` what it must see before an act that takes pods away.
    """

    name: str
    manual: str
    set_by: str
    order: int
    first: Callable[[Before], Verdict] | None = None
    planned: Callable[[Situation], Verdict] | None = None
    begin: Callable[[Situation, Usage], list[Verdict]] | None = None
    undo: Callable[[Undoing], Verdict] | None = None
    sees: frozenset[Sight[Any]] = frozenset()
    sees_pods: frozenset[Sight[Any]] = frozenset()

    @property
    def asked(self) -> str:
        """At which looks it is asked."""
        looks = {
            "first look": self.first,
            "second look": self.planned or self.begin,
            "begin": self.begin,
            "write": self.planned,
            "undo": self.undo,
        }
        return ", ".join(look for look, check in looks.items() if check is not None)

    @property
    def summary(self) -> str:
        """The first sentence of its page."""
        first = " ".join(self.manual.split("\n\n")[0].split())
        return first.split(". ")[0].rstrip(".").removeprefix(f"{self.name}: ")
