"""The page behind a signed link: it shows a plan, and asks for an operator's own credential to
decide.
"""

import html
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ..engine.doors import Doors
from ..errors import JournalError
from ..model.remediation import State
from .access import Access
from .answers import LONGEST_REASON
from .links import Links, is_origin_of
from .replies import BROKEN
from .throttle import Throttle

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    # with no-referrer a browser would hide the form's origin from us too
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
STYLE = """
body {
  font:16px/1.5 system-ui,sans-serif; max-width:46rem; margin:2rem auto; padding:0 1rem;
  color:#1b1f24; background:#fff;
}
h1 { font-size:1.35rem; margin:0 0 .25rem }
p.why { margin:.25rem 0 1rem; color:#57606a }
dl { display:grid; grid-template-columns:7rem 1fr; gap:.35rem .75rem; margin:1rem 0 }
dt { color:#57606a }
dd { margin:0; overflow-wrap:anywhere }
code,.call { font:14px/1.45 ui-monospace,monospace }
.call {
  display:block; background:#f6f8fa; border-radius:6px; padding:.4rem .6rem; margin:.2rem 0;
}
form { border:1px solid #d0d7de; border-radius:8px; padding:1rem; margin:1.25rem 0 }
label { display:block; margin:0 0 .75rem }
input {
  display:block; width:100%; box-sizing:border-box; font:inherit; padding:.45rem .6rem;
  border:1px solid #8c959f; border-radius:6px;
}
button {
  font:inherit; font-weight:600; padding:.5rem 1.1rem; border-radius:6px;
  border:1px solid #1a7f37; background:#1a7f37; color:#fff; margin-right:.5rem;
}
button.no { background:#fff; color:#a40e26; border-color:#a40e26 }
.note { border-left:4px solid #bf8700; padding:.4rem .8rem; background:#fff8e5 }
@media(prefers-color-scheme:dark) {
  body { background:#0d1117; color:#e6edf3 }
  dt,p.why { color:#9198a1 }
  .call { background:#161b22 }
  form { border-color:#30363d }
  input { background:#0d1117; color:inherit; border-color:#6e7681 }
  .note { background:#272115 }
  button.no { background:#0d1117; color:#ff8182; border-color:#ff8182 }
}
"""

VERBS = {"approve": "approved", "deny": "denied"}


