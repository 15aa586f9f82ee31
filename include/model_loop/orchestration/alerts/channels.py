"""The ways to people: e-mail and, where a connection for it is defined, Apprise's services."""

from __future__ import annotations

import hashlib
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from model_loop.alerts.mail import addresses, as_mail
from model_loop.alerts.types import Alert, Message
from model_loop.datasets.registry import sound_datasets
from model_loop.errors import DeliveryError, ModelLoopError
from model_loop.orchestration.names import dataset_of_dag, owner_of
from model_loop.settings import get_settings

SMTP_CONNECTION = "smtp_default"
APPRISE_CONNECTION = "apprise_default"


@dataclass(frozen=True)
class SmtpChannel:
    """E-mail, through the SMTP provider's hook.

    Parameters
    ----------
    owner
        Address of the owner of datasets, who is mailed about their DAGs; None for the addresses of
        the settings, which are mailed about everything else.
    """

    owner: str | None = None

    @property
    def name(self) -> str:
        """Tells one owner from another."""
        return f"smtp-{_digest(self.owner)}" if self.owner else "smtp"

    def takes(self, alert: Alert) -> bool:
        """Return whether the owner of what an alert is about is this one."""
        return _owner_of(alert) == self.owner

    def send(self, message: Message) -> None:
        """Send a mail to the owner, or to the addresses of the settings."""
        from airflow.providers.smtp.hooks.smtp import (  # noqa: PLC0415 - DAG files import this
            SmtpHook,
        )

        settings = get_settings()
        try:
            with SmtpHook(SMTP_CONNECTION) as hook:
                mail = as_mail(
                    message, to=addresses(self.owner or settings.mail_to), sender=settings.mail_from
                )
                # The hook's own messages have no plain text beside the HTML.
                client = hook._smtp_client  # noqa: SLF001 - it gives no other way to its client
                if not isinstance(client, smtplib.SMTP):
                    raise _undelivered("has no client")
                refused = client.send_message(mail)
        except (OSError, smtplib.SMTPException, AirflowException) as error:
            raise _undelivered(f"does not take mails: {type(error).__name__}: {error}") from error
        if refused:
            raise _undelivered(f"refused mails to {', '.join(refused)}")


@dataclass(frozen=True)
class AppriseChannel:
    """One service that Apprise knows: Slack, Teams, Discord, Telegram, Opsgenie or another.

    Parameters
    ----------
    url
        Its address, which may hold a secret.
    """

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """Tells one service from another, and no secret."""
        return f"apprise-{_digest(self.url)}"

    def takes(self, alert: Alert) -> bool:  # noqa: ARG002 - of every channel
        """Take every alert."""
        return True

    def send(self, message: Message) -> None:
        """Send the plain text."""
        from apprise import (  # noqa: PLC0415 - as above
            Apprise,
            NotifyFormat,
            NotifyType,
        )

        kinds = {
            "failure": NotifyType.FAILURE,
            "success": NotifyType.SUCCESS,
            "promotion": NotifyType.SUCCESS,
            "test": NotifyType.INFO,
        }
        service = Apprise()
        # The hook's own `notify` does not say whether it succeeded.
        taken = service.add(self.url) and service.notify(
            body=message.text,
            title=message.subject,
            notify_type=kinds.get(message.kind, NotifyType.WARNING),
            body_format=NotifyFormat.TEXT,
        )
        if not taken:
            raise DeliveryError(
                f"The service {self.url.partition(':')[0]}:// of the connection "
                f"{APPRISE_CONNECTION}",
                "did not take the message",
                "Compare its address with Apprise's documentation, and look whether it can be "
                "reached from the workers.",
            )


def channels() -> list[SmtpChannel | AppriseChannel]:
    """The channels whose connections are defined.

    Raises
    ------
    DeliveryError
        If there is none.
    """
    found = list(_channels())
    if not found:
        raise DeliveryError(
            f"Neither the connection {SMTP_CONNECTION} nor {APPRISE_CONNECTION}",
            "is defined, so no alert can be delivered",
            "Define one of them, as docs/how-to/alerts.md shows.",
        )
    return found


def _channels() -> Iterator[SmtpChannel | AppriseChannel]:
    if _is_defined(SMTP_CONNECTION):
        yield SmtpChannel()
        yield from (SmtpChannel(owner) for owner in sorted(_owners()))
    if _is_defined(APPRISE_CONNECTION):
        yield from _apprise_services()


def _apprise_services() -> Iterator[AppriseChannel]:
    """A channel for each service: where one does not answer, the others get nothing twice."""
    from airflow.providers.apprise.hooks.apprise import (  # noqa: PLC0415 - as above
        AppriseHook,
    )

    hook = AppriseHook(APPRISE_CONNECTION)
    try:
        config = hook.get_config_from_conn(BaseHook.get_connection(APPRISE_CONNECTION))
        entries = config if isinstance(config, list) else [config]
        yield from [AppriseChannel(entry["path"]) for entry in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise DeliveryError(
            f"The connection {APPRISE_CONNECTION}",
            f"cannot be read ({type(error).__name__}: {error})",
            'Give its extra as {"config": [{"path": "slack://…"}]}.',
        ) from error


def _owners() -> set[str]:
    """Return the addresses of all owners of datasets; an owner may also be a mere name."""
    owners = {owner for dataset in sound_datasets() if (owner := owner_of(dataset))}
    return {owner for owner in owners if "@" in owner}


def _owner_of(alert: Alert) -> str | None:
    """Return the address of the owner of the dataset whose DAG an alert is about."""
    try:
        dataset = dataset_of_dag(alert.about.partition("/")[0])
    except ModelLoopError:
        # Its declaration is broken, or gone: those who run the installation are mailed.
        return None
    owner = owner_of(dataset) if dataset else None
    return owner if owner and "@" in owner else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_defined(connection: str) -> bool:
    try:
        BaseHook.get_connection(connection)
    except AirflowNotFoundException:
        return False
    return True


def _undelivered(rule: str) -> DeliveryError:
    connection = BaseHook.get_connection(SMTP_CONNECTION)
    return DeliveryError(
        f"The mail server {connection.host}:{connection.port or 'default port'}",
        rule,
        f"Start it, or correct the connection {SMTP_CONNECTION}. Until then alerts wait.",
    )
