"""Signed links that show a plan that waits for approval.

A link contains the remediation, the digest of the plan and the expiry under an HMAC. A link
preview, or someone it was forwarded to, can read the plan until then; to decide, an operator must
authenticate on the page.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from yarl import URL


def is_origin_of(origin: str, url: str) -> bool:
    """Whether a browser names the pages below this URL so: in lower case, without its scheme's
    port.
    """
    try:
        return origin == str(URL(url).origin())
    except ValueError:  # not a URL with a host
        return False


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and checks links below a public URL."""

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
        """Why a link is not valid, or None."""
        if not hmac.compare_digest(
            self._sign(remediation, digest, until).encode(), signature.encode()
        ):
            return "This link is not valid: it was changed, or made by another server."
        if not until.isdigit() or now >= datetime.fromtimestamp(int(until), UTC):
            return "This link has expired."
        return None

    def _sign(self, *parts: str) -> str:
        return hmac.new(self.key, "\n".join(parts).encode(), "sha256").hexdigest()
