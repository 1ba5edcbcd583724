"""Ten thousand pods, of which some change every second: what a daemon that watches them costs."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from multiprocessing.pool import ThreadPool
from ssl import _create_unverified_context
from typing import Any

from tests.real.parts import TOKEN, ControlPlane

LANES = 8
PER_WORKLOAD = 20


def connect(plane: ControlPlane) -> HTTPSConnection:
    """A connection of the administrator's."""
    return HTTPSConnection("127.0.0.1", plane.port, context=_create_unverified_context())


def request(
    line: HTTPSConnection, method: str, path: str, body: Any, *, kind: str = "json"
) -> None:
    """One request, which must be done."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": f"application/{kind}"}
    line.request(method, path, json.dumps(body), headers)
    answer = line.getresponse()
    answer.read()
    assert answer.status < 300, (method, path, answer.status)


def pod(number: int) -> dict[str, Any]:
    """A pod with what pods usually have."""
    workload = f"crowd{number // PER_WORKLOAD}"
    container = {
        "name": "app",
        "image": "registry.example/team/app:1.2.3",
        "env": [{"name": f"SETTING_{n}", "value": f"value of setting {n}"} for n in range(10)],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "256Mi"},
        },
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
    }
    labels = {"app": workload, "app.kubernetes.io/name": workload, "pod-template-hash": "5d4f8c7b9"}
    metadata = {"name": f"{workload}-{number}", "labels": labels}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def fill(plane: ControlPlane, namespace: str, count: int) -> None:
    """Creates so many pods."""

    def lane(first: int) -> None:
        line = connect(plane)
        for number in range(first, count, LANES):
            request(line, "POST", f"/api/v1/namespaces/{namespace}/pods", pod(number))
        line.close()

    with ThreadPool(LANES) as lanes:
        lanes.map(lane, range(min(LANES, count)))


@contextmanager
def changing(plane: ControlPlane, namespace: str, count: int, a_second: int) -> Iterator[None]:
    """So many of the pods change every second, one after the other."""
    over = threading.Event()

    def change() -> None:
        line, started = connect(plane), time.monotonic()
        for number in itertools.count():
            if over.wait(max(0.0, started + number / a_second - time.monotonic())):
                break
            name = pod(number % count)["metadata"]["name"]
            changed = {"metadata": {"annotations": {"changed": str(number)}}}
            path = f"/api/v1/namespaces/{namespace}/pods/{name}"
            request(line, "PATCH", path, changed, kind="merge-patch+json")
        line.close()

    thread = threading.Thread(target=change)
    if a_second:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if a_second:
            thread.join()
