"""Texts from outside: shown on one line, and without the secrets in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.text import UNSEEN, one_line, scrubbed, without_password


@given(st.text())
def test_what_is_shown_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = one_line(text)
    assert (len(shown), len(shown.splitlines()) <= 1) == (len(text), True)
    assert not UNSEEN.search(shown)
    assert shown.encode().decode() == shown


def test_a_byte_that_was_no_text_can_be_shown() -> None:
    assert one_line(b"Jos\xe9".decode("utf-8", "surrogateescape")) == "Jos\ufffd"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("password=hunter2 rest", "password=(redacted) rest"),
        ('{"api_key": "abc123", "n": 1}', '{"api_key": (redacted), "n": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer (redacted)"),
        ("dial postgres://app:hunter2@db:5432/a", "dial postgres://(redacted)@db:5432/a"),
        ("GET /x?y=1&sig=abc 200", "GET /x?y=1&sig=(redacted) 200"),
    ],
)
def test_a_text_is_kept_without_what_announces_itself_as_a_secret(line: str, kept: str) -> None:
    assert scrubbed(line) == kept


@pytest.mark.parametrize(
    "line",
    [
        "dial postgres://app:hunter2@db:5432/shop failed",
        "postgres://:hunter2@db/shop",
        "mongodb://app:a@hunter2@one,two/shop",
        "parse 'https://app:a/hunter2@host': invalid port",
        "cannot clone https://hunter2@git.example/x.git",
        "Authorization: Basic hunter2==",
        "authorization: Token hunter2",
        "Proxy-Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=hunter2",
        "headers: map[Authorization:[Bearer hunter2] Accept:[*/*]]",
        "{'Authorization': 'Custom hunter2', 'Accept': '*/*'}",
        "curl -H 'Authorization: Basic hunter2' http://a",
        "authorization Basic hunter2",
        "Set-Cookie: session=a; id=hunter2",
        "sent Bearer hunter2",
        "GET /x?access_token=hunter2&y=1",
        "GET /x?y=1&sig=hunter2",
        "GET https://bucket/x?X-Amz-Signature=hunter2&y=1",
        "GET /maps?key=hunter2",
        "AWS_SECRET_ACCESS_KEY=hunter2",
        "aws_access_key_id = hunter2",
        "clientSecretValue: hunter2",
        "passwords => hunter2",
        "password -> hunter2",
        'password: "two hunter2"',
        '{"password":"two hunter2"}',
        r"{\"password\": \"two hunter2\"}",
        "--password hunter2",
        "password 'two hunter2'",
        "pwd=hunter2",
    ],
)
def test_no_form_of_a_secret_is_kept(line: str) -> None:
    assert "hunter2" not in scrubbed(line)


@pytest.mark.parametrize(
    "line",
    [
        "GET http://web.shop:8080/health?of=a 200",
        "mail to ann@shop.example failed",
        "image registry.example/web@sha256:0123",
        "authorization failed for ann",
        "received signal 9, exit code 137",
        "key not found: shop",
    ],
)
def test_what_is_no_secret_is_kept(line: str) -> None:
    assert scrubbed(line) == line


@pytest.mark.parametrize("part", ["://a:", "password ", "password\n", 'token"', "authorization="])
def test_a_hostile_text_takes_no_time(part: str) -> None:
    assert len(scrubbed(part * (65536 // len(part)))) > 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://am:9093/p?token=abc#x", "http://am:9093/p"),
        ("http://am:9093/p?mail=a@b", "http://(not shown)"),
        ("http://admin:2024/secret@am", "http://(not shown)"),
        ("http://u:a?b@am", "http://(not shown)"),
        ("http://u:it's@am:9093/p", "http://am:9093/p"),
        ("http://u:a b@am", "http://am"),
        ("http://u:a@b@am", "http://am"),
        ("https://token@am", "https://am"),
        ("http://u:a/b@am", "http://(not shown)"),
        ("am:9093", "am:9093"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
