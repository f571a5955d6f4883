"""The declarative base, naming convention and column types that all tables share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Plain declarative base; the engine knows no web framework."""

    metadata = MetaData(naming_convention=NAMING)


Micros = Annotated[int, mapped_column(BigInteger)]
"""An amount in whole micro-units of the row's (or its card's) currency."""

Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
"""An aware UTC time."""

Name = Annotated[str, mapped_column(Text)]
Currency = Annotated[str, mapped_column(String(3))]
BigId = Annotated[int, mapped_column(BigInteger)]
