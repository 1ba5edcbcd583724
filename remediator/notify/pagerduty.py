"""PagerDuty's Events API v2: one incident per remediation, resolved automatically.

Set `token_file` to a file with the integration's routing key. An incident opens when a remediation
escalates or ends without success, and resolves when its alerts do. PagerDuty cannot be used with
`tells: everything`.
"""

from typing import Any

import orjson

from ..model.notice import Notice
from .receiver import ReceiverKind
from .webhook import post
from .words import details, severity, title

API = "https://events.pagerduty.com/v2/enqueue"


class PagerDutyReceiver:
    """Triggers an incident, adds to it, and resolves it once the alerts have. `dedup_key` is the
    remediation.
    """

    kind = "pagerduty"

    def __init__(self, routing_key: str, url: str = "") -> None:
        self._routing_key, self._url = routing_key, url or API

    async def notify(self, message: Notice, ref: str = "") -> str:
        """Raises: aiohttp.ClientError, TimeoutError."""
        event: dict[str, Any] = {
            "routing_key": self._routing_key,
            "event_action": "resolve" if message.closed else "trigger",
            "dedup_key": f"remediator/{message.remediation}",
        }
        if not message.closed:
            event["payload"] = {
                "summary": ": ".join([title(message), *details(message)[:1]])[:1024],
                "source": "remediator",
                "severity": severity(message),
                "component": message.target,
                "group": message.rule,
                "class": message.reason or message.state,
                "custom_details": message.payload(),
            }
        await post(self._url, orjson.dumps(event, default=str), {})
        return ""


RECEIVER = ReceiverKind(
    "pagerduty",
    __doc__,
    "token_file",
    lambda given: bool(given.token),
    lambda given: PagerDutyReceiver(given.token, given.url),
    steps=False,  # not every step is an incident
)
