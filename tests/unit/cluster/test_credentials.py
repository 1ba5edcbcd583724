"""The daemon's own tokens: made once, never replaced, whatever is there already."""

import base64
from typing import Any

import pytest

from remediator.cluster.client import KubernetesCluster
from remediator.cluster.credentials import KEYS, make
from remediator.errors import Conflict, Forbidden, Unreachable
from tests.unit.cluster.stand_ins import DONE, Server

FOLDER = "/api/v1/namespaces/ops/secrets"


def secret(version: str = "7", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": "tokens", "resourceVersion": version}, "data": data}


def written(server: Server) -> dict[str, Any]:
    """What the only request that wrote something said."""
    (asked,) = [asked for asked in server.asked if asked.method != "GET"]
    body: dict[str, Any] = asked.body
    return body


async def test_where_there_is_no_secret_each_token_is_made_and_none_is_like_another(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("POST", FOLDER, DONE, 201)
    assert await make(cluster, "ops", "tokens") == list(KEYS)
    body = written(server)
    tokens = [base64.b64decode(body["data"][key], validate=True) for key in KEYS]
    assert len(set(tokens)) == len(KEYS)
    assert min(map(len, tokens)) >= 32
    assert (body["type"], body["metadata"]["name"]) == ("Opaque", "tokens")


async def test_a_secret_that_has_every_key_is_left_alone(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", f"{FOLDER}/tokens", secret(**dict.fromkeys((*KEYS, "more"), "eA==")))
    assert await make(cluster, "ops", "tokens", "older") == []
    assert [asked.method for asked in server.asked] == ["GET"]


@pytest.mark.parametrize("key", KEYS)
async def test_a_key_that_is_missing_is_added_at_the_version_that_was_read(
    server: Server, cluster: KubernetesCluster, key: str
) -> None:
    there = secret("41", **{other: "eA==" for other in KEYS if other != key})
    server.says("GET", f"{FOLDER}/tokens", there)
    server.says("PATCH", f"{FOLDER}/tokens", DONE)
    assert await make(cluster, "ops", "tokens") == [key]
    body = written(server)
    assert list(body["data"]) == [key]  # no other is sent, so none can be replaced
    assert body["metadata"] == {"resourceVersion": "41"}
    assert server.asked[-1].headers["Content-Type"] == "application/merge-patch+json"


async def test_a_secret_without_data_gets_every_key(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", f"{FOLDER}/tokens", {**secret(), "data": None})
    server.says("PATCH", f"{FOLDER}/tokens", DONE)
    assert await make(cluster, "ops", "tokens") == list(KEYS)
    assert sorted(written(server)["data"]) == sorted(KEYS)


async def test_what_an_earlier_secret_has_is_taken_over_and_the_rest_is_made(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", f"{FOLDER}/older", secret(operator="b2xk", links=""))
    server.says("POST", FOLDER, DONE, 201)
    assert await make(cluster, "ops", "tokens", "older") == list(KEYS)
    data = written(server)["data"]
    assert data["operator"] == "b2xk"
    assert data["links"]  # an empty one is no token


async def test_an_earlier_secret_never_replaces_what_is_there(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", f"{FOLDER}/older", secret(operator="b2xk", alertmanager="b2xk"))
    server.says("GET", f"{FOLDER}/tokens", secret(operator="bmV3", links="bmV3"))
    server.says("PATCH", f"{FOLDER}/tokens", DONE)
    await make(cluster, "ops", "tokens", "older")
    assert written(server)["data"] == {"alertmanager": "b2xk"}


async def test_where_another_was_quicker_nothing_was_made(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("POST", FOLDER, {"reason": "AlreadyExists"}, 409)
    assert await make(cluster, "ops", "tokens") == []


async def test_where_it_changes_while_a_key_is_added_that_is_said(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.says("GET", f"{FOLDER}/tokens", secret())
    server.says("PATCH", f"{FOLDER}/tokens", {}, 409)
    with pytest.raises(Conflict):
        await make(cluster, "ops", "tokens")


@pytest.mark.parametrize(("status", "error"), [(403, Forbidden), (503, Unreachable)])
@pytest.mark.parametrize("unread", ["tokens", "older"])
async def test_where_a_secret_cannot_be_read_none_is_written(
    server: Server,
    cluster: KubernetesCluster,
    status: int,
    error: type[Exception],
    *,
    unread: str,
) -> None:
    server.says("GET", f"{FOLDER}/{unread}", {}, status)
    with pytest.raises(error):
        await make(cluster, "ops", "tokens", "older")
    assert {asked.method for asked in server.asked} == {"GET"}
