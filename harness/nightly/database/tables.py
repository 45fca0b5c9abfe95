# SPDX-License-Identifier: GPL-2.0-only
"""The tables that nightly runs are stored in."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
NIGHTS = Table(
    "night",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("matrix", String(16), nullable=False),
    Column("shows", Text, nullable=False),
    # As JSON, so that a nightly run can be gone on with.
    Column("units", JSON, nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float),
)
UNITS = Table(
    "unit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("night", ForeignKey("night.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("kernel", String(200), nullable=False),
    Column("compiler", String(100), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("repetition", Integer, nullable=False),
    Column("facts", JSON),
    Column("planned", Integer, nullable=False),
    Column("played", Integer, nullable=False),
    Column("kernel_errors", JSON, nullable=False),
    Column("harness_errors", JSON, nullable=False),
    Column("retried", JSON, nullable=False),
    Column("boots", Integer, nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float, nullable=False),
    Column("logs", Text, nullable=False),
    UniqueConstraint("night", "name"),
)
# What most nightly runs see again: bytes, pictures, and what tracers read.
LOOKS = Table(
    "look",
    METADATA,
    Column("digest", String(32), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
CELLS = Table(
    "cell",
    METADATA,
    Column("unit", ForeignKey("unit.id", ondelete="CASCADE"), primary_key=True),
    Column("variant", String(100), primary_key=True),
    Column("case", String(100), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("classes", JSON, nullable=False),
    Column("agrees", Boolean, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("damage", JSON, nullable=False),
    Column("looks", ForeignKey("look.digest"), nullable=False),
)
COMPLAINTS = Table(
    "complaint",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("unit", ForeignKey("unit.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("title", Text, nullable=False),
    Column("fingerprint", String(12), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("variant", String(100), nullable=False),
    Column("case", String(100), nullable=False),
)
COSTS = Table(
    "cost",
    METADATA,
    Column("unit", ForeignKey("unit.id", ondelete="CASCADE"), primary_key=True),
    Column("variant", String(100), primary_key=True),
    Column("instructions", Float, nullable=False),
    Column("saved", Integer, nullable=False),
)
SURVEYS = Table(
    "survey",
    METADATA,
    Column("unit", ForeignKey("unit.id", ondelete="CASCADE"), primary_key=True),
    # A SurveyResult.
    Column("data", JSON, nullable=False),
)
TRACED = Table(
    "traced",
    METADATA,
    Column("unit", ForeignKey("unit.id", ondelete="CASCADE"), primary_key=True),
    Column("tracer", String(100), primary_key=True),
    # All cells of the tracer.
    Column("looks", ForeignKey("look.digest"), nullable=False),
)
BASELINES = Table(
    "baseline",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("night", ForeignKey("night.id"), nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("accepted", Float, nullable=False),
)