class Approvals:
    """GET shows, POST decides.

    Wrong credentials are counted per address, decisions per operator.
    """

    def __init__(
        self, doors: Doors, access: Access, links: Links, wrong: Throttle, *, asking: Throttle
    ) -> None:
        self._doors, self._access, self._links, self._wrong, self._asking = (
            doors,
            access,
            links,
            wrong,
            asking,
        )

    async def show(self, request: web.Request) -> web.Response:
        """The plan. Nothing changes, whatever follows the link."""
        refused = self._refused(request)
        if refused:
            return _page(refused, "", 403)
        try:
            row = await self._doors.journal.show(request.match_info["id"])
        except JournalError as error:
            return _page("Not possible now", _note(str(error)), 503)
        return self._plan(request, row)

    async def decide(self, request: web.Request) -> web.Response:
        """Approves or denies as the operator of the credential in the form, or whom a trusted proxy
        names.
        """
        refused = self._refused(request) or self._cross_site(request)
        if refused:
            return _page(refused, "", 403)
        try:
            form = await _form_of(request)
        # an unknown charset or encoding, bytes that are no text, a broken multipart body
        except (ValueError, LookupError, RuntimeError, *BROKEN):
            return _page("The form is not valid. Nothing was decided.", "", 400)
        operator = self._access.operator_of(request, form.get("token", ""))
        limited = self._limited(request, operator)
        if limited:
            return _page(f"{limited}. Nothing was decided.", "", 429)
        try:
            return await self._decided(request, form, operator)
        except JournalError as error:
            return _page("Not possible now", _note(f"{error}. Nothing was decided."), 503)

    async def _decided(
        self, request: web.Request, form: Mapping[str, str], operator: str | None
    ) -> web.Response:
        """The decision and what it came to. Raises: JournalError."""
        ident = request.match_info["id"]
        row = await self._doors.journal.show(ident)
        if operator is None:
            note = "Unknown operator credentials. Nothing was decided."
            return self._plan(request, row, note, 401)
        verb = form.get("verdict", "")
        if verb not in VERBS:
            return self._plan(request, row, "Choose approve or deny. Nothing was decided.", 400)
        why = form.get("reason", "")[:LONGEST_REASON]
        digest, now = request.query.get("digest", ""), self._doors.clock.now()
        answer = await self._doors.journal.decide(
            ident, digest, operator, verb == "approve", now=now, why=why
        )
        self._doors.wake.set()
        if answer:
            return self._plan(request, row, f"Nothing was decided: {answer}", 409)
        return _page(f"{operator} {VERBS[verb]} {ident}", "<p>You can close this page.</p>")

    def _limited(self, request: web.Request, operator: str | None) -> str | None:
        """Which limit of attempts is used up: of wrong credentials, or of one operator."""
        now = self._doors.clock.now()
        if operator is None:
            admitted = self._wrong.allows(request.remote or "", now)
            return None if admitted else "Too many wrong credentials; wait a minute"
        admitted = self._asking.allows(operator, now)
        return None if admitted else f"Rate limit exceeded for {operator} (web.operator_rate)"

    def _refused(self, request: web.Request) -> str | None:
        query = request.query
        return self._links.refused(
            request.match_info["id"],
            query.get("digest", ""),
            query.get("until", ""),
            query.get("signature", ""),
            now=self._doors.clock.now(),
        )

    def _cross_site(self, request: web.Request) -> str | None:
        """Browsers say where a form was sent from; required behind a proxy that knows its users."""
        origin = request.headers.get("Origin")
        if origin is None:
            own = not self._access.proxied(request)
        else:
            own = is_origin_of(origin, self._links.url)
        return None if own else "This form was sent from another site."

    def _plan(
        self, request: web.Request, row: Mapping[str, Any] | None, note: str = "", status: int = 200
    ) -> web.Response:
        if row is None:
            return _page("This remediation no longer exists.", "", 404)
        look, waiting = row["look"], row["state"] == State.AWAITING_APPROVAL
        shown = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in _facts(row, look))
        body = [_note(note)] if note else []
        body.append(f'<p class="why">{html.escape(str(row.get("why") or ""))}</p><dl>{shown}</dl>')
        changed = look.get("digest") != request.query.get("digest")
        if waiting and changed:
            body.append(
                _note(
                    "The plan changed since this link was sent. A new link was sent to the same"
                    " receivers."
                )
            )
        elif waiting:
            body.append(_form(self._access.operator_of(request) is not None))
        else:
            body.append(_note(f"It is now {row['state']}; there is nothing to decide."))
        return _page(f"{row['rule']} on {row['target']}", "".join(body), status)


async def _form_of(request: web.Request) -> Mapping[str, str]:
    """The fields of the form. Raises: as `request.post`, and ValueError for what is no text."""
    form = {name: str(value).strip() for name, value in (await request.post()).items()}
    "".join(form.values()).encode()  # some charsets have halves of characters
    return form


def _facts(row: Mapping[str, Any], look: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is needed to decide, as HTML."""
    plan, calls = look.get("plan") or {}, look.get("calls") or []
    causes = [f"{cause['name']}: {cause['why']}" for cause in look.get("causes") or []]
    alerts = [_labels(episode["labels"]) for episode in row["episodes"][:5]]
    return [
        ("cluster", html.escape(str(row.get("cluster") or "-"))),
        ("plan", html.escape(str(plan.get("summary") or "none"))),
        ("causes", "<br>".join(map(html.escape, causes)) or "none found"),
        ("calls", "".join(f'<span class="call">{html.escape(str(c))}</span>' for c in calls)),
        ("alerts", "<br>".join(map(html.escape, alerts))),
        *_approved_first(row),
        ("digest", f"<code>{html.escape(str(look.get('digest') or ''))}</code>"),
        ("id", f"<code>{row['id']}</code>"),
    ]


def _approved_first(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The first of two who must approve."""
    digest, _, first = str(row.get("approved_first") or "").partition(" ")
    if not first or digest != row["look"].get("digest"):
        return []  # nobody, or for an earlier plan
    return [("approved by", f"{html.escape(first)}; a second operator must approve too")]


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _form(known: bool) -> str:
    """For someone known by a proxy, a certificate or loopback, or with a token."""
    token = (
        '<label>Your operator token<input type="password" name="token" autocomplete="off"'
        " required></label>"
    )
    return (
        f'<form method="post">{"" if known else token}<label>Reason (kept in the journal)<input'
        f' name="reason" maxlength="{LONGEST_REASON}"></label><button name="verdict"'
        ' value="approve">Approve</button><button class="no" name="verdict"'
        ' value="deny">Deny</button></form>'
    )


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def _page(title: str, body: str, status: int = 200) -> web.Response:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport"'
        ' content="width=device-width">'
        f"<title>{html.escape(title)} - remediator</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>"
    )
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)
