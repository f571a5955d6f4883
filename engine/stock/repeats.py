"""A command of stock that was asked with a key counts once; without one it counts each time it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor


@dataclass(frozen=True, slots=True)
class Once:
    """One asking of a command, in its transaction: `answer` is the first answer where it was asked before."""

    session: Session
    scope: str
    key: str | None
    answer: dict[str, Any] | None

    def keep(self, answer: Mapping[str, Any]) -> None:
        """Keep the answer for who asks again with this key."""
        if self.key is not None:
            idempotency.keep(self.session, self.scope, self.key, dict(answer))


def once(session: Session, command: str, actor: Actor, key: str | None, now: datetime, *facts: Any) -> Once:
    """Take the key for this transaction. `facts`: plain values of all that was asked. Raises as `idempotency.claim`."""
    scope = f"{command}:{actor}"
    answer = None
    if key is not None:
        answer = idempotency.claim(session, scope, key, idempotency.fingerprint(*facts), now)
    return Once(session, scope, key, answer)
