"""The body of an Alertmanager webhook, version 4 (0.25 to 0.34).

Unknown fields are ignored, missing ones refused. Texts may have any length, since a refused webhook
is lost; only the size of the body is limited, before it is read.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ..model.alert import Alert, AlertStatus

MOST_ALERTS = 10_000
# times beyond can be reckoned with nowhere
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Item(BaseModel):
    """One of its alerts, as it was sent."""

    model_config = ConfigDict(extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: AwareDatetime
    endsAt: AwareDatetime | None = None
    generatorURL: str = ""
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{1,64}$")]


class Webhook(BaseModel):
    """A decoded body."""

    model_config = ConfigDict(extra="ignore")

    version: Literal["4"]
    alerts: Annotated[list[Item], Field(max_length=MOST_ALERTS)]
    truncatedAlerts: Annotated[int, Field(ge=0)] = 0


class BadPayload(ValueError):
    """The body is not an Alertmanager webhook; the message says where."""


def decode(body: bytes) -> Webhook:
    """The body, decoded and checked.

    Raises: BadPayload, in words short enough for Alertmanager's log.
    """
    try:
        return Webhook.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:120]
        raise BadPayload(f"{place or 'body'}: {first['msg']}"[:300]) from None
    except ValueError as error:
        raise BadPayload(f"body: {type(error).__name__}") from None


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted of a webhook.

    Alerts by (status, severity label), those truncated, and the names among them.

    It is kept while the webhook waits to be stored; the decoded webhook itself would keep the
    garbage collector busy.
    """

    alerts: Mapping[tuple[str, str | None], int]
    truncated: int
    names: frozenset[str]


def tally(webhook: Webhook) -> Tally:
    """Counts a webhook."""
    counted: Counter[tuple[str, str | None]] = Counter(
        (item.status, item.labels.get("severity")) for item in webhook.alerts
    )
    return Tally(
        counted,
        webhook.truncatedAlerts,
        frozenset(item.labels.get("alertname", "") for item in webhook.alerts),
    )


def alerts_of(webhook: Webhook) -> tuple[Alert, ...]:
    """Its alerts as values."""
    return tuple(_alert(item) for item in webhook.alerts)


def _alert(item: Item) -> Alert:
    resolved = item.status == "resolved"
    starts_at = min(max(item.startsAt, FIRST), LAST)
    ends_at: datetime | None = min(max(item.endsAt or starts_at, FIRST), LAST) if resolved else None
    return Alert(
        item.fingerprint,
        AlertStatus(item.status),
        item.labels,
        item.annotations,
        starts_at,
        ends_at,
        item.generatorURL,
    )
