"""A kind of fact, as a value: what it reads, and how the fact is made of the answers."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from .facts import Facts
    from .kind import Kind
    from .target import Target

T = TypeVar("T", covariant=True)
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """One read of the cluster: of one object where `name` is given, else of a list.

    `selector` and `fields` are the API's label and field selectors.
    """

    kind: "Kind"
    namespace: str = ""
    name: str = ""
    selector: str = ""
    fields: str = ""


# Yields reads that may be made together, is sent their answers in the same order, returns what it
# made
# of them. An object that does not exist is answered None. It is closed where one cannot be made.
Looking = Generator[tuple[Read, ...], list[Any], T]

# One step up: objects that may be above this one, each with what was read of it already.
Link = tuple["Target", Object | None]
Climb = Callable[["Target", Object], Looking[tuple[Link, ...]]]


@dataclass(frozen=True, slots=True)
class Sight(Generic[T]):
    """One question about a target. `look` is pure: it says what to read, and reads nothing itself.

    `lists` and `gets` are the kinds that it may ask for: RBAC follows from them, and any other read
    is refused. `of` are the kinds of targets that have such a fact, None: all. Of any other kind it
    is Unknown, never empty.
    """

    name: str
    look: "Callable[[Facts, Object], Looking[T]]"
    lists: "frozenset[Kind]" = frozenset()
    gets: "frozenset[Kind]" = frozenset()
    of: "frozenset[Kind] | None" = None

    def fits(self, kind: str) -> bool:
        """Whether a target of this kind has such a fact."""
        return self.of is None or any(kind == one.name for one in self.of)

    def allows(self, read: Read) -> bool:
        """Whether it declares this read."""
        return read.kind in (self.gets if read.name else self.lists)

    def __str__(self) -> str:
        return self.name
