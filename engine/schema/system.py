"""Tables of the foundation: settings and background work."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Instant, Name


class Setting(Base):
    """One business setting that differs from its default (`engine.settings.DEFAULTS`)."""

    __tablename__ = "setting"
    key: Mapped[Name] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)


class SettingsHead(Base):
    """One row: a revision that rises (by trigger) with every change of the settings, access numbers, destination rules
    and groups, so that processes that keep them know when to read again."""

    __tablename__ = "settings_head"
    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    revision: Mapped[int] = mapped_column(server_default=text("1"))
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class Work(Base):
    """Background work that any process may claim: at most one holds its lease at a time.

    `progress` of `total` is what a person sees; after a kill a handler goes on from what its own tables say.
    """

    __tablename__ = "work"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Name]
    params: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[Name]
    progress: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[Name | None]
    created_by: Mapped[Name]
    created_at: Mapped[Instant]
    started_at: Mapped[Instant | None]
    finished_at: Mapped[Instant | None]
    claimed_by: Mapped[Name | None]
    lease_until: Mapped[Instant | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
        CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
        Index(None, "id", postgresql_where=text("state IN ('queued', 'running')")),
    )
