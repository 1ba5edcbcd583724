"""Every request of the HTTP API, as a value: routes and the API's description follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from ..alertmanager.payload import Webhook
from . import answers as a

API = "/api/v1"


class Who(StrEnum):
    """Who may make a request."""

    ANYONE = "anyone"
    SOURCE = "source"
    OPERATOR = "operator"


OPERATORS_ERRORS: Mapping[int, str] = {
    400: "The request cannot be understood; nothing was done.",
    401: "No operator is known by these credentials.",
    403: "The request comes from a page of another origin.",
    413: "Larger than `web.max_body_bytes`.",
    415: "A POST without `Content-Type: application/json`.",
    429: "More requests than `web.operator_rate`, or too many failed logins from one address.",
    503: "The journal does not answer.",
}
NOT_THERE = {404: "There is no such remediation."}
NOT_NOW = {409: "It cannot be done as things stand; the error says why."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One request. `name` is its handler's.

    `answer` is the type of the JSON answer, or `str` for text. `query` and `body` are what it may
    be sent.
    """

    name: str
    method: str
    path: str
    summary: str
    answer: Any
    errors: Mapping[int, str]
    who: Who = Who.OPERATOR
    query: type[BaseModel] | None = None
    body: Any = None

    @property
    def refusals(self) -> Mapping[int, str]:
        """Every status other than 200, and what it means."""
        common = OPERATORS_ERRORS if self.who is Who.OPERATOR else {}
        return dict(sorted({**common, **self.errors}.items()))


OPERATIONS = (
    Operation(
        name="webhook",
        method="POST",
        path="/webhook",
        summary="Take an Alertmanager webhook. 200 only once every alert is in the journal.",
        answer=a.Stored,
        body=Webhook,
        who=Who.SOURCE,
        errors={
            400: "Not an Alertmanager webhook. It is not sent again, and logged.",
            401: "No source is known by these credentials. Logged.",
            413: "Larger than `web.max_body_bytes`. It is not sent again, and logged.",
            503: "Not stored; Alertmanager sends it again.",
        },
    ),
    Operation(
        name="healthz",
        method="GET",
        path="/healthz",
        summary="Liveness: 200 unless the journal has not answered for two minutes.",
        answer=str,
        who=Who.ANYONE,
        errors={503: "Only a restart helps."},
    ),
    Operation(
        name="readyz",
        method="GET",
        path="/readyz",
        summary="Readiness: 200 if webhooks are taken and the journal answers.",
        answer=str,
        who=Who.ANYONE,
        errors={503: "Starting, draining, or the journal does not answer."},
    ),
    Operation(
        name="metrics",
        method="GET",
        path="/metrics",
        summary="Metrics in the Prometheus text format.",
        answer=str,
        who=Who.ANYONE,
        errors={},
    ),
    Operation(
        name="remediations",
        method="GET",
        path=f"{API}/remediations",
        summary="List remediations, newest first.",
        answer=list[a.RemediationView],
        query=a.RemediationsAsked,
        errors={},
    ),
    Operation(
        name="remediation",
        method="GET",
        path=f"{API}/remediations/{{id}}",
        summary="Show one remediation: alerts, causes, verdicts, plan, attempts, history.",
        answer=a.RemediationDetails,
        errors=NOT_THERE,
    ),
    Operation(
        name="undo_plan",
        method="GET",
        path=f"{API}/remediations/{{id}}/undo",
        summary="Show what an undo would do now.",
        answer=a.UndoPlan,
        errors=NOT_THERE | NOT_NOW,
    ),
    Operation(
        name="approve",
        method="POST",
        path=f"{API}/remediations/{{id}}/approve",
        summary="Approve the plan with this digest.",
        answer=a.Decided,
        body=a.Approve,
        errors=NOT_THERE | NOT_NOW,
    ),
    Operation(
        name="deny",
        method="POST",
        path=f"{API}/remediations/{{id}}/deny",
        summary="Deny the plan of a waiting remediation, which ends it.",
        answer=a.Decided,
        body=a.Because,
        errors=NOT_THERE | NOT_NOW,
    ),
    Operation(
        name="cancel",
        method="POST",
        path=f"{API}/remediations/{{id}}/cancel",
        summary="Cancel a remediation; calls already made stay in effect.",
        answer=a.Decided,
        body=a.Because,
        errors=NOT_THERE | NOT_NOW,
    ),
    Operation(
        name="undo",
        method="POST",
        path=f"{API}/remediations/{{id}}/undo",
        summary="Undo what an ended remediation did, unless it was modified since.",
        answer=a.Decided,
        body=a.Because,
        errors=NOT_THERE | NOT_NOW,
    ),
    Operation(
        name="retry",
        method="POST",
        path=f"{API}/remediations/{{id}}/retry",
        summary="Match the still firing alerts of an ended remediation again.",
        answer=a.Decided,
        body=a.Because,
        errors=NOT_THERE | NOT_NOW,
    ),
    Operation(
        name="episodes",
        method="GET",
        path=f"{API}/episodes",
        summary="List the newest 200 alerts with their fate, or those with one fingerprint.",
        answer=list[a.ListedEpisode],
        query=a.EpisodesAsked,
        errors={},
    ),
    Operation(
        name="counts",
        method="GET",
        path=f"{API}/counts",
        summary="Count open alerts, remediations in progress, and what waits.",
        answer=a.Counts,
        errors={},
    ),
    Operation(
        name="explain",
        method="POST",
        path=f"{API}/explain",
        summary="Say why each rule matches an alert or not, and what it would do now.",
        answer=a.Explanation,
        body=a.ExplainReceived | a.ExplainGiven,
        errors={404: "No alert with this fingerprint has been received."},
    ),
    Operation(
        name="pauses",
        method="GET",
        path=f"{API}/pauses",
        summary="List what is paused, by whom, until when and why.",
        answer=list[a.PauseView],
        errors={},
    ),
    Operation(
        name="pause",
        method="POST",
        path=f"{API}/pauses",
        summary="Pause a scope.",
        answer=a.Paused,
        body=a.PauseAsked,
        errors={404: "There is no such cluster, namespace or rule; nothing was paused."},
    ),
    Operation(
        name="resume",
        method="DELETE",
        path=f"{API}/pauses/{{scope}}",
        summary="Resume a scope.",
        answer=a.Resumed,
        errors={404: "The scope is not paused."},
    ),
    Operation(
        name="rules",
        method="GET",
        path=f"{API}/rules",
        summary="List the rules that are loaded, with how they have done.",
        answer=a.Rules,
        errors={},
    ),
    Operation(
        name="reset",
        method="POST",
        path=f"{API}/rules/{{name}}/reset",
        summary="Reset a rule's circuit breaker.",
        answer=a.Reset,
        errors={404: "No such rule is loaded."},
    ),
)
