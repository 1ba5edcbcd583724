"""What stands in for the outside: a server that says what it was told, and objects on a shelf."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes_asyncio import client

from remediator.cluster.client import KubernetesCluster
from remediator.errors import ClusterError
from remediator.model.kind import Kind
from remediator.model.raw import labels, meta
from remediator.model.selectors import selects
from remediator.model.sight import Object
from remediator.telemetry import Metrics

NOT_FOUND = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
DONE = {"kind": "Status", "status": "Success"}


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Server:
    """Says what it was told, the last answer for ever, and 404 as an API server of all else."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[tuple[int, str]]] = {}

    def says(self, method: str, path: str, body: Any, status: int = 200) -> None:
        """A text is sent as it is, anything else as JSON."""
        text = body if isinstance(body, str) else json.dumps(body)
        self._answers.setdefault((method, path), []).append((status, text))

    def asked_for(self, method: str, path: str) -> list[Asked]:
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)]

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                await request.text(),
            )
        )
        answers = self._answers.get((request.method, request.path), [(404, json.dumps(NOT_FOUND))])
        status, text = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(status=status, text=text, content_type="application/json")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its URL on loopback, while it serves."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with TestServer(app) as served:
            yield str(served.make_url("")).rstrip("/")


@asynccontextmanager
async def cluster_of(server: Server) -> AsyncIterator[KubernetesCluster]:
    """The cluster port in front of a server that stands in for an API server."""
    async with server.serving() as url:
        settings = client.Configuration(host=url)
        cluster = KubernetesCluster(client.ApiClient(settings), 1000, Metrics())
        yield cluster
        await cluster.close()


class Shelf:
    """Raw objects as an API server keeps them, without controllers; reads of a kind may fail."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = list(objects)
        self.failing: dict[str, ClusterError] = {}
        self.read: list[str] = []

    def _of(self, kind: Kind, namespace: str) -> list[Object]:
        if kind.name in self.failing:
            raise self.failing[kind.name]
        there = [obj for obj in self.objects if obj["kind"] == kind.name]
        return [obj for obj in there if namespace in ("", meta(obj).get("namespace", ""))]

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        self.read.append(f"{kind} {namespace}/{name}")
        found = [obj for obj in self._of(kind, namespace) if meta(obj)["name"] == name]
        return found[0] if found else None

    async def list_objects(
        self, kind: Kind, namespace: str, selector: str, fields: str = ""
    ) -> list[Object]:
        self.read.append(f"{kind} {namespace}")
        return [obj for obj in self._of(kind, namespace) if selects(selector, labels(obj))]


def made(
    kind: str, name: str, owner: dict[str, Any] | None = None, uid: str = "", **more: Any
) -> dict[str, Any]:
    """An object in `shop` with its label `app: web`, and perhaps a controller."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "" if kind in ("Node", "Namespace") else "shop",
        "uid": uid or f"uid-{name}",
        "labels": {"app": "web"},
        "creationTimestamp": "2026-05-01T11:00:00Z",
    }
    if owner is not None:
        metadata["ownerReferences"] = [reference(owner)]
    return {"kind": kind, "metadata": metadata, **more}


def reference(owner: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An owner reference to what controls an object."""
    named = {"kind": owner["kind"], "name": meta(owner)["name"], "uid": meta(owner)["uid"]}
    return {"apiVersion": "v1", **named, "controller": True, **more}


def selecting(kind: str, name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    """A workload that selects `app: web`."""
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": {}}
    return made(kind, name, owner, spec=spec)


def names(objects: Sequence[Object]) -> list[str]:
    return [str(meta(obj)["name"]) for obj in objects]
