"""Who a request comes from: by a token, a password, a certificate or a proxy's word, and by nothing
that only looks like one of them.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import SecretStr, ValidationError

from remediator.setting_sections import Credential, Source, Web
from remediator.settings import Settings
from remediator.web.access import Access, certificate_names, refuses_to_listen

ADA = "ada-secret"
BOB = "pässwort:mit:doppelpunkten"
PROXY = "10.1.2.3"
BEHIND = Web(
    trusted_proxy_header="X-User", trusted_proxies=(PROXY, "fd00::7", "10.9.0.0/16", "fd01::/64")
)


@dataclass
class Connection:
    """A connection whose other end showed this certificate."""

    certificate: Any

    def get_extra_info(self, name: str) -> Any:
        return self.certificate if name == "peercert" else None


def certificate(common: str = "", *names: tuple[str, str]) -> dict[str, Any]:
    """As the standard library describes a certificate that it verified."""
    subject = ((("countryName", "DE"),), (("commonName", common),)) if common else ()
    return {"subject": subject, "subjectAltName": names}


def request(
    authorization: str | None = None,
    *,
    remote: str = "192.0.2.1",
    shown: Any = None,
    **headers: str,
) -> Any:
    """A request with these headers, from this address."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if authorization is not None:
        given["Authorization"] = authorization
    return SimpleNamespace(
        headers=CIMultiDict(given), remote=remote or None, transport=Connection(shown)
    )


def basic(text: str, encoding: str = "utf-8") -> str:
    return f"Basic {base64.b64encode(text.encode(encoding)).decode()}"


def token(name: str, secret: str) -> Credential:
    return Credential.model_construct(
        name=name, token_file=SecretStr(secret), password_file=None, username="", certificate=""
    )


def password(name: str, secret: str, username: str = "") -> Credential:
    return Credential.model_construct(
        name=name,
        token_file=None,
        password_file=SecretStr(secret),
        username=username,
        certificate="",
    )


def certified(name: str, expected: str) -> Credential:
    return Credential.model_construct(
        name=name, token_file=None, password_file=None, username="", certificate=expected
    )


def access(*operators: Credential, web: Web | None = None, sources: Any = ()) -> Access:
    return Access(
        Settings.model_construct(web=web or Web(), operators=operators, sources=tuple(sources))
    )


KNOWN = access(
    token("ada", ADA),
    password("bob", BOB),
    password("eve", "e", "eve@example.com"),
    token("é", "ß"),
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(f"Bearer {ADA}", "ada", id="a bearer token"),
        pytest.param(f"bearer {ADA}", "ada", id="the scheme's case does not matter"),
        pytest.param(f"Bearer  {ADA} ", "ada", id="space around a token"),
        pytest.param("Bearer ß", "é", id="a token that is not ASCII"),
        pytest.param(basic(f"bob:{BOB}"), "bob", id="a password with colons and umlauts"),
        pytest.param(basic("eve@example.com:e"), "eve", id="a user name other than the name"),
        pytest.param(f"Bearer {ADA.upper()}", None, id="a token in another case"),
        pytest.param(f"Bearer {ADA[:-1]}", None, id="the beginning of a token"),
        pytest.param(f"Bearer {ADA}x", None, id="more than a token"),
        pytest.param("Bearer ", None, id="no token"),
        pytest.param("Bearer", None, id="the scheme alone"),
        pytest.param("", None, id="an empty header"),
        pytest.param(None, None, id="no header"),
        pytest.param(ADA, None, id="a token without its scheme"),
        pytest.param(f"Token {ADA}", None, id="another scheme"),
        pytest.param(f"Bearer {BOB}", None, id="a password as a token"),
        pytest.param(basic(f"ada:{ADA}"), None, id="a token as a password"),
        pytest.param(basic(f"BOB:{BOB}"), None, id="a user name in another case"),
        pytest.param(basic("eve:e"), None, id="the name where the user name is another"),
        pytest.param(basic("bob"), None, id="no colon"),
        pytest.param(basic("bob:"), None, id="no password"),
        pytest.param(basic(f":{BOB}"), None, id="no user"),
        pytest.param(basic(f"bob:{BOB}", "latin-1"), None, id="bytes of another encoding"),
        pytest.param("Basic Ym9i!Og==", None, id="not base64"),
        pytest.param("Basic", None, id="basic alone"),
        pytest.param("Bearer \udcff\udcfe", None, id="bytes that are not text"),
    ],
)
def test_an_operator_is_known_by_exactly_what_the_settings_say(
    header: str | None, expected: str | None
) -> None:
    assert KNOWN.operator(request(header)) == expected


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"])))
def test_only_the_token_itself_is_the_token(typed: str) -> None:
    assert KNOWN.operator_of(request(), typed or "x") == (
        "ada" if typed == ADA else "é" if typed == "ß" else None
    )


