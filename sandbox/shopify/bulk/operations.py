"""Bulk operations: their life, their limits, their files (shopify.md §7).

Nothing runs by itself: `step` moves every operation on by a few hundred rows and is called again and again.
"""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.shopify.bulk.rules import FILE_BYTES_MAX
from sandbox.shopify.graphql.errors import UserError
from sandbox.shopify.graphql.ids import gid
from sandbox.shopify.shop.state import ShopState

#: Operations of one type at a time, per app and shop, from 2026-01.
CONCURRENT_MAX = 5
#: Results are kept for a week.
KEPT_S = 7 * 86_400
RESULTS_PATH = "/bulk-operation-outputs/"
UPLOAD_PATH = "/staged-uploads/"

BulkType = Literal["QUERY", "MUTATION"]


@dataclass(slots=True)
class Step:
    """One line of a result. `is_root` is false for objects inside another object's connection."""

    line: Mapping[str, Any]
    is_root: bool = True


@dataclass(slots=True)
class BulkOperation:
    number: int
    type: BulkType
    query: str
    created_at: int
    #: When it stops waiting, on the monotonic clock.
    runs_from: float
    base_url: str
    work: Iterator[Step]
    #: The app lacks a scope for what it asks: the operation fails as soon as it runs.
    denied: bool
    status: str = "CREATED"
    completed_at: int | None = None
    error_code: str | None = None
    object_count: int = 0
    root_object_count: int = 0
    result: bytearray = field(default_factory=bytearray)
    token: str = ""

    @property
    def id(self) -> str:
        return gid("BulkOperation", self.number)

    @property
    def is_over(self) -> bool:
        return self.completed_at is not None

    @property
    def file_size(self) -> int | None:
        return len(self.result) if self.status == "COMPLETED" else None

    @property
    def url(self) -> str | None:
        return self._address if self.status == "COMPLETED" and self.result else None

    @property
    def partial_data_url(self) -> str | None:
        return self._address if self.status == "FAILED" and self.result else None

    @property
    def _address(self) -> str:
        return f"{self.base_url}{RESULTS_PATH}{self.token}.jsonl"


@dataclass(slots=True)
class StagedFile:
    """An upload that was announced; `body` is None until it came."""

    key: str
    parameters: dict[str, str]
    body: bytes | None = None


class UploadRefused(Exception):
    """The file store says no."""


