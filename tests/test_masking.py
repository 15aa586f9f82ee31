"""No login leaves in a mail, an error or the source of a run, however an address is made."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.alerts.test_rendering import FULL
from tests.commands import run_command
from upath import UPath

import model_loop
from model_loop.alerts.outbox import Outbox
from model_loop.alerts.rendering import render
from model_loop.alerts.types import Envelope
from model_loop.errors import InvalidInputError
from model_loop.masking import mask_logins
from model_loop.settings import Settings
from model_loop.sources.allowed import require_allowed_source

PACKAGE = Path(model_loop.__file__).parent
SECRET = "s3cr3t"  # noqa: S105 - what must not be seen
#: What passwords hold that has a meaning in addresses.
AWKWARD = st.text(alphabet="aZ9/@:!$~+-_.=", max_size=6)
NAMES = st.sampled_from(["", "ann", "ann%40example.com", "a.b-c"])
HOSTS = st.sampled_from(["host", "months.example.com:8443", "[::1]:5432", "10.0.0.1"])
PARAMETERS = st.sampled_from(
    [
        "token",
        "access_token",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Goog-Credential",
        "AWSAccessKeyId",
        "sig",
        "api_key",
        "password",
    ]
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Give an address that carries a login somewhere."""
    scheme = draw(st.sampled_from(["https", "http", "s3", "postgresql+psycopg", "redis", "smtp"]))
    before, after = draw(AWKWARD), draw(AWKWARD)
    kind = draw(st.sampled_from(["password", "token", "parameter"]))
    host, path = draw(HOSTS), draw(st.sampled_from(["", "/x", "/x/y.parquet"]))
    if kind == "password":
        return f"{scheme}://{draw(NAMES)}:{before}{SECRET}{after}@{host}{path}"
    if kind == "token":
        return f"{scheme}://{SECRET}{quote(after, safe='')}@{host}{path}"
    first = draw(st.sampled_from(["?", "?x=1&"]))
    return f"{scheme}://{host}{path}{first}{draw(PARAMETERS)}={before}{SECRET}&y=2"


@settings(deadline=None)
@given(addresses())
@example(f"https://ann:p/{SECRET}@x@host/x")
@example(f"https://{SECRET}@host/x")
def test_generated_addresses_are_masked(address: str) -> None:
    """In any text, twice as well as once, and in all parts of an error."""
    for text in (address, f"GET {address} answered 403", f'"{address}"', f"({address})"):
        masked = mask_logins(text)
        assert SECRET not in masked
        assert mask_logins(masked) == masked
    error = InvalidInputError(address, f"is not {address}", f"Take no {address}.")
    shown = [str(error), repr(error), error.given, error.rule, error.remedy, *error.args]
    assert not any(SECRET in text for text in shown)


#: Spellings of other programs, each with the word that must not be seen.
SPELLINGS = [
    text.replace("{}", SECRET)
    for text in (
        "password = {}", "password='a b {}'", 'password="{}"', "(token={})", "[token={}]",
        '"password={}"', "'password={}'", "passphrase={}", "aws_secret_access_key = {}",
        '{"password": "{}"}', '{"password":"{}","x":1}', "{'password': '{}'}", "{'token': '{}'}",
        '{"access_token": "a \\" {}"}', "&#34;password&#34;: &#34;{}&#34;",
        "Authorization: token {}", "Authorization: Basic {}AAAA==", "authorization: {}",
        "X-Api-Key: {}", "Cookie: a=b; session={}", "Set-Cookie: session={}", "Bearer {}AAAA",
        "Basic *{}AAAA", "?token=*{}", "https://h/x#access_token={}", "https://h/x?token%3D{}",
        "https://h/x?a=1&amp;token={}", "https%3A%2F%2Fann%3A{}%40host%2Fx",
        "https://ann%3A{}%40host/x", "https:\\/\\/ann:{}@host\\/x", "//ann:{}@host/x",
        "https://ann:pa ss{}@host/x", 'https://ann:pa"{}@host/x', "https://ann:a<{}@host/x",
        "smtp://ann@example.com:{}@host", "https://[::1]:80@{}@host", "redis://:{}@host",
        "jdbc:oracle:thin:ann/{}@host:1521/x", "jdbc:sqlserver://host;user=sa;password={};x",
        "ann:{}@host:5432/db", "--password {}", "curl -u ann:{} https://x", "PGPASSWORD={} psql",
        "https://hooks.slack.com/services/T0/B0/{}", "https://api.telegram.org/bot1:{}/x",
        "AccountKey={}==;EndpointSuffix=x", "td_{}AAAAAAAAAAAAAAAA",
    )
]  # fmt: skip


@pytest.mark.parametrize("text", SPELLINGS)
def test_spellings_of_other_programs_are_masked(text: str) -> None:
    """Alone and within a sentence, twice as well as once."""
    for shown in (text, f"GET {text} answered 403", f"1\n{text}\n2"):
        masked = mask_logins(shown)
        assert SECRET not in masked
        assert mask_logins(masked) == masked


@pytest.mark.parametrize(
    "piece", ["://a:", "://", "//a:", "token", "token=", '"token":', "%3A%2F%2F", "-u a:", "a:b@"]
)
@pytest.mark.timeout(60)
def test_a_text_that_repeats_the_beginning_of_a_login_holds_up_nobody(piece: str) -> None:
    """Errors quote what a request holds; patterns that look ahead without bound took minutes."""
    mask_logins((piece * 200_000)[:200_000])
    error = InvalidInputError(piece * 1_000_000, "is long", "Ask for less.")
    assert len(str(error)) < 5_000


