"""Signed links to a plan that waits for a decision: they show it.

Who decides must prove who they are on the page.

A link names the remediation, the plan's digest and when it ends, under an HMAC. So a link preview
or whoever was forwarded it can look for a while, and decide nothing.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links below a public URL, and checks them."""

    url: str
    key: bytes

    def make(self, remediation: str, digest: str, until: datetime) -> str:
        """The link to a plan."""
        ends = str(int(until.timestamp()))
        query = urlencode(
            {"digest": digest, "until": ends, "signature": self._sign(remediation, digest, ends)}
        )
        return f"{self.url.rstrip('/')}/approvals/{quote(remediation)}?{query}"

    def refused(
        self, remediation: str, digest: str, until: str, signature: str, *, now: datetime
    ) -> str | None:
        """Why a link is no good, or None."""
        if not hmac.compare_digest(
            self._sign(remediation, digest, until).encode(), signature.encode()
        ):
            return "This link is not valid: it was changed, or made by another server."
        if not until.isdigit() or now >= datetime.fromtimestamp(int(until), UTC):
            return "This link has expired."
        return None

    def _sign(self, *parts: str) -> str:
        return hmac.new(self.key, "\n".join(parts).encode(), "sha256").hexdigest()
