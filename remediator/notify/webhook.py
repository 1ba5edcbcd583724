"""A JSON document is sent with POST, signed if `secret_file` is set.

Set `url`, or `url_file` if it contains a secret; `token_file` adds a bearer token. The signature
follows standardwebhooks.com. The reference page Messages has the schema.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp
import orjson

from ..model.notice import Notice
from .receiver import ReceiverKind

TIMEOUT = aiohttp.ClientTimeout(total=10)


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """POSTs JSON. Raises: aiohttp.ClientError for anything but 2xx, TimeoutError."""
    async with (
        aiohttp.ClientSession(
            timeout=TIMEOUT, headers={"Content-Type": "application/json", **headers}
        ) as session,
        session.post(url, data=body, allow_redirects=False) as answer,
    ):
        if not 200 <= answer.status < 300:
            raise aiohttp.ClientError(f"the receiver answered {answer.status}")


class WebhookReceiver:
    """POSTs JSON; anything but 2xx is a failure and is retried.

    With a secret it is signed as standardwebhooks.com specifies: `webhook-id` (the same for a
    repeated delivery), `webhook-timestamp`, `webhook-signature`.
    """

    kind = "webhook"

    def __init__(self, url: str, token: str = "", secret: str = "") -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._secret = secret

    async def notify(self, message: Notice, ref: str = "") -> str:
        """Raises: aiohttp.ClientError, TimeoutError."""
        body = orjson.dumps(message.payload())
        await post(self._url, body, {**self._headers, **self._signed(message.id, body)})
        return ""

    def _signed(self, ident: str, body: bytes) -> dict[str, str]:
        if not self._secret:
            return {}
        from standardwebhooks import Webhook

        now = datetime.now(UTC)  # noqa: TID251 - a signature's time is the wall clock's
        signature = Webhook(self._secret.encode()).sign(ident, now, body.decode())
        return {
            "webhook-id": ident,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }


RECEIVER = ReceiverKind(
    "webhook",
    __doc__,
    "url or url_file",
    lambda given: bool(given.url),
    lambda given: WebhookReceiver(given.url, given.token, given.secret),
)