@settings(deadline=None)
@given(addresses())
def test_a_mail_names_no_login(address: str) -> None:
    """Neither subject nor page nor text, wherever the alert has it."""
    alert = dataclasses.replace(
        FULL,
        subject=address,
        error=f"OSError: {address}",
        log=(f"12:00:01 ERROR {address}",),
        facts=(("Source", address),),
        notes=(address,),
    )
    message = render([Envelope(alert, dt.datetime.now(tz=dt.UTC))])
    assert not any(SECRET in part for part in (message.subject, message.html, message.text))


@settings(deadline=None, max_examples=20)
@given(addresses())
def test_an_alert_that_waits_on_disk_names_no_login(address: str) -> None:
    """A folder of alerts is read by backups and by others who see the store."""
    alert = dataclasses.replace(
        FULL, subject=address, error=address, log=(address,), facts=(("Source", address),)
    )
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(UPath(folder))
        assert outbox.put(alert)
        written = [path.read_text() for path in Path(folder).rglob("*.json")]
        assert written
        assert not any(SECRET in text for text in written)
        # It is found again, and not told a second time.
        assert not outbox.put(alert)
        (waiting,) = outbox.waiting()
        outbox.delivered(waiting, "mail", {"mail"})
        assert outbox.waiting() == []


@pytest.mark.parametrize(
    "text",
    [
        "https://months.example.com/trips/green_tripdata_2024-01.parquet",
        "s3://months/trips@2024/x",
        "http://127.0.0.1:8080/dags/promotion/runs/rest__1?try_number=2&map_index=-1",
        "Ask ann@example.com, or see https://example.com/a:b",
        "models:/trip_duration_green@champion",
        "token = 3",
        "A token that is unknown, or a key: none was given.",
        '{"key": "return_value", "author": "Ann", "code": "another_unit"}',
        "http://HOST:PORT/predict, http://[::1]:8080/x and mailto:ann@example.com",
        "Password: it is in passwords.json",
    ],
)
def test_what_is_no_login_stays(text: str) -> None:
    """Links of mails, addresses of people and of models can be read."""
    assert mask_logins(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        # Two of them: what stands between is kept, and neither shows.
        ("a https://x:{}@h/1 b https://y:{}@h/2 c", "a https://***@h/1 b https://***@h/2 c"),
        # An address within a password is a part of it.
        ("https://ann:p://bob:{}@host/x", "https://***@host/x"),
        # A quote ends the address where it can, so that what follows is not masked.
        ('"https://ann:{}@host/x","to":"b@c.d"', '"https://***@host/x","to":"b@c.d"'),
        # A quote that the password holds ends nothing, and an @ in it neither.
        ('https://ann:pa"x@{}@host/x', "https://***@host/x"),
        # It begins like a port, and is longer than what is looked at for one that holds blanks.
        ("https://ann:80/{}@host/x", "https://***@host/x"),
        ("https://ann:" + 300 * "p" + "{}@host/x", "https://***@host/x"),
        # A name that is an address of mail, all of it in escapes.
        ("https://ann%40x%3A{}%40host/x", "https://***%40host/x"),
    ],
)
def test_exactly_the_login_is_masked(text: str, masked: str) -> None:
    """No character of it is left, and the host and what stands around can be read."""
    assert mask_logins(text.replace("{}", SECRET)) == masked


@pytest.mark.parametrize("text", ["http://HOST:PORT/predict", "https://@host/x"])
def test_an_address_without_a_login_stays(text: str) -> None:
    """At the end of a text, where nothing follows that could be one."""
    assert mask_logins(text) == text


@settings(deadline=None)
@given(addresses())
def test_no_source_carries_a_login(address: str) -> None:
    """A source stands in lineages, tags, XComs and forms: none may hold a login, listed or not."""
    with pytest.raises(InvalidInputError, match="carries a login") as refused:
        require_allowed_source(address, [address, "*"])
    assert SECRET not in str(refused.value)
    with pytest.raises(ValueError, match="carries a login"):
        Settings(source=address)


def test_the_command_refuses_it_and_prints_none(tmp_path: Path) -> None:
    """As an option and as a setting; the remedy is named."""
    address = f"https://ann:{SECRET}@host.invalid/x"
    for options, variables in (
        (["--source", address], {}),
        ([], {"MODEL_LOOP_SOURCE": address}),
    ):
        environment = {**os.environ, "MODEL_LOOP_STATE": str(tmp_path), **variables}
        done = run_command("prepare", *options, folder=tmp_path, environment=environment)
        assert done.returncode == 2
        assert "carries a login" in done.stderr
        assert "~/.netrc" in done.stderr
        assert SECRET not in done.stdout + done.stderr


def test_an_error_can_be_written_down() -> None:
    """A name that is no text, as of a file or in a result, is told in escapes."""
    told = str(InvalidInputError("The file a\udcffb\ud800", "is odd", "Rename it."))
    assert told.encode("utf-8") == rb"The file a\udcffb\ud800 is odd. Rename it."


def test_no_text_of_an_error_is_taken_for_a_login() -> None:
    """Errors mask all that they are given, and their own remedies have to be left whole."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Error"):
                found += [text for one in call.args if (text := _text(one))]
    assert len(found) > 500
    assert {text: mask_logins(text) for text in found if mask_logins(text) != text} == {}


def _text(argument: ast.expr) -> str:
    """Return a text of the code, with a word in the place of each value."""
    if isinstance(argument, ast.JoinedStr):
        return "".join(map(_text, argument.values))
    if isinstance(argument, ast.FormattedValue):
        return "value"
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    return ""
