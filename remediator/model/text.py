"""Texts that come from outside, made fit to be shown: labels and messages may hold anything."""

import re

# control, what has no width, what turns the direction of writing, and bytes that were no text
UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)

# every repetition before a secret has a bound, since texts may be hostile
IN_URL = re.compile(
    r"""(://) (?: [^\s/:@"']{0,200} : [^\s"']{1,500} | [^\s/:@"']{1,500} ) @""", re.VERBOSE
)
IN_HEADER = re.compile(
    r"""(
      (?: authorization | cookies? ) \\? ["']?
      (?: \s{0,3} [:=] \s{0,3} | \s{1,3} (?= bearer | basic ) )
      \[? \\? ["']? (?: (?: bearer | basic ) \s{1,3} )?
    ) [^"'\\\r\n]+""",
    re.VERBOSE | re.IGNORECASE,
)
ANNOUNCED = re.compile(
    r"""(
      (?:
        (?: passw(?:or)?d | passphrase | pwd | secret | token | credential
          | (?: api | access | private ) [-_]? key ) \w{0,40}
        \\? ["']? \s{0,3} (?: => | -> | [^\w\s"'] | \s )
      | [?&] [\w-]{0,40} (?: sig | signature | key | code ) =
      | bearer \s
      ) \s{0,3}
    ) (?: \\? "[^"\r\n]*"? | \\? '[^'\r\n]*'? | \S+ )""",
    re.VERBOSE | re.IGNORECASE,
)


def one_line(text: object) -> str:
    """The text without characters that would move a terminal's
    cursor, begin a line, hide something, or that cannot be encoded.
    """
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(text))


def without_password(url: str) -> str:
    """The URL as it may be shown: without user and password, and without its query."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = re.split("[?#]", rest)[0].partition("/")
    if "@" in rest[len(host) :]:  # perhaps of a password with a slash or the like
        return f"{scheme}{separator}(not shown)"
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def scrubbed(text: str) -> str:
    """The text without passwords in URLs, credentials in headers, and what follows words that
    announce a secret.
    """
    text = IN_URL.sub(r"\1(redacted)@", text)
    text = IN_HEADER.sub(r"\1(redacted)", text)
    return ANNOUNCED.sub(r"\1(redacted)", text)
