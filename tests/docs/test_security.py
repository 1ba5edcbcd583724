"""The threat model: every claim names a test that exists.

And the claims that no other place tests.
"""

import hmac
import re
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from remediator.generate import PRINTED
from remediator.located import load_text
from remediator.model.notice import from_payload
from remediator.notify.slack import SlackReceiver
from remediator.rules.loader import RuleErrors, build
from remediator.web import access
from tests.integration.test_http import settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "explanation" / "security.md").read_text()


def test_every_claim_names_a_test_that_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 30
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


@pytest.mark.parametrize("given", ["", "a", "am-secret", "x" * 10_000])
def test_secrets_are_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Every credential is compared, by the standard library's
    comparison, whether or not one before it matched.
    """
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    (tmp_path / "second").write_text("second-secret")
    sources = [{"name": name, "token_file": str(tmp_path / name)} for name in ("am", "second")]
    known = access.Access(settings(tmp_path, sources=sources))
    request: Any = SimpleNamespace(
        headers={"Authorization": f"Bearer {given}"}, transport=None, remote="10.0.0.1"
    )
    assert known.source(request) == ("am" if given == "am-secret" else None)
    assert compared == [b"am-secret", b"second-secret"]


def test_no_right_to_read_secrets_is_ever_asked_for() -> None:
    role = yaml.safe_load(PRINTED["rbac"](()))
    resources = set(chain.from_iterable(rule["resources"] for rule in role["rules"]))
    assert not resources & {"secrets", "configmaps", "serviceaccounts/token", "pods/exec", "*"}
    assert not any("*" in rule["verbs"] for rule in role["rules"])
    assert not any(
        {"create", "update"} & set(rule["verbs"]) and "pods" in rule["resources"]
        for rule in role["rules"]
    )


def test_an_override_cannot_name_a_scope() -> None:
    text = (
        "version: 1\ngroups:\n  - {name: g, scope: {namespaces: [shop]}, rules: [{name: a, match:"
        " ['a=\"b\"'], escalate: {to: [log]}, steps: [{action: restart_workload}]}]}\noverrides:\n "
        " - {rules: [a], scope: {namespaces: ['.*']}}\n"
    )
    with pytest.raises(RuleErrors) as error:
        build([load_text(text, "r.yaml")])
    assert [(finding.line, finding.code) for finding in error.value.findings] == [
        (5, "unknown-field")
    ]


async def test_markup_in_labels_is_text_in_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    async def post(**message: Any) -> dict[str, str]:
        sent.append(message["text"])
        return {"channel": "C", "ts": "1"}

    receiver = SlackReceiver("xoxb-x", "C")
    monkeypatch.setattr(receiver._client, "chat_postMessage", post)
    body = {
        "remediation": "r",
        "rule": "<!channel>",
        "target": "<https://evil.example|shop>",
        "state": "failed",
        "reason": "",
        "why": "a & b",
    }
    await receiver.notify(from_payload(body))
    assert "<" not in sent[0]
    assert "&lt;!channel&gt;" in sent[0]
    assert "a &amp; b" in sent[0]
