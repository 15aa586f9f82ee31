"""The mails that the local sink has kept, for people to read."""

from __future__ import annotations

import email.policy
import email.utils
import os
import sys
import webbrowser
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model_loop.errors import InvalidInputError

#: Number of mails that are listed.
_LISTED = 20


@dataclass(frozen=True)
class Mail:
    """A mail that the local stack has caught.

    Parameters
    ----------
    file
        File of the mail in the sink's folder.
    message
        Content of the mail.
    """

    file: Path
    message: EmailMessage

    @property
    def when(self) -> str:
        """Time at which it was sent, in local time."""
        sent = email.utils.parsedate_to_datetime(self.message["date"])
        return sent.astimezone().strftime("%Y-%m-%d %H:%M:%S")

    def body(self, kind: str) -> str | None:
        """The part ``html`` or ``plain``, if it has one."""
        body = self.message.get_body((kind,))
        return None if body is None else str(body.get_content())


def mails_in(folder: Path) -> list[Mail]:
    """The mails in a Maildir, the newest first."""
    files = [*folder.glob("new/*"), *folder.glob("cur/*")]
    newest_first = sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return [Mail(file, _parse(file)) for file in newest_first]


def _parse(file: Path) -> EmailMessage:
    parser: BytesParser[EmailMessage] = BytesParser(policy=email.policy.default)
    return parser.parsebytes(file.read_bytes())


def chosen(mails: list[Mail], number: int) -> Mail:
    """A mail by its number in the list, which counts from 1.

    Raises
    ------
    InvalidInputError
        If there is none with this number.
    """
    if not 1 <= number <= len(mails):
        raise InvalidInputError(
            f"Mail {number}", f"is not among the {len(mails)} that were kept", "See `make mail`."
        )
    return mails[number - 1]


def list_mails(mails: list[Mail], console: Console) -> None:
    """Show when the mails came, what they are about, and to whom."""
    table = Table("N", "when", "subject", "to")
    for number, mail in enumerate(mails[:_LISTED], start=1):
        # Not as markup: a subject may hold square brackets.
        table.add_row(str(number), mail.when, _plain(mail.message["subject"]), mail.message["to"])
    console.print(table)
    if len(mails) > _LISTED:
        console.print(f"… and {len(mails) - _LISTED} older ones.")


def show_mail(mail: Mail, folder: Path, console: Console, *, browser: bool) -> None:
    """Open a mail in the browser, or print it where there is none.

    Parameters
    ----------
    folder
        Folder for the page that the browser shows.
    browser
        Whether a browser is wanted.
    """
    html = mail.body("html")
    if html is not None:
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "mail.html"
        page.write_text(html, encoding="utf-8")
        if browser and _has_screen() and webbrowser.open(page.as_uri()):
            console.print(f"Opened in the browser: {page}")
            return
        console.print(f"As a page: {page}")
    console.print()
    console.print(f"Subject: {mail.message['subject']}", markup=False, highlight=False)
    console.print(f"To: {mail.message['to']}", markup=False, highlight=False)
    console.print(f"Date: {mail.when}\n", markup=False, highlight=False)
    console.print(mail.body("plain") or html or "", markup=False, highlight=False)


def _has_screen() -> bool:
    """Return whether a browser would be visible."""
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
