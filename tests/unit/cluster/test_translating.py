"""Paths of the API server, and its answers: decoded, or an error of ours that says what failed."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.cluster.translating import path_of, translated
from remediator.errors import (
    BudgetExhausted,
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    Rejected,
    TargetGone,
    Unauthorized,
    Unreachable,
)
from remediator.kinds import BUILT_IN, CERTIFICATE, DEPLOYMENT, NODE, POD
from remediator.model.kind import Kind

BUDGET = {"details": {"causes": [{"reason": "DisruptionBudget", "message": "needs 3"}]}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "details", "causes", "reason"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (301, {}, Rejected),
        (400, {}, Rejected),
        (401, {}, Unauthorized),
        (403, {}, Forbidden),
        (404, {"kind": "Status", "reason": "NotFound"}, TargetGone),
        (404, {}, Unreachable),
        (405, {}, Rejected),
        (409, {}, Conflict),
        (410, {"reason": "Expired"}, Expired),
        (413, {}, Rejected),
        (415, {}, Rejected),
        (422, {}, Rejected),
        (429, {}, Unreachable),
        (429, {"details": None}, Unreachable),
        (429, {"details": {"causes": None}}, Unreachable),
        (429, {"details": {"retryAfterSeconds": 1}}, Unreachable),
        (429, BUDGET, BudgetExhausted),
        (403, BUDGET, Forbidden),
        (500, BUDGET, Unreachable),
        (500, {}, Unreachable),
        (502, {}, Unreachable),
        (503, {}, Unreachable),
        (504, {}, Unreachable),
    ],
)
def test_a_status_that_is_no_success_is_one_error_of_ours(
    status: int, body: dict[str, Any], error: type[ClusterError]
) -> None:
    with pytest.raises(ClusterError, match=r"^cannot get pods: ") as raised:
        translated("get pods", status, json.dumps({**body, "message": "because"}).encode())
    assert type(raised.value) is error
    assert "because" in str(raised.value)


@pytest.mark.parametrize(
    ("status", "seconds"), [(429, 10.0), (503, 10.0), (409, None), (422, None), (404, 10.0)]
)
def test_only_what_may_work_later_says_when_to_try_again(
    status: int, seconds: float | None
) -> None:
    with pytest.raises(ClusterError) as raised:
        translated("get pods", status, b"{}")
    assert raised.value.retry_after == seconds


def test_a_webhook_s_refusal_is_told_at_length_and_a_proxy_s_page_is_not() -> None:
    with pytest.raises(Rejected, match=r"x{500}$"):
        translated("patch deployments", 422, json.dumps({"message": "x" * 9000}).encode())
    for page in (b"<html>" + b"y" * 9000, json.dumps({"message": "y" * 9000}).encode()):
        with pytest.raises(Unreachable) as raised:
            translated("get pods", 502, page)
        assert len(str(raised.value)) < 400


@pytest.mark.parametrize("status", [100, 304, 400, 404, 409, 429, 500, 599])
@given(text=st.binary(max_size=50))
def test_whatever_the_body_of_a_failure_is_it_is_an_error_of_the_cluster(
    status: int, text: bytes
) -> None:
    with pytest.raises(ClusterError):
        translated("get pods", status, text)


@given(body=JSON)
def test_any_json_of_a_429_is_an_error_of_the_cluster(body: Any) -> None:
    with pytest.raises(ClusterError):
        translated("evict pod", 429, json.dumps(body).encode())


def test_a_success_is_decoded() -> None:
    assert translated("get pods", 200, '{"kind": "Pöd"}'.encode()) == {"kind": "Pöd"}
    assert translated("create pods", 201, b'{"kind": "Pod"}') == {"kind": "Pod"}


@pytest.mark.parametrize(
    "text", [b"<html>log in</html>", b'{"kind": "Pod", "meta', b"", b"null", b"[]", b'"ok"']
)
def test_a_success_that_is_no_object_is_an_error(text: bytes) -> None:
    with pytest.raises(ClusterError):
        translated("list pods", 200, text)


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "path"),
    [
        (POD, "shop", "web-1", "/api/v1/namespaces/shop/pods/web-1"),
        (POD, "shop", "", "/api/v1/namespaces/shop/pods"),
        (POD, "", "", "/api/v1/pods"),
        (NODE, "", "ip-10-0-0-1.ec2.internal", "/api/v1/nodes/ip-10-0-0-1.ec2.internal"),
        (DEPLOYMENT, "shop", "web", "/apis/apps/v1/namespaces/shop/deployments/web"),
        (
            CERTIFICATE,
            "shop",
            "tls",
            "/apis/cert-manager.io/v1/namespaces/shop/certificates/tls",
        ),
    ],
    ids=lambda value: str(value),
)
def test_an_object_has_the_path_that_the_api_server_gives_it(
    kind: Kind, namespace: str, name: str, path: str
) -> None:
    assert path_of(kind, namespace, name) == path


@given(st.sampled_from(BUILT_IN), st.text(min_size=1))
def test_a_name_is_never_read_as_a_query(kind: Kind, name: str) -> None:
    path = path_of(kind, "shop", name)
    assert not {"?", "#", " "} & set(path)
    assert unquote(path).endswith(f"/{kind.plural}/{name}")


@pytest.mark.parametrize("name", ["web/scale", "../secrets/x", "../../kube-system/pods/dns"])
def test_a_name_with_a_slash_leads_to_no_other_object(name: str) -> None:
    assert path_of(POD, "shop", name).count("/") == path_of(POD, "shop", "web").count("/")