@given(st.text(min_size=1), st.text())
def test_a_password_is_whatever_follows_the_first_colon(secret: str, other: str) -> None:
    known = access(password("u", secret))
    assert known.operator(request(basic(f"u:{secret}"))) == "u"
    assert (known.operator(request(basic(f"u:{other}"))) == "u") is (other == secret)


def test_of_two_with_one_secret_the_first_is_meant() -> None:
    two = access(token("first", "s"), token("second", "s"))
    assert two.operator(request("Bearer s")) == "first"
    assert two.operator_of(request(), "s") == "first"


def test_a_token_that_was_typed_is_preferred_to_the_request_s_own() -> None:
    assert KNOWN.operator_of(request(f"Bearer {ADA}"), "wrong") is None


def test_a_password_is_not_taken_where_a_token_is_typed() -> None:
    assert KNOWN.operator_of(request(), BOB) is None


CERTIFIED = access(certified("ada", "ada.example"), token("bob", "b"))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param(certificate("ada.example"), "ada", id="common name"),
        pytest.param(certificate("x", ("DNS", "ada.example")), "ada", id="one of its DNS names"),
        pytest.param(certificate("", ("DNS", "ada.example")), "ada", id="no common name at all"),
        pytest.param(certificate("x", ("email", "ada.example")), None, id="a mail address"),
        pytest.param(certificate("x", ("URI", "ada.example")), None, id="a URI"),
        pytest.param(certificate("x.ada.example"), None, id="a name below it"),
        pytest.param(certificate("x", ("DNS", "*.example")), None, id="a wildcard"),
        pytest.param(certificate(""), None, id="a certificate without names"),
        pytest.param({}, None, id="a certificate that was not verified"),
        pytest.param(None, None, id="no certificate"),
    ],
)
def test_a_certificate_speaks_for_the_names_in_it(shown: Any, expected: str | None) -> None:
    assert CERTIFIED.operator(request(shown=shown)) == expected


def test_a_name_that_is_empty_in_a_certificate_is_not_that_of_who_has_none() -> None:
    nameless = certificate("x", ("DNS", ""))
    assert CERTIFIED.operator(request(shown=nameless)) is None


def test_a_certificate_counts_beside_a_token_of_someone_else() -> None:
    assert CERTIFIED.operator(request("Bearer b", shown=certificate("ada.example"))) == "ada"


def test_a_request_whose_connection_is_gone_has_no_certificate() -> None:
    gone: Any = SimpleNamespace(transport=None)
    assert certificate_names(gone) == set()


@pytest.mark.parametrize(
    ("remote", "named", "expected"),
    [
        pytest.param(PROXY, "ann", "ann", id="from the proxy"),
        pytest.param("fd00::7", "ann", "ann", id="from the other one"),
        pytest.param("fd00:0:0::7", "ann", "ann", id="written in another way"),
        pytest.param("10.9.255.1", "ann", "ann", id="from a trusted network"),
        pytest.param("fd01::1", "ann", "ann", id="from the other network"),
        pytest.param("10.10.0.1", "ann", None, id="from the next network"),
        pytest.param("10.1.2.30", "ann", None, id="from an address that begins like it"),
        pytest.param("", "ann", None, id="from no address"),
        pytest.param(PROXY, "", None, id="the proxy names nobody"),
        pytest.param(PROXY, "é" * 81, None, id="a name that is too long could be another's"),
        pytest.param(PROXY, "Jos\udce9", None, id="a name in another encoding"),
    ],
)
def test_only_a_trusted_proxy_names_an_operator(
    remote: str, named: str, expected: str | None
) -> None:
    behind = access(token("ada", ADA), web=BEHIND)
    assert behind.operator(request(remote=remote, X_User=named)) == expected


