"""What goes on beside requests: a credential that is renewed, and a limit on their rate."""

import asyncio
import time
from typing import Any

from kubernetes_asyncio import client

from ..telemetry import log

RENEWED_EVERY = 60.0


class Renewing:
    """A kubeconfig's token that ends (a plugin's, OIDC's, a file's).

    Seen to beside the requests, at most so often, one at a time.

    The library asks for another five minutes before the end, so requests go on with what there is
    meanwhile. What fails is tried again, and said. A client certificate that a plugin made stays
    until the daemon starts again.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._next = time.monotonic() + RENEWED_EVERY
        self._task: asyncio.Task[None] | None = None

    def __call__(self, settings: client.Configuration) -> None:
        if time.monotonic() >= self._next and (self._task is None or self._task.done()):
            self._next = time.monotonic() + RENEWED_EVERY
            # held here, and ended by close
            self._task = asyncio.ensure_future(self._renew(settings))

    async def _renew(self, settings: client.Configuration) -> None:
        try:
            # the library has no public word for this alone
            await self._loader._load_authentication()
            settings.api_key["BearerToken"] = self._loader.token
        except Exception as error:
            why = (
                f"{type(error).__name__}; the current token is used until it expires; run the"
                " kubeconfig's command by hand"
            )
            log().warning("credentials_not_renewed", why=why)

    def close(self) -> None:
        """Ends a renewal that is under way."""
        if self._task is not None:
            self._task.cancel()


class Bucket:
    """A token bucket: `rate` requests a second, twice that at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = 2 * rate
        self._at = 0.0

    async def take(self) -> None:
        """Waits until a request may be sent."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._tokens = min(2 * self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)
