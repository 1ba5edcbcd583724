"""One look: from what an alert named up to its root, and then everything that the sights ask for.

Sights and climbs are pure: they say what they want to read. All that the sights of one look want at
once is read at once, and what several want is read once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, ParamSpec, TypeVar

from ..catalogue import KINDS
from ..errors import ClusterError
from ..kinds import NAMESPACE, POD
from ..model.facts import Facts, Unknown, unseen
from ..model.kind import Kind
from ..model.raw import controller, labels, meta
from ..model.sight import Link, Looking, Object, Read, Sight
from ..model.target import Target, Unresolved, invalid_name
from ..model.verdict import Reason
from .objects import Objects

P = ParamSpec("P")
T = TypeVar("T")
LONGEST_CLIMB = 6
# by app.kubernetes.io/name
EXPORTERS = {"kube-state-metrics", "node-exporter", "prometheus-node-exporter"}


async def observe(
    objects: Objects, named: Target, climb: bool, sights: frozenset[Sight[Any]], *, now: datetime
) -> Facts:
    """One look: the target, its root, and what the sights ask for.

    What cannot be read is Unknown.
    """
    target = named
    obj, namespace = await asyncio.gather(
        _read(objects, named),
        _or_unknown(objects.get, NAMESPACE, "", named.namespace) if named.namespace else _nothing(),
    )
    above = KINDS[named.kind].above if named.kind in KINDS else None
    try:
        if climb and above is not None and isinstance(obj, Mapping):
            stands_for = await _behind(objects, named, above(named, obj))
            if isinstance(stands_for, Unresolved):
                return unseen(now, named, stands_for)
            target = stands_for[0]
            obj = stands_for[1] or await _read(objects, target)
        if not isinstance(obj, Mapping):
            return replace(unseen(now, target, obj), origin=named, namespace=namespace)
        chain = await _controllers(objects, target, obj)
    except ClusterError as error:
        return unseen(now, named, Unknown(str(error)))
    root, above_it = chain[-1]
    place = _place(chain, climb)
    if isinstance(place, Unresolved):
        return Facts(now, named, target, root, place)
    target, obj = place
    beside = above_it if root != target else None
    facts = Facts(now, named, target, root, obj, namespace, beside)
    return replace(facts, seen=await see(objects, facts, obj, sights))


async def _read(objects: Objects, target: Target) -> Object | Unknown | None:
    """The target's object; None where it does not exist, or another one has its name."""
    kind = KINDS.get(target.kind)
    if kind is None:
        return Unknown(f"objects of kind {target.kind} are not supported")
    obj = await _or_unknown(objects.get, kind, target.namespace, target.name)
    if isinstance(obj, Mapping) and target.uid and str(meta(obj).get("uid")) != target.uid:
        return None
    return obj


async def _behind(
    objects: Objects, named: Target, climbing: Looking[tuple[Link, ...]]
) -> Link | Unresolved:
    """The one object that another stands for: of several, each must belong to the same root."""
    links = await _run(objects, climbing)
    roots: dict[str, Link] = {}
    for target, obj in links if len(links) > 1 else ():
        assert obj is not None
        chain = await _controllers(objects, target, obj)
        roots.setdefault(chain[-1][0].uid, (target, obj))
    if len(links) == 1:
        return links[0]
    if len(roots) == 1:
        return next(iter(roots.values()))
    what = f"{len(roots)} workloads" if roots else "no pods"
    why = f"{named} leads to {what}; set `target` in the rule"
    return Unresolved(Reason.AMBIGUOUS_TARGET, why)


async def _run(objects: Objects, looking: Looking[T]) -> T:
    """What one climb comes to. Raises: ClusterError where a read of it cannot be made."""
    wanted = next(looking)
    try:
        while True:
            wanted = looking.send([await _answer(objects, read) for read in wanted])
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def _controllers(objects: Objects, target: Target, obj: Object) -> list[Link]:
    """From the object to its top controller; the last may be of a kind that cannot be read."""
    chain: list[Link] = [(target.seen(str(meta(obj).get("uid"))), obj)]
    current: Object | None = obj
    while current is not None and len(chain) < LONGEST_CLIMB:
        owner = controller(current)
        if owner is None:
            break
        link = replace(
            target, kind=str(owner["kind"]), name=str(owner["name"]), uid=str(owner["uid"])
        )
        # the author of a pod names its owner, and a name with slashes could lead anywhere
        named = invalid_name(link.namespace, link.name) is None
        kind = KINDS.get(link.kind) if named else None
        current = await objects.get(kind, link.namespace, link.name) if kind else None
        if current is not None and str(meta(current).get("uid")) != link.uid:
            current = None
        chain.append((link, current))
    return chain


