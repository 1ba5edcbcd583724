"""The settings file: what is written binds, and each mistake is told with its place."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.errors import ConfigurationError
from remediator.guards.situation import PROTECTED, ProcessLimits
from remediator.model.limit import BreakerLimit, StormLimit
from remediator.model.usage import Rate
from remediator.settings import Settings, load

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
TOKEN = "s3cret-token-that-is-never-shown"
Loaded = Callable[[str], Settings]


@pytest.fixture
def written(tmp_path: Path) -> Loaded:
    """Loads settings; TOKEN_FILE and KEY_FILE stand for files with secrets."""
    (tmp_path / "token").write_text(f"  {TOKEN}\n")
    (tmp_path / "key").write_text("k" * 32)
    (tmp_path / "empty").write_text(" \n\t")

    def read(text: str) -> Settings:
        path = tmp_path / "settings.yaml"
        for name in ("token", "key", "empty"):
            text = text.replace(f"{name.upper()}_FILE", str(tmp_path / name))
        path.write_text(text)
        return load(path)

    return read


def test_nothing_written_is_the_defaults(written: Loaded) -> None:
    assert written("") == written("# nothing\n") == load(None) == Settings()


def test_defaults_are_those_of_the_reference() -> None:
    made = Settings()
    assert (made.web.listen, made.workers, made.watchdog) == ("127.0.0.1:9099", 4, "Watchdog")
    assert (made.settle, made.startup_grace) == (10 * timedelta(seconds=1), 2 * MINUTE)
    assert (made.journal_url, made.journal_keep) == ("sqlite:///remediator.db", 90 * 24 * HOUR)
    assert set(made.protected_namespaces) == {
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "monitoring",
    }
    assert (made.cluster.kind, made.cluster.qps) == ("kubernetes", 20.0)
    assert [receiver.name for receiver in made.receivers] == ["log"]
    assert made.web.operator_rate == Rate(600, MINUTE)
    assert made.process_limits == ProcessLimits(
        root=(Rate(8, 6 * HOUR),),
        action=(),
        namespace=(Rate(5, HOUR),),
        everything=(Rate(10, HOUR),),
        grace=2 * MINUTE,
        protected=PROTECTED,
        storm=StormLimit(5, 0.3, 10 * MINUTE),
        breaker=BreakerLimit(3, 5, 6 * HOUR),
    )


def test_each_limit_that_is_written_reaches_the_guards(written: Loaded) -> None:
    made = written(
        "limits: {root: 1/1h, action: [2/2h, 9/1d], namespace: 3/3h, all: 4/4h}\n"
        "startup_grace: 5m\nprotected_namespaces: [vault]\n"
        "storm: {roots: 6, share: 0.5, calm: 7m}\nbreaker: {bad: 1, of: 2, quiet: 3h}\n"
    ).process_limits
    assert made == ProcessLimits(
        root=(Rate(1, HOUR),),
        action=(Rate(2, 2 * HOUR), Rate(9, 24 * HOUR)),
        namespace=(Rate(3, 3 * HOUR),),
        everything=(Rate(4, 4 * HOUR),),
        grace=5 * MINUTE,
        protected=("vault",),
        storm=StormLimit(6, 0.5, 7 * MINUTE),
        breaker=BreakerLimit(1, 2, 3 * HOUR),
    )


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("workers: 0", "1:10", "it must be 1 or more"),
        ("workers:", "1:9", "write a whole number"),
        ("worker: 1", "1:1", "did you mean `workers`?"),
        ("\nweb:\n  listn: x", "3:3", "did you mean `listen`?"),
        ("limits: {everything: 1/1h}", "1:10", "unknown field `everything`"),
        ("limits:\n  all: 5", "2:8", "use a number per duration, such as 3/6h"),
        ("settle: 5", "1:9", "use a form such as 30s"),
        ("storm: {share: 30}", "1:16", "it must be 1.0 or less"),
        ("storm: {share: -0.1}", "1:16", "it must be 0.0 or more"),
        ("storm: {roots: -1}", "1:16", "it must be 0 or more"),
        ("breaker: {of: 0}", "1:15", "it must be 1 or more"),
        ("cluster: {qps: 0}", "1:16", "it must be more than 0"),
        ("cluster: {kind: k8s}", "1:17", "write one of 'kubernetes' or 'sandbox'"),
        ("prometheus: null", "1:13", "write text"),
        ("rules: rules/", "1:8", "write a list"),
        ("web: {listen: 9099}", "1:15", "write text; quote it"),
        ("web: {operator_rate: 600}", "1:22", "use a number per duration"),
        ("sources: {name: a}", "1:10", "write a list"),
        ("sources: [{name: ''}]", "1:18", "it must not be empty"),
        ("sources: [{alertmanager: 'http://a'}]", "1:11", "`name` is required"),
        ("receivers: [{name: a, kind: slak}]", "1:29", "did you mean `slack`?"),
        ("receivers:\n  - name: a\n    kind: slack", "2:5", "needs token_file and channel"),
        ("receivers: [{name: a, tells: all}]", "1:30", "write one of 'trouble' or 'everything'"),
        ("web: {link_key_file: 5}", "1:22", "set the file that holds the secret"),
        ("operators:\n  - {name: a, token_file: EMPTY_FILE}", "2:27", "is empty"),
        ("operators: [{name: a, token_file: /no/such}]", "1:35", "cannot read /no/such: No such"),
        ("operators: [{name: a, token: abc}]", "1:23", "did you mean `token_file`?"),
        ("watchdog: on", "1:11", "YAML 1.1 reads `on` as a truth value"),
        ("workers: 1\nworkers: 2", "2:1", "duplicate key `workers`; first set in line 1"),
        ("- workers", "1:1", "write keys and values"),
    ],
)
def test_a_mistake_is_told_where_it_stands(
    text: str, place: str, words: str, *, written: Loaded
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        written(text)
    head, *told = str(refused.value).splitlines()
    assert head == "cannot start with these settings:"
    assert [line.split("  ")[0].split(".yaml:")[1] for line in told if ".yaml:" in line] == [place]
    assert words in str(refused.value)


def test_several_mistakes_are_told_at_once(written: Loaded) -> None:
    with pytest.raises(ConfigurationError) as refused:
        written("workers: 0\nsettel: 5s\nweb: {listen: 1, max_body_bytes: big}\nstorm: 5\n")
    assert str(refused.value).count("settings.yaml:") == 5


def test_a_trap_of_yaml_hides_no_other_mistake(written: Loaded) -> None:
    with pytest.raises(ConfigurationError) as refused:
        written("workers: 0\nwatchdog: on\nsettle: yes\nquiet_for: !!int x\n")
    assert "it must be 1 or more" in str(refused.value)
    assert str(refused.value).count("settings.yaml:") == 4


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigurationError, match=f"cannot read the settings {path}: "):
            load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("operators: [{name: a}]", "`a` under `operators` needs a token_file"),
        ("operators: [{name: a, username: u}]", "`a` under `operators` needs a token_file"),
        ("sources: [{name: a}, {name: b, token_file: TOKEN_FILE}]", "`a` under `sources` needs"),
        ("sources: [{name: a, cluster: eu}, {name: b, cluster: us}]", "2 clusters (eu, us)"),
        ("operators: [{name: a, certificate: cn}]", "also set web.client_ca, web.tls_cert"),
        (
            "operators: [{name: a, certificate: cn}]\nweb: {client_ca: ca.pem}",
            "also set web.client_ca, web.tls_cert",
        ),
        ("web: {link_key_file: KEY_FILE}", "needs web.public_url"),
        ("web: {link_key_file: KEY_FILE, public_url: u}", "otherwise nobody can decide"),
        (
            "web: {link_key_file: TOKEN_FILE, public_url: u}\n"
            "operators: [{name: a, token_file: TOKEN_FILE}]",
            "",
        ),
        (
            "receivers: [{name: a, kind: pagerduty, token_file: TOKEN_FILE, tells: everything}]",
            "use",
        ),
    ],
)
def test_settings_that_cannot_work_together_are_refused(
    text: str, words: str, *, written: Loaded
) -> None:
    if not words:
        assert written(text).web.link_key_file
        return
    with pytest.raises(ConfigurationError) as refused:
        written(text)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "sources: [{name: a}]",
        "sources: [{name: a, token_file: TOKEN_FILE}, {name: b, password_file: TOKEN_FILE}]",
        "sources: [{name: a, cluster: eu, token_file: TOKEN_FILE},"
        " {name: b, cluster: eu, token_file: KEY_FILE}]",
        "operators: [{name: a, certificate: cn}]\n"
        "web: {client_ca: ca.pem, tls_cert: c.pem, tls_key: k.pem}",
        "web: {link_key_file: KEY_FILE, public_url: u}\n"
        "operators: [{name: a, token_file: TOKEN_FILE}]",
        "web: {link_key_file: KEY_FILE, public_url: u, trusted_proxy_header: X-User}",
        "storm: {roots: 0, share: 0}",
        "storm: {share: 1}",
        "breaker: {bad: 0}",
        "watchdog: ''",
        "quiet_for: 0s",
        "limits: {all: 0/1h, action: []}",
    ],
)
def test_settings_at_the_edge_of_what_works_are_taken(text: str, written: Loaded) -> None:
    assert written(text)


@pytest.mark.parametrize(("length", "fine"), [(31, False), (32, True), (64, True)])
def test_a_key_of_links_has_32_characters_at_least(
    length: int, fine: bool, *, tmp_path: Path
) -> None:
    (tmp_path / "k").write_text("k" * length + "\n")
    (tmp_path / "s.yaml").write_text(
        f"web: {{link_key_file: {tmp_path / 'k'}, public_url: u, trusted_proxy_header: X}}"
    )
    if fine:
        assert load(tmp_path / "s.yaml").web.link_key_file
    else:
        with pytest.raises(ConfigurationError, match="shorter than 32 characters"):
            load(tmp_path / "s.yaml")


def test_a_secret_is_read_without_its_line_break_and_never_shown(written: Loaded) -> None:
    made = written(
        "operators: [{name: a, token_file: TOKEN_FILE}]\njournal_file: TOKEN_FILE\n"
        "receivers: [{name: hook, kind: webhook, url_file: TOKEN_FILE}]\n"
    )
    assert made.operators[0].token_file is not None
    assert made.operators[0].token_file.get_secret_value() == TOKEN
    assert made.journal_url == TOKEN
    assert [s.get_secret_value() for s in made.receivers[0].secrets().values()] == [TOKEN]
    for shown in (repr(made), str(made), made.model_dump_json(), str(made.model_dump())):
        assert TOKEN not in shown


def test_the_file_with_the_journal_s_url_wins_over_the_url(written: Loaded) -> None:
    assert written("journal: sqlite:///a.db").journal_url == "sqlite:///a.db"
    assert written("journal: sqlite:///a.db\njournal_file: TOKEN_FILE").journal_url == TOKEN


@pytest.mark.parametrize("size", [0, -1])
def test_a_body_has_a_limit(size: int, written: Loaded) -> None:
    with pytest.raises(ConfigurationError):
        written(f"web: {{max_body_bytes: {size}}}")


@pytest.mark.parametrize("waiting", [0, -1])
def test_what_waits_has_a_limit(waiting: int, written: Loaded) -> None:
    with pytest.raises(ConfigurationError):
        written(f"web: {{max_waiting: {waiting}}}")


def test_a_breaker_that_can_never_open_is_refused(written: Loaded) -> None:
    with pytest.raises(ConfigurationError):
        written("breaker: {bad: 6, of: 5}")
    assert written("breaker: {bad: 5, of: 5}").breaker.bad == 5


@pytest.mark.parametrize(
    "text",
    [
        "receivers: [{name: a}, {name: a, kind: webhook, url: 'http://x'}]",
        "sources: [{name: a, token_file: TOKEN_FILE}, {name: a, token_file: KEY_FILE}]",
    ],
)
def test_a_name_stands_for_one(text: str, written: Loaded) -> None:
    with pytest.raises(ConfigurationError, match="more than one is called a; rename the others"):
        written(text)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1", "9099:", "", ":", "h:x", "h:65536", "h:-1", "a..b:1"]
)
def test_an_address_to_listen_on_that_is_none_is_told(listen: str, written: Loaded) -> None:
    with pytest.raises(ConfigurationError, match=r"1:15[\s\S]*use host:port"):
        written(f"web: {{listen: '{listen}'}}")


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "0.0.0.0:65535", "[::1]:9099", "::1:1", "web.a:80"]
)
def test_an_address_to_listen_on_is_taken_as_it_is_written(listen: str, written: Loaded) -> None:
    assert written(f"web: {{listen: '{listen}'}}").web.listen == listen


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 10**6),
    st.integers(1, 10**7),
    st.integers(0, 100),
    st.text(st.characters(categories=["L", "N"]), min_size=1),
)
def test_settings_that_are_written_out_read_the_same(
    workers: int, seconds: int, roots: int, name: str
) -> None:
    made = Settings.model_validate(
        {
            "workers": workers,
            "settle": f"{seconds}s",
            "storm": {"roots": roots},
            "sources": [{"name": name, "alertmanager": f"http://{name}"}],
            "limits": {"root": [f"{roots}/{seconds}s"]},
        }
    )
    assert Settings.model_validate_json(made.model_dump_json()) == made


def test_names_given_twice_are_told_beside_other_mistakes(written: Loaded) -> None:
    with pytest.raises(ConfigurationError) as error:
        written("workers: 0\nreceivers: [{name: a}, {name: a}]\nweb: {nmae: 1, watchdog: 2}")
    told = str(error.value)
    assert [told.count(f"yaml:{line}:") for line in (1, 2, 3)] == [1, 1, 2]
    assert "did you mean `watchdog`" not in told