class BulkOperations:
    """All bulk operations of one app on one shop, and the files that belong to them."""

    def __init__(self, state: ShopState) -> None:
        self._state = state
        self._operations: dict[int, BulkOperation] = {}
        self._results: dict[str, BulkOperation] = {}
        self._files: dict[str, StagedFile] = {}
        self._chance = random.Random(f"bulk {state.seed}")

    def get(self, number: int) -> BulkOperation | None:
        operation = self._operations.get(number)
        if operation is not None:
            self._expire(operation)
        return operation

    def all(self) -> list[BulkOperation]:
        """Oldest first."""
        return [operation for number in self._operations if (operation := self.get(number)) is not None]

    @property
    def is_active(self) -> bool:
        return any(not operation.is_over for operation in self._operations.values())

    # Files.

    def stage(self, filename: str, mime_type: str, base_url: str) -> tuple[str, StagedFile]:
        """Announce an upload: the address to post to, and the parameters to post before the file."""
        key = f"tmp/{self._state.shop}/bulk/{self._uuid()}/{filename}"
        now = self._state.clock()
        parameters = {
            "Content-Type": mime_type,
            "success_action_status": "201",
            "acl": "private",
            "key": key,
            "x-goog-date": now.strftime("%Y%m%dT%H%M%SZ"),
            "x-goog-credential": f"sandbox/{now:%Y%m%d}/auto/storage/goog4_request",
            "x-goog-algorithm": "GOOG4-RSA-SHA256",
            "x-goog-signature": hashlib.sha256(key.encode()).hexdigest(),
            "policy": hashlib.sha256(f"policy {key}".encode()).hexdigest(),
        }
        file = StagedFile(key, parameters)
        self._files[key] = file
        return f"{base_url}{UPLOAD_PATH}", file

    def upload(self, parts: list[tuple[str, bytes]]) -> None:
        """Take a posted form. Every parameter must be as announced, and `file` last."""
        if not parts or parts[-1][0] != "file":
            raise UploadRefused("the last part must be the file")
        given = {name: value.decode("utf-8", "replace") for name, value in parts[:-1]}
        file = self._files.get(given.get("key", ""))
        if file is None:
            raise UploadRefused("no upload was announced under this key")
        if given != file.parameters:
            raise UploadRefused("the parameters are not the announced ones")
        file.body = parts[-1][1]

    def result(self, token: str) -> bytes | None:
        """The file behind an operation's url, or None."""
        operation = self._results.get(token)
        if operation is None or self.get(operation.number) is None:
            return None
        return bytes(operation.result) if operation.url or operation.partial_data_url else None

    def staged_body(self, path: str) -> bytes | UserError:
        """The uploaded file, or why it can't be used."""
        file = self._files.get(path)
        if file is None or file.body is None:
            message = (
                "The JSONL file could not be found. Try uploading the file again, and check that you've "
                "entered the URL correctly for the stagedUploadPath mutation argument."
            )
            return UserError(None, message, "NO_SUCH_FILE")
        if not file.body.strip():
            return UserError(None, "The input file is empty.", "INVALID_STAGED_UPLOAD_FILE")
        if len(file.body) > FILE_BYTES_MAX:
            message = "The input file size exceeds the maximum allowed size of 100 MB."
            return UserError(None, message, "INVALID_STAGED_UPLOAD_FILE")
        return file.body

    # Life.

    def in_progress(self, kind: BulkType) -> UserError | None:
        """The error of one operation too many."""
        running = [one.id for one in self._operations.values() if one.type == kind and not one.is_over]
        if len(running) < CONCURRENT_MAX:
            return None
        message = f"A bulk {kind.lower()} operation for this app and shop is already in progress: "
        message += f"{', '.join(running)}."
        return UserError(None, message, "OPERATION_IN_PROGRESS")

    def start(
        self, kind: BulkType, text: str, base_url: str, work: Iterator[Step], *, denied: bool
    ) -> BulkOperation:
        operation = BulkOperation(
            number=self._state.sequence.next(),
            type=kind,
            query=text,
            created_at=self._state.now(),
            runs_from=self._state.monotonic() + self._state.behaviour.bulk_queue_s,
            base_url=base_url,
            work=work,
            denied=denied,
            token=self._uuid().replace("-", ""),
        )
        self._operations[operation.number] = operation
        self._results[operation.token] = operation
        return operation

    def cancel(self, operation: BulkOperation) -> UserError | None:
        if operation.is_over:
            message = f"A bulk operation cannot be canceled when it is {operation.status.lower()}"
            return UserError(None, message)
        operation.status = "CANCELING"
        return None

    def step(self) -> None:
        """Move every operation on: CREATED to RUNNING, RUNNING by some rows, CANCELING to CANCELED."""
        now = self._state.monotonic()
        for operation in list(self._operations.values()):
            if operation.is_over:
                continue
            if operation.status == "CANCELING":
                self._end(operation, "CANCELED")
            elif operation.status == "CREATED":
                if now >= operation.runs_from:
                    operation.status = "RUNNING"
            elif operation.denied:
                operation.error_code = "ACCESS_DENIED"
                self._end(operation, "FAILED")
            else:
                self._run(operation)

    def _run(self, operation: BulkOperation) -> None:
        for _ in range(self._state.behaviour.bulk_rows_per_step):
            step = next(operation.work, None)
            if step is None:
                self._end(operation, "COMPLETED")
                return
            operation.result += json.dumps(step.line, separators=(",", ":")).encode() + b"\n"
            operation.object_count += 1
            operation.root_object_count += step.is_root

    def _end(self, operation: BulkOperation, status: str) -> None:
        operation.status = status
        operation.completed_at = self._state.now()
        operation.work = iter(())
        self._state.emit("BULK_OPERATIONS_FINISH", operation)

    def _expire(self, operation: BulkOperation) -> None:
        if operation.completed_at is not None and self._state.now() > operation.completed_at + KEPT_S:
            operation.status = "EXPIRED"
            operation.result = bytearray()

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
