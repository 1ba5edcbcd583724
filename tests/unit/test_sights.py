"""How sights look: rounds of reads, each made once; nothing undeclared.

What cannot be read is Unknown.
"""

import asyncio
from typing import Any

import pytest

from remediator import catalogue, plugins, sights
from remediator.cluster.observing import observe, see
from remediator.errors import Unreachable
from remediator.kinds import BUILT_IN, NODE, POD, SERVICE
from remediator.model.facts import Facts, Unknown
from remediator.model.kind import Kind
from remediator.model.sight import Looking, Object, Read, Sight
from remediator.sights import SIGHTS
from remediator.sights.pods import PEERS, PODS
from remediator.sights.revisions import REVISIONS
from tests.unit.objects import T, facts, workload


class Answering:
    """Raw objects that note what was asked for, and how many reads were on their way at once."""

    def __init__(self, down: tuple[Kind, ...] = ()) -> None:
        self.asked: list[str] = []
        self.down, self.now, self.most = down, 0, 0

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return await self._answer(kind, f"get {kind} {name}", {"metadata": {"name": name}})

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        return [await self._answer(kind, f"list {kind}", {"metadata": {"name": "one"}})]

    async def _answer(self, kind: Kind, what: str, answer: Object) -> Object:
        self.asked.append(what)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if kind in self.down:
            raise Unreachable(f"cannot list {kind.plural}: no answer")
        return answer


def in_two_rounds(_facts: Facts, _obj: Object) -> Looking[str]:
    """Lists nodes, and gets the one that it found."""
    (nodes,) = yield (Read(NODE),)
    (node,) = yield (Read(NODE, name=nodes[0]["metadata"]["name"]),)
    return str(node["metadata"]["name"])


TWICE = Sight("twice", in_two_rounds, lists=frozenset({NODE}), gets=frozenset({NODE}))
UNDECLARED = Sight("undeclared", in_two_rounds, lists=frozenset({NODE}))


async def seen(objects: Answering, *asked: Sight[Any]) -> dict[str, Any]:
    obj = workload(selector={"matchLabels": {"app": "web"}})
    return await see(objects, facts(obj), obj, frozenset(asked))


async def test_a_sight_may_ask_again_by_what_it_was_answered() -> None:
    objects = Answering()
    assert await seen(objects, TWICE) == {"twice": "one"}
    assert objects.asked == ["list Node", "get Node one"]


async def test_what_several_sights_want_is_read_once_and_all_of_a_round_at_once() -> None:
    objects = Answering()
    await seen(objects, PODS, PEERS, REVISIONS, TWICE)
    assert sorted(objects.asked) == ["get Node one", "list Node", "list Pod", "list ReplicaSet"]
    assert objects.most == 3


async def test_a_read_that_a_sight_does_not_declare_is_refused() -> None:
    objects = Answering()
    (saw,) = (await seen(objects, UNDECLARED)).values()
    assert saw == Unknown("undeclared tried to read nodes, which it does not declare")
    assert objects.asked == ["list Node"]


async def test_what_cannot_be_read_blinds_the_sights_that_want_it_and_no_other() -> None:
    saw = await seen(Answering(down=(POD,)), PODS, TWICE)
    assert saw == {"pods": Unknown("cannot list pods: no answer"), "twice": "one"}


def test_what_no_sight_was_asked_for_is_unknown() -> None:
    there = facts()
    assert there[TWICE] == Unknown("twice of Deployment/shop/web was not requested")
    assert TWICE not in there
    assert TWICE in there.saw(TWICE, "one")


def test_what_an_alert_named_stays_known_after_the_climb() -> None:
    class Front(Answering):
        async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
            if kind == SERVICE:
                return {
                    "metadata": {"name": name, "uid": "s"},
                    "spec": {"selector": {"app": "web"}},
                }
            return {"metadata": {"name": name, "uid": f"uid-{name}"}}

        async def list_objects(
            self, kind: Kind, namespace: str, selector: str, fields: str = ""
        ) -> list[Object]:
            owner = {"kind": "Deployment", "name": "web", "uid": "uid-web", "controller": True}
            return [{"metadata": {"name": "p", "uid": "u", "ownerReferences": [owner]}}]

    named = facts().target
    front = type(named)("c", "Service", "shop", "front")
    there = asyncio.run(observe(Front(), front, True, frozenset(), now=T))
    assert (str(there.origin), str(there.target)) == ("Service/shop/front", "Deployment/shop/web")


@pytest.mark.parametrize("sight", SIGHTS.values(), ids=SIGHTS)
def test_a_sight_is_found_by_its_name_and_reads_something(sight: Sight[Any]) -> None:
    assert sight.lists | sight.gets
    assert sight.lists | sight.gets <= set(BUILT_IN)


def test_what_a_package_holds_is_found_once_each() -> None:
    found = [sight.name for sight in plugins.values(sights, Sight)]
    assert len(found) == len(set(found)) == len(SIGHTS)


def test_labels_name_what_is_in_a_namespace_before_what_holds_it() -> None:
    namespaced = [kind.namespaced for kind in catalogue.KINDS.values()]
    assert namespaced == sorted(namespaced, reverse=True)
    assert set(BUILT_IN) <= set(catalogue.KINDS.values())
