"""How alerts read."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
from html.parser import HTMLParser

import pytest
from tests.alerts.conftest import failure

from model_loop.alerts.mail import addresses, as_mail
from model_loop.alerts.rendering import IN_FULL, render
from model_loop.alerts.types import ALERT_KINDS, AlertKind, AlertTable, Envelope, Link

HOSTILE = "<script>alert('x')</script>\r\nBcc: everybody@example.com"

FULL = failure(
    error="ValueError: month 2024-13",
    facts=(("Run", "manual__1"),),
    table=AlertTable(("Family", "RMSE"), (("Lasso", "4.567"),)),
    log=("12:00:01 ERROR   Task failed",),
    log_note="Cut.",
    advice=("Give another month.",),
    links=(Link("The task's log", "http://airflow/log"), Link("MLflow", "http://mlflow/run")),
    notes=("A note.",),
)


class Words(HTMLParser):
    """The text and the addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note down a tag."""
        self.tags.add(tag)
        self.addresses |= {value for name, value in attrs if name == "href" and value}

    def handle_data(self, data: str) -> None:
        """Note down text."""
        self.text += data


def read(html: str) -> Words:
    """What a page shows."""
    words = Words()
    words.feed(html)
    return words


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_both_parts_say_everything(kind: AlertKind) -> None:
    """HTML and plain text tell the same: error, advice, figures, facts, log and links."""
    message = render([Envelope(failure(**{**FULL.__dict__, "kind": kind}))])
    page = read(message.html)
    for said in ("2024-13", "Give another month.", "manual__1", "4.567", "Task failed", "A note."):
        assert said in message.text
        assert said in page.text
    for link in FULL.links:
        assert link.url in message.text
        assert link.url in page.addresses


def test_hostile_text_stays_text() -> None:
    """Whatever an error, a form or a log says is shown, and neither run nor taken for a header."""
    alert = failure(
        subject=HOSTILE,
        headline=HOSTILE,
        summary=HOSTILE,
        error=HOSTILE,
        log_note=HOSTILE,
        facts=((HOSTILE, HOSTILE),),
        table=AlertTable((HOSTILE,), ((HOSTILE,),)),
        log=(HOSTILE,),
        advice=(HOSTILE,),
        notes=(HOSTILE,),
    )
    message = render([Envelope(alert), Envelope(failure(2, subject=HOSTILE))])
    assert "script" not in read(message.html).tags
    mail = as_mail(render([Envelope(alert)]), to=["a@example.com"], sender="b@example.com")
    parsed = email.message_from_bytes(bytes(mail), policy=email.policy.default)
    assert parsed["bcc"] is None
    assert parsed["subject"].startswith("[model loop] <script>")


def test_a_mail_has_two_parts_and_a_lasting_identity() -> None:
    """Programs that show no HTML show the text; a mail that comes twice is the same mail."""
    mails = [
        as_mail(render([Envelope(FULL)]), to=addresses("a@x.org; b@x.org,"), sender="c@x.org")
        for _ in range(2)
    ]
    parsed = email.message_from_bytes(bytes(mails[0]), policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    assert parsed["to"] == "a@x.org, b@x.org"
    assert mails[0]["message-id"] == mails[1]["message-id"]
    assert mails[0]["auto-submitted"] == "auto-generated"


def test_a_bundle_lists_all_and_tells_some() -> None:
    """Of many alerts each has a line, the first ones are told in full, the worst decides."""
    envelopes = [Envelope(failure(number, error=f"error {number}")) for number in range(25)]
    envelopes.append(Envelope(failure(99, kind="promotion", subject="version 3 is champion")))
    message = render(envelopes)
    assert message.subject == "[model loop] 25 failures, 1 promotion: sklearn_training (26)"
    assert message.kind == "failure"
    assert all(f"(family {number})" in message.text for number in range(25))
    assert "version 3 is champion" in message.text
    assert message.html.count("<h1") == IN_FULL + 1
    assert f"the other {26 - IN_FULL} are in Airflow" in message.text


def test_what_comes_late_says_why() -> None:
    """A mail that was held back says since when, and what was wrong."""
    received = dt.datetime.now(tz=dt.UTC) - dt.timedelta(hours=1)
    message = render([Envelope(FULL, received, problem="The mail server was down.")])
    for part in (message.text, message.html):
        assert "This mail comes late" in part
        assert "The mail server was down." in part
    assert "This mail comes late" not in render([Envelope(FULL)]).text
