"""Where notices go: a webhook, or a mail server. One message each; the caller decides when to try again."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Protocol

import requests

from mappings.addresses import is_private_channel

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0


class NotDelivered(Exception):
    """The notice did not go out; the message says why and holds no secret."""


@dataclass(frozen=True)
class Notice:
    """A message for the people who settle conflicts. It never holds a serial."""

    subject: str
    text: str
    #: The same as data, for a webhook.
    data: Mapping[str, object]


class Sender(Protocol):
    def send(self, notice: Notice) -> None:
        """Deliver the notice. Raises NotDelivered."""
        ...


@dataclass(frozen=True)
class WebhookSender:
    """Posts notices as JSON. `text` is the key that chat services show."""

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        if not is_private_channel(self.url):
            raise ValueError("the webhook's address must start with https://")

    def send(self, notice: Notice) -> None:
        body = {"subject": notice.subject, "text": f"{notice.subject}\n{notice.text}", **notice.data}
        try:
            answer = requests.post(
                self.url, json=body, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), allow_redirects=False
            )
        except requests.RequestException as error:
            # The address may hold a key of the service, so the error itself is not told.
            raise NotDelivered(f"the webhook could not be reached ({type(error).__name__})") from None
        if not answer.ok or answer.is_redirect:
            raise NotDelivered(f"the webhook answered {answer.status_code}")


@dataclass(frozen=True)
class MailSender:
    """Hands notices to a mail server, encrypted unless the server is on this machine."""

    host: str
    port: int
    sender: str
    to: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    encrypts: bool = True

    def send(self, notice: Notice) -> None:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = notice.subject, self.sender, self.to
        message.set_content(notice.text)
        try:
            with smtplib.SMTP(self.host, self.port, timeout=ANSWER_SECONDS) as server:
                if self.encrypts:
                    server.starttls(context=ssl.create_default_context())
                if self.user is not None:
                    server.login(self.user, self.password or "")
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise NotDelivered(f"the mail server did not take it ({type(error).__name__})") from None
