"""The mail that says what failed, why, and where to look."""

from __future__ import annotations

from pathlib import Path

from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from trip_duration.settings import get_settings

_TEMPLATES = Path(__file__).parent / "templates"


def failure_mail() -> SmtpNotifier:
    """Mail for a task that failed for good."""
    settings = get_settings()
    return SmtpNotifier(
        to=[address.strip() for address in settings.mail_to.split(",")],
        from_email=settings.mail_from,
        subject="[trip duration] {{ ti.dag_id }} failed in {{ ti.task_id }}",
        html_content=(_TEMPLATES / "task_failed.html").read_text(encoding="utf-8"),
    )