@pytest.mark.parametrize("proxy", ["ingress", "10.1.2.3/8", "10.1.2.0/33", "", 10, True])
def test_a_proxy_that_no_address_could_be_is_refused(proxy: object) -> None:
    with pytest.raises(ValidationError, match="write an address, or a network"):
        Web.model_validate({"trusted_proxies": [proxy]})


def test_the_proxy_s_word_is_preferred_to_a_token() -> None:
    behind = access(token("ada", ADA), web=BEHIND)
    asked = request(f"Bearer {ADA}", remote=PROXY, X_User="ann")
    assert (behind.operator(asked), behind.operator_of(asked, ADA)) == ("ann", "ann")


def test_whom_the_proxy_does_not_name_may_still_have_a_token() -> None:
    behind = access(token("ada", ADA), web=BEHIND)
    assert behind.operator(request(f"Bearer {ADA}", remote=PROXY)) == "ada"


def test_a_header_means_nothing_where_no_header_is_trusted() -> None:
    web = Web(trusted_proxies=(PROXY,))
    assert access(token("ada", ADA), web=web).operator(request(remote=PROXY, X_User="ann")) is None


def test_without_operators_everyone_on_loopback_is_local_and_behind_a_proxy_nobody_is() -> None:
    assert access().operator(request()) == "local"
    assert access().operator_of(request(), "anything") == "local"
    assert access(web=BEHIND).operator(request()) is None
    assert access(web=BEHIND).operator_of(request(), "anything") is None


def test_a_single_source_without_a_secret_is_known_by_its_name_and_none_by_local() -> None:
    assert access(sources=[Source(name="am")]).source(request("Bearer x")) == "am"
    assert access().source(request("Bearer x")) == "local"


def test_a_source_with_a_secret_needs_it_though_it_is_the_only_one() -> None:
    for only in (token("am", "s"), password("am", "s"), certified("am", "am.example")):
        assert access(sources=[only]).source(request()) is None


def test_a_proxy_names_no_source() -> None:
    behind = access(sources=[token("am", "s")], web=BEHIND)
    assert behind.source(request(remote=PROXY, X_User="am")) is None


@pytest.mark.parametrize(
    ("listen", "refused"),
    [
        ("127.0.0.1:9099", False),
        ("localhost:9099", False),
        ("[::1]:9099", False),
        ("0.0.0.0:9099", True),
        ("[::]:9099", True),
        ("10.0.0.1:9099", True),
        ("127.0.0.1.example.com:9099", True),
        ("localhost.example.com:9099", True),
    ],
)
def test_without_credentials_only_loopback_is_listened_on(listen: str, refused: bool) -> None:
    why = refuses_to_listen(Settings(web=Web(listen=listen)))
    assert (why is not None) is refused
    assert why is None or listen in why


def test_beyond_loopback_sources_and_operators_need_a_secret_each() -> None:
    web = Web(listen="0.0.0.0:9099")
    one, mute = token("a", "s"), Source(name="mute")
    complete: dict[str, Any] = {"web": web, "sources": (one,), "operators": (one,)}
    assert refuses_to_listen(Settings.model_construct(**complete)) is None
    for lacking in ({"sources": ()}, {"operators": ()}, {"sources": (one, mute)}):
        given = complete | lacking
        assert f"`{next(iter(lacking))}` needs" in str(
            refuses_to_listen(Settings.model_construct(**given))
        )


@pytest.mark.parametrize("text", ["", " \n", "\t"])
def test_a_file_without_a_secret_in_it_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "empty").write_text(text)
    with pytest.raises(ValidationError, match="is empty"):
        Credential.model_validate({"name": "a", "token_file": str(tmp_path / "empty")})
