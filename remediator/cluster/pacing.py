"""What goes on beside requests: a credential that is renewed, a limit on their rate, and a rest
while nobody answers them.
"""

import asyncio
import time
from typing import Any

from kubernetes_asyncio import client

from ..errors import Unreachable
from ..telemetry import log

RENEWED_EVERY = 60.0
IN_A_ROW, REST = 3, 5.0  # requests that nobody answered, and seconds


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
            try:
                await asyncio.sleep(-self._tokens / self._rate)
            except asyncio.CancelledError:
                self._tokens += 1  # it is not sent
                raise


class Circuit:
    """A circuit breaker: after several requests in a row that nobody answered, none is made for a
    while. So those that wait for an answer in vain do not keep everything else waiting.
    """

    def __init__(self) -> None:
        self._failed, self._until = 0, 0.0

    def check(self, what: str) -> None:
        """Raises: Unreachable while no request is made."""
        left = self._until - asyncio.get_running_loop().time()
        if self._failed >= IN_A_ROW and left > 0:
            why = f"the API server does not answer; it is asked again in {left:.0f}s"
            raise Unreachable(f"cannot {what}: {why}")

    def answered(self) -> None:
        """Somebody answered, whatever it was."""
        self._failed = 0

    def failed(self) -> None:
        """Nobody answered. One that fails when the while is over begins another."""
        self._failed += 1
        self._until = asyncio.get_running_loop().time() + REST
