"""Reading the mails that the local sink has kept."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest
from rich.console import Console
from tests.alerts.conftest import failure

from model_loop.alerts.mail import as_mail
from model_loop.alerts.rendering import render
from model_loop.alerts.types import Envelope
from model_loop.errors import InvalidInputError
from model_loop.local.mails import chosen, list_mails, mails_in, show_mail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Maildir with three mails."""
    box = mailbox.Maildir(tmp_path / "mail")
    for number in range(3):
        message = render([Envelope(failure(number, error=f"error {number}"))])
        box.add(bytes(as_mail(message, to=["a@example.com"], sender="b@example.com")))
    return tmp_path / "mail"


@pytest.fixture
def console() -> Console:
    """A console that keeps what it shows."""
    return Console(record=True, width=140)


def test_mails_are_listed_the_newest_first(folder: Path, console: Console) -> None:
    """The list shows subjects as they are, with their square brackets."""
    mails = mails_in(folder)
    list_mails(mails, console)
    shown = console.export_text()
    assert "[model loop] sklearn_training failed in model.tune (family 2)" in shown
    assert shown.index("(family 2)") < shown.index("(family 0)")
    assert "a@example.com" in shown


def test_without_a_screen_the_text_is_printed(
    folder: Path, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no browser would be seen, a mail is printed, and its page is kept."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    show_mail(chosen(mails_in(folder), 3), tmp_path / "page", console, browser=True)
    assert "error 0" in console.export_text()
    assert "error 0" in (tmp_path / "page" / "mail.html").read_text()


def test_a_browser_is_used_where_there_is_one(
    folder: Path, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a screen the page of the mail is opened."""
    opened: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")

    def browser(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    show_mail(mails_in(folder)[0], tmp_path / "page", console, browser=True)
    assert opened == [(tmp_path / "page" / "mail.html").as_uri()]


def test_a_mail_that_is_not_there_is_named(folder: Path) -> None:
    """A number beyond the list is refused."""
    with pytest.raises(InvalidInputError, match="Mail 4 is not among the 3"):
        chosen(mails_in(folder), 4)
    assert mails_in(folder / "none") == []
