"""The HTTP API answers as its description says: asked by a generator of requests, and by hand."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from remediator.app import App, running
from remediator.settings import Settings
from remediator.web import openapi
from remediator.web.operations import OPERATIONS

RULES = """
version: 1
groups:
- name: shop
  scope: {namespaces: [shop]}
  rules:
  - name: restart
    match: ['alertname="Leak"']
    mode: approve
    approval: {expires: 5m}
    steps: [{action: restart_workload, if: always, verify: {until: converged, quiet_for: 0s}}]
    escalate: {to: [log]}
  - name: more
    match: ['alertname="Slow"']
    mode: act
    steps: [{action: scale_workload, if: always, with: {by: 1}, verify: {until: converged}}]
    escalate: {to: [log]}
"""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    (tmp_path / "r.yaml").write_text(RULES)
    settings = Settings.model_validate(
        {
            "rules": [str(tmp_path)],
            "journal": "sqlite://",
            "web": {"listen": "127.0.0.1:0", "operator_rate": "100000/1m"},
            "sources": [],
            "cluster": {"kind": "sandbox"},
            "receivers": [{"name": "log"}],
            "settle": "0s",
            "startup_grace": "0s",
            "quiet_for": "0s",
        }
    )
    async with running(settings) as started:
        cluster: Any = started.doors.clusters["default"]
        for name in ("web", "api"):
            cluster.create_workload("Deployment", "shop", name, "web:1", labels={"app": name})
        yield started


async def deliver(app: App, alertname: str, deployment: str) -> None:
    labels = {"alertname": alertname, "namespace": "shop", "deployment": deployment}
    alert = {
        "status": "firing",
        "labels": labels,
        "startsAt": "2026-05-01T12:00:00Z",
        "fingerprint": alertname,
    }
    async with (
        aiohttp.ClientSession(app.url) as http,
        http.post("/webhook", json={"version": "4", "alerts": [alert]}) as answer,
    ):
        assert answer.status == 200


async def settled(app: App) -> dict[str, str]:
    """State and id of the two remediations, once one waits and the other has ended."""
    for _ in range(100):
        rows = await app.doors.journal.remediations(10, "", "", "", since=None)
        states = {str(row["state"]): str(row["id"]) for row in rows}
        if {"awaiting_approval", "succeeded"} <= states.keys():
            return states
        await asyncio.sleep(0.1)
    raise AssertionError(states)


def fits(answer: Any, path: str, method: str, status: int) -> None:
    """Raises where the answer is not what the description says."""
    described = openapi.document()
    response = described["paths"][path][method]["responses"][str(status)]
    schema = response["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": described["components"]}).validate(
        answer
    )


async def test_what_is_answered_of_real_remediations_fits_the_description(app: App) -> None:
    await deliver(app, "Leak", "web")
    await deliver(app, "Slow", "api")
    ids = await settled(app)
    asked = [
        ("get", "/api/v1/remediations", "", None, 200),
        ("get", "/api/v1/remediations/{id}", ids["awaiting_approval"], None, 200),
        ("get", "/api/v1/remediations/{id}", ids["succeeded"], None, 200),
        ("get", "/api/v1/remediations/{id}", "r-none", None, 404),
        ("get", "/api/v1/remediations/{id}/undo", ids["succeeded"], None, 200),
        ("get", "/api/v1/remediations/{id}/undo", ids["awaiting_approval"], None, 409),
        ("post", "/api/v1/remediations/{id}/approve", ids["awaiting_approval"], {}, 400),
        ("post", "/api/v1/remediations/{id}/approve", ids["succeeded"], {"digest": "x"}, 409),
        ("post", "/api/v1/remediations/{id}/deny", ids["awaiting_approval"], {}, 200),
        ("get", "/api/v1/episodes", "", None, 200),
        ("get", "/api/v1/counts", "", None, 200),
        ("post", "/api/v1/explain", "", {"fingerprint": "Leak"}, 200),
        ("post", "/api/v1/explain", "", {"alert": {"labels": {"alertname": "X"}}}, 200),
        ("post", "/api/v1/explain", "", {"alert": {"labels": {"alertname": 1}}}, 400),
        ("post", "/api/v1/pauses", "", {"reason": "a look", "for": "2h"}, 200),
        ("post", "/api/v1/pauses", "", {"reason": "a look", "scope": ""}, 400),
        ("post", "/api/v1/pauses", "", {"reason": "a look", "for": ""}, 400),
        ("get", "/api/v1/pauses", "", None, 200),
        ("get", "/api/v1/rules", "", None, 200),
    ]
    async with aiohttp.ClientSession(app.url) as http:
        for method, path, ident, body, status in asked:
            async with http.request(method, path.replace("{id}", ident), json=body) as answer:
                said = await answer.json()
                assert (answer.status, said) == (status, said), path
                fits(said, path, method, status)


async def test_the_api_serves_its_own_description(app: App) -> None:
    async with (
        aiohttp.ClientSession(app.url) as http,
        http.get("/api/v1/openapi.json") as answer,
    ):
        described = await answer.json()
    assert described == json.loads(json.dumps(openapi.document()))
    served = sum(len(methods) for methods in described["paths"].values())
    assert served == len(OPERATIONS) >= 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("which", "checks"),
    [
        # what a text may say (a duration, a scope) is more than the description can
        (["--exclude-path", "/webhook"], ["--exclude-checks", "positive_data_acceptance"]),
        # a webhook that is refused is lost, so more is taken than the description says
        (
            ["--include-path", "/webhook"],
            ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"],
        ),
    ],
    ids=["operators", "webhook"],
)
async def test_generated_requests_are_answered_as_described(
    app: App, tmp_path: Path, which: list[str], checks: list[str]
) -> None:
    """By schemathesis: examples, boundaries, random data, and ids that answers named."""
    await deliver(app, "Leak", "web")
    await deliver(app, "Slow", "api")
    await settled(app)
    (tmp_path / "openapi.json").write_text(json.dumps(openapi.document()))
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        str(tmp_path / "openapi.json"),
        *("--url", app.url, "--max-examples", "40", "--continue-on-failure", "--no-color"),
        *("--checks", "all", *checks, *which),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
