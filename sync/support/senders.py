"""Where notices go: a webhook, or a mail server. One message each; the caller decides when to try again."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Protocol

import requests

from connectors.api.errors import SideError
from connectors.kit.http import CONNECT_SECONDS, READ_SECONDS, send_once
from connectors.kit.wire import WireAdapter
from mappings.addresses import is_private_channel

ANSWER_SECONDS = READ_SECONDS
#: One mail as a whole, with every command of its conversation.
MAIL_SECONDS = 60.0


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
            with requests.Session() as session:
                session.mount("http://", WireAdapter())
                session.mount("https://", WireAdapter())
                request = session.prepare_request(requests.Request("POST", self.url, json=body))
                answer = send_once(session, request, (CONNECT_SECONDS, READ_SECONDS))
        except (SideError, requests.RequestException) as error:
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
    #: The whole conversation.
    seconds: float = MAIL_SECONDS

    def send(self, notice: Notice) -> None:
        message = EmailMessage()
        message["Subject"] = notice.subject
        message.set_content(notice.text)
        self.deliver(message)

    def deliver(self, message: EmailMessage) -> None:
        """Hand a message without addresses to the server, for the recipient. Raises NotDelivered."""
        message["From"], message["To"] = self.sender, self.to
        try:
            with smtplib.SMTP(timeout=ANSWER_SECONDS) as server, _cut_off(server, self.seconds):
                server.connect(self.host, self.port)
                if self.encrypts:
                    server.starttls(context=ssl.create_default_context())
                if self.user is not None:
                    server.login(self.user, self.password or "")
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise NotDelivered(f"the mail server did not take it ({type(error).__name__})") from None


@contextmanager
def _cut_off(server: smtplib.SMTP, seconds: float) -> Iterator[None]:
    """End the conversation after so long: the timeout of smtplib holds for each wait on the socket."""

    def cut() -> None:
        if server.sock is not None:
            with suppress(OSError):
                server.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