def _place(chain: list[Link], climb: bool) -> tuple[Target, Object] | Unresolved:
    """Where a rule acts: on the object itself, or on the top of a pod's chain that can be read."""
    readable = [(link, obj) for link, obj in chain if obj is not None]
    first, _ = readable[0]
    if not climb or first.kind != POD.name:
        return readable[0]
    if any(_is_exporter(obj) for _, obj in readable):
        why = f"{first} is the exporter that was scraped, not the workload in trouble"
        return Unresolved(Reason.TARGET_IS_EXPORTER, why)
    return readable[-1]


def _is_exporter(obj: Object) -> bool:
    name = labels(obj).get("app.kubernetes.io/name", "")
    return name in EXPORTERS or name.endswith("-exporter")


async def see(
    objects: Objects, facts: Facts, obj: Object, sights: frozenset[Sight[Any]]
) -> dict[str, Any]:
    """What each sight saw, by its name."""
    rounds = _Rounds({}, {}, {})
    for sight in sights:
        if sight.fits(facts.target.kind):
            rounds.start(sight, sight.look(facts, obj))
        else:
            rounds.seen[sight.name] = Unknown(f"a {facts.target.kind} has no {sight.name}")
    answers: dict[Read, Any] = {}
    while rounds.wanted:
        new = [read for read in rounds.reads() if read not in answers]
        got = await asyncio.gather(*(_or_unknown(_answer, objects, read) for read in new))
        answers |= zip(new, got, strict=True)
        rounds.go_on(answers)
    return rounds.seen


@dataclass(frozen=True, slots=True)
class _Rounds:
    """The sights of one look that are not done, what each of them
    wants to read, and what others saw.
    """

    running: dict[Sight[Any], Looking[Any]]
    wanted: dict[Sight[Any], tuple[Read, ...]]
    seen: dict[str, Any]

    def start(self, sight: Sight[Any], looking: Looking[Any]) -> None:
        """Begins to look."""
        self.running[sight] = looking
        self._step(sight, lambda: next(looking))

    def reads(self) -> dict[Read, None]:
        """Everything that is wanted, once."""
        return dict.fromkeys(chain.from_iterable(self.wanted.values()))

    def go_on(self, answers: Mapping[Read, Any]) -> None:
        """Gives every sight its answers; one that gets an Unknown saw nothing."""
        for sight, reads in list(self.wanted.items()):
            got = [answers[read] for read in reads]
            unknown = next((answer for answer in got if isinstance(answer, Unknown)), None)
            if unknown is not None:
                self._end(sight, unknown)
            else:
                self._step(sight, lambda: self.running[sight].send(got))

    def _step(self, sight: Sight[Any], step: Callable[[], tuple[Read, ...]]) -> None:
        try:
            wanted = step()
        except StopIteration as done:
            self._end(sight, done.value)
            return
        except ClusterError as error:
            self._end(sight, Unknown(str(error)))
            return
        undeclared = next((read for read in wanted if not sight.allows(read)), None)
        if undeclared is not None:
            why = f"{sight} tried to read {undeclared.kind.plural}, which it does not declare"
            self._end(sight, Unknown(why))
        else:
            self.wanted[sight] = wanted

    def _end(self, sight: Sight[Any], saw: Any) -> None:
        self.seen[sight.name] = saw
        self.running.pop(sight).close()
        self.wanted.pop(sight, None)


async def _answer(objects: Objects, read: Read) -> Any:
    """The object, or the list. Raises: ClusterError."""
    if read.name:
        return await objects.get(read.kind, read.namespace, read.name)
    return await objects.list_objects(read.kind, read.namespace, read.selector, read.fields)


async def _nothing() -> None:
    return None


async def _or_unknown(
    read: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T | Unknown:
    try:
        return await read(*args, **kwargs)
    except ClusterError as error:
        return Unknown(str(error))


class _Once:
    """Reads each object, and makes each list, once: for several looks at the same moment."""

    def __init__(self, objects: Objects, group: asyncio.TaskGroup) -> None:
        self._objects, self._group = objects, group
        self._made: dict[Read, asyncio.Task[Any]] = {}

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return await self._once(Read(kind, namespace, name))  # type: ignore[no-any-return]

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        read = Read(kind, namespace, selector=selector, fields=fields)
        return await self._once(read)  # type: ignore[no-any-return]

    async def _once(self, read: Read) -> Any:
        if read not in self._made:
            self._made[read] = self._group.create_task(_or_error(_answer, self._objects, read))
        answer = await self._made[read]
        if isinstance(answer, ClusterError):
            raise answer
        return answer


async def _or_error(
    read: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> T | ClusterError:
    try:
        return await read(*args, **kwargs)
    except ClusterError as error:
        return error


async def observe_all(
    objects: Objects, targets: Sequence[Target], sights: frozenset[Sight[Any]], now: datetime
) -> tuple[Facts, ...]:
    """One look at several objects, none of them climbed from; what they share is read once."""
    async with asyncio.TaskGroup() as group:
        once = _Once(objects, group)
        looks = [
            group.create_task(observe(once, target, False, sights, now=now)) for target in targets
        ]
    return tuple(look.result() for look in looks)
