"""Receivers: where the outbox delivers. The log and a plain webhook."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from ..telemetry import log

TIMEOUT = aiohttp.ClientTimeout(total=10)


class LogReceiver:
    """Tells the log."""

    kind = "log"

    async def notify(self, message: Mapping[str, Any]) -> None:
        """One line."""
        log().warning("people_told", **message)


class WebhookReceiver:
    """POSTs JSON; anything but 2xx is a failure and is tried again."""

    kind = "webhook"

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    async def notify(self, message: Mapping[str, Any]) -> None:
        """Raises: aiohttp.ClientError, TimeoutError."""
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, headers=self._headers) as session,
            session.post(self._url, data=orjson.dumps(message, default=str), allow_redirects=False) as answer,
        ):
            if not 200 <= answer.status < 300:
                raise aiohttp.ClientError(f"the receiver answered {answer.status}")
