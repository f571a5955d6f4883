"""Tables of the foundation: settings, background work, the timetable, alarms."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, LargeBinary, SmallInteger, text
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


class Upload(Base):
    """A file that somebody sent and has not confirmed yet: sealed by the master key, for its sender, for a day."""

    __tablename__ = "upload"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Name]
    name: Mapped[Name]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    master: Mapped[int] = mapped_column(SmallInteger)
    actor: Mapped[Name]
    created_at: Mapped[Instant] = mapped_column(index=True)


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


class Alarm(Base):
    """Something that a person should look at; one open row for each kind and subject, until it is cleared."""

    __tablename__ = "alarm"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Name]
    subject: Mapped[Name]
    severity: Mapped[Name]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    opened_at: Mapped[Instant]
    last_at: Mapped[Instant]
    times: Mapped[int] = mapped_column(server_default=text("1"))
    cleared_at: Mapped[Instant | None]
    cleared_by: Mapped[Name | None]
    __table_args__ = (
        CheckConstraint("severity IN ('notice', 'warning', 'critical')", name="severity"),
        Index("uq_alarm_open", "kind", "subject", unique=True, postgresql_where=text("cleared_at IS NULL")),
        Index(None, "opened_at"),
    )


class JobRun(Base):
    """One run of a job of the timetable: claimed once for its due time, however many processes run."""

    __tablename__ = "job_run"
    job: Mapped[Name] = mapped_column(primary_key=True)
    due_at: Mapped[Instant] = mapped_column(primary_key=True)
    state: Mapped[Name]
    asked_by: Mapped[Name | None]
    claimed_by: Mapped[Name | None]
    started_at: Mapped[Instant | None]
    lease_until: Mapped[Instant | None]
    finished_at: Mapped[Instant | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[Name | None]
    __table_args__ = (
        CheckConstraint("state IN ('asked', 'running', 'done', 'failed', 'lost')", name="state"),
        Index(None, "started_at"),
        Index("ix_job_run_open", "job", "due_at", postgresql_where=text("state IN ('asked', 'running')")),
    )


class JobState(Base):
    """What a job keeps between its runs (`mark`), and whether somebody paused it."""

    __tablename__ = "job_state"
    job: Mapped[Name] = mapped_column(primary_key=True)
    paused_at: Mapped[Instant | None]
    paused_by: Mapped[Name | None]
    mark: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
