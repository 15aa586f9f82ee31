"""A message as an e-mail."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import default
from email.utils import formatdate, make_msgid

from model_loop.alerts.types import Message
from model_loop.settings import split_list

#: SMTP takes up to 998.
_LINE_CHARACTERS = 400


def addresses(text: str) -> list[str]:
    """Addresses that are separated by commas or semicolons."""
    return split_list(text.replace(";", ","))


def as_mail(message: Message, *, to: list[str], sender: str) -> EmailMessage:
    """HTML and plain text, of which the mail program shows what it can."""
    # Folded before its first word, a subject would begin with a blank.
    mail = EmailMessage(policy=default.clone(max_line_length=_LINE_CHARACTERS))
    # Line breaks in a header would begin another header.
    mail["Subject"] = " ".join(message.subject.split())
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = formatdate(usegmt=True)
    domain = sender.rpartition("@")[2].strip("> ") or "localhost"
    # A mail that comes twice, because its sender was killed before it could note it down, is one.
    mail["Message-ID"] = f"<{message.identity}@{domain}>" if message.identity else make_msgid()
    # Holiday replies are not wanted (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Model-Loop-Alert"] = message.kind
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    return mail
