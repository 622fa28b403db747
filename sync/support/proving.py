"""The proof of the ledger in the background: recomputed from its rows, and kept until the next one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from sync.ledger.proof.findings import Finding
from sync.reconcile.work import Link
from sync.support.audit import Audit, audit

log = structlog.get_logger(__name__)

FINDINGS_KEPT = 50


@dataclass
class Proof:
    """One proof, under way or done."""

    audit: Audit | None = None
    cards: int = 0
    findings: list[Finding] = field(default_factory=list)
    ended: bool = False
    #: It could not be carried through.
    failed: bool = False


@dataclass
class ProofDesk:
    """Proves a ledger, one proof at a time. Asks the sides nothing."""

    link: Callable[[], Link]
    last: Proof | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def begin(self) -> None:
        """Start one, unless one is under way."""
        with self._lock:
            if self.last is not None and not self.last.ended:
                return
            self.last = proof = Proof()
        threading.Thread(target=self._run, args=(proof,), name="proof", daemon=True).start()

    def _run(self, proof: Proof) -> None:
        def progress(cards: int) -> None:
            proof.cards = cards

        try:
            link = self.link()
            proof.audit = audit(link.store.engine, link.store.vault, link.clock, progress=progress)
            for finding in proof.audit:
                if len(proof.findings) < FINDINGS_KEPT:
                    proof.findings.append(finding)
        except Exception as error:  # noqa: BLE001 the thread ends here, and the page says so
            log.error("a proof failed", action="proof.failed", why=type(error).__name__)
            proof.failed = True
        finally:
            proof.ended = True
