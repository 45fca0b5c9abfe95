# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run remembers of a cell, a survey, and of tracers, of kernels nobody built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from harness.abi.offsets import Offsets
from harness.cases.catalog import Catalog
from harness.kernel import image, spec
from harness.kernel.kernel import Bootable
from harness.kernel.options import Options
from harness.model.case import Case
from harness.model.policy import Hit
from harness.model.verdict import judge
from harness.modules.build import Modules
from harness.nightly import unit_runner
from harness.nightly.remembered import cells
from harness.nightly.unit import (
    Cell,
    Done,
    SurveyedAggregate,
    SurveyedFunction,
    TracedCell,
    Unit,
    UnitKind,
)
from harness.prototypes.btf import Btf
from harness.run import job
from harness.run.plan import Outcome, plays
from harness.tracers.cell import Cell as Made
from harness.tracers.cell import Passed, Seen, Status
from harness.tracers.reading import Read, Reading
from harness.tracers.tracer import Tracer
from harness.tracing import run as tracing
from harness.tracing.run import Tracing
from tests.unit.factory import HIT, observe
from tests.unit.kernels import made_up
from tests.unit.made_btf import STRUCT, Maker, nine_words


def remembered(case: str, variant: str, guest: str = "", hit: Hit = HIT) -> Cell:
    """Return the stored cell of a guest that follows `guest`, in place of the variant."""
    catalog = Catalog()
    (play,) = plays(catalog.select_variants([variant]), catalog.select_cases([case]))
    (done,) = catalog.select_variants([guest or variant])
    seen = observe(play.case, done.policy, hit)
    return cells.cell(Outcome(play, judge(play.case, play.variant.policy, seen)))


@pytest.mark.parametrize(
    ("case", "variant", "damage", "looked_at"),
    [
        ("stack-9", "none", {"argument 8": [[0, 8]]}, {"area"}),
        ("by-ref-24", "none", {"argument 1": [[0, 24]]}, {"argument 1"}),
        # The upper halves of the two pointers are the same as before.
        (
            "rollback-list-handler",
            "thread-size",
            {"object": [[0, 4], [8, 12]]},
            {"area", "object"},
        ),
    ],
)
def test_bytes_and_damage_of_a_place_have_its_name(
    case: str, variant: str, damage: dict[str, list[list[int]]], looked_at: set[str]
) -> None:
    cell = remembered(case, variant)
    assert cell.damage == damage
    assert set(cell.looks) == looked_at
    for look in cell.looks.values():
        assert look["predicted"] == look["seen"]


@pytest.mark.parametrize(
    ("case", "variant", "guest", "saved", "corrupt"),
    [
        ("stack-10", "fixed:8", "fixed:8", 8, [(8, 16)]),
        # The guest saved less, or more, than was predicted.
        ("stack-10", "fixed-128", "fixed:8", 8, [(8, 16)]),
        ("stack-10", "fixed:8", "fixed-128", 128, []),
        ("rollback-counter-handler", "none", "thread-size", 4096, [(512, 520)]),
    ],
)
def test_a_picture_shows_the_run(
    case: str, variant: str, guest: str, saved: int, corrupt: list[tuple[int, int]]
) -> None:
    cell = remembered(case, variant, guest)
    assert cell.agrees == (variant == guest)
    assert cell.picture
    assert (cell.picture.saved, cell.picture.corrupt) == (saved, corrupt)


def test_a_picture_of_what_is_in_no_window() -> None:
    """A stacked word, and the copy that it has the address of; the guest says only how many."""
    picture = remembered("by-ref-address-stacked", "signature").picture
    assert picture
    assert (picture.saved, picture.spans) == (56, [(0, 8), (512, 552), (8, 16)])
    picture = remembered("by-ref-address-stacked", "signature", "fixed:8").picture
    assert picture
    assert (picture.saved, picture.spans) == (8, None)


def test_a_picture_of_a_handler_that_was_skipped() -> None:
    picture = remembered("stack-9", "fp-delta", hit=replace(HIT, fp=16)).picture
    assert picture
    assert (picture.saved, picture.corrupt) == (-1, [])


def functions() -> Maker:
    """Return the BTF of a function of nine words, and of two that take aggregates by reference."""
    made = nine_words()
    small, large = (
        made.composite(STRUCT, name, 8 * words, [("a", made.array(1, words), 0)])
        for name, words in (("small", 3), ("large", 4))
    )
    made.function("sort", [("a", small), ("b", small)])
    made.function("copy", [("a", large)])
    made.function("print", [("format", made.pointer())], more=True)
    return made


def surveyed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, btf: bytes, variants: list[str]
) -> Done:
    """Return what comes of a survey of a kernel with this BTF, and two modules, one without."""
    (folder / "modules").mkdir()
    (folder / "Image").write_bytes(image.stub() + btf)
    (folder / "modules/old.ko").write_bytes(bytes(100))
    if btf[2:3] == b"\x01":
        base = Btf(btf)
        own = Maker(base.end, base.strings_end)
        own.function("ten", [("a", 1)] * 10)
        (folder / "modules/new.ko").write_bytes(bytes(100) + own.data())
    kernel = made_up(folder, image=folder / "Image", modules=folder / "modules", key=folder.name)
    monkeypatch.setattr(spec, "resolve", lambda *words, **options: kernel)
    unit = Unit(
        kernel="some:kernel", compiler="gcc", kind=UnitKind.SURVEY, variants=variants, deadline=60
    )
    return unit_runner.perform(unit)


def test_a_survey(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = surveyed(monkeypatch, tmp_path, functions().data(), ["none", "tree", "fixed-128"])
    assert done.complete and done.boots == 0, done.harness_errors
    assert done.facts
    assert (done.facts.release, done.facts.compiler, done.facts.qemu) == ("6.1", "", "")
    found = done.survey
    assert found
    assert (found.functions, found.in_registers, found.stacked) == (5, 0, 2)
    assert (found.by_reference, found.variadic, found.unknown) == (2, 1, 0)
    assert (found.modules, found.unread) == (1, {"it has no BTF": 1})
    assert found.histogram == [(8, 1), (16, 1)]
    # What a tree does itself is not known.
    none, fixed = found.variants
    assert (none.variant, none.kept, none.damage) == ("none", 1, {"by-ref": 2, "leak": 2})
    assert (none.safe, none.unsafe, none.unknown) == (0, 4, 1)
    assert (fixed.variant, fixed.kept) == ("fixed-128", 5)
    assert found.worst == [
        SurveyedFunction(name=name, module=module, stacked=stacked, prototype=prototype)
        for name, module, stacked, prototype in (
            ("ten", "new", 16, f"void ten({', '.join(['long int a'] * 10)})"),
            ("nine", "", 8, f"int nine({', '.join(f'long int a{n}' for n in range(9))})"),
        )
    ]
    # The largest first, however few parameters have it.
    assert found.aggregates == [
        SurveyedAggregate(type="struct large", size=32, parameters=1),
        SurveyedAggregate(type="struct small", size=24, parameters=2),
    ]


@pytest.mark.parametrize(
    ("btf", "why"),
    [
        (b"", "There is neither BTF nor DWARF in"),
        (nine_words().data(version=2), "is newer than this program"),
    ],
)
def test_a_kernel_that_cannot_be_surveyed(
    btf: bytes, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = surveyed(monkeypatch, tmp_path, btf, ["none"])
    (error,) = done.harness_errors
    assert why in error
    assert (done.survey, done.kernel_errors, done.complete) == (None, [], False)


def test_tracers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel = made_up(tmp_path, image=tmp_path / "Image", modules=tmp_path)
    kernel.image.write_bytes(image.stub())
    (tmp_path / "compiler").write_text("gcc 12\nmake 4")
    (case,) = Catalog().select_cases(["stack-9"])

    def prepare(name: str, catalog: Catalog, *, options: Options, traced: bool) -> object:
        assert traced
        return kernel, Modules(tmp_path, "m", tmp_path, traced=True)

    def run(
        kernel: Bootable, modules: Modules, tracers: Sequence[Tracer], cases: Sequence[Case]
    ) -> Tracing:
        assert [one.name for one in cases] == ["stack-9"]
        passed = tuple(Passed(argument.type, argument.value, None) for argument in case.arguments)
        read = tuple(one.value for one in passed)
        right = Reading((Read.RIGHT,) * len(passed))
        first, second, third = (one.name for one in tracers)
        cells = (
            Made(first, case, right, Seen(read), passed=passed, left={8: Offsets.span(0, 4)}),
            Made(second, case, right, Seen(refused="load: EINVAL"), passed=passed),
            Made(third, case, None, Seen(), errors=("KernelDied: it fell over.",)),
        )
        wrong, missing = ("fexit: it complained.",), ("No room.",)
        return Tracing(
            "some:kernel", "6.1", cells, 3,
            kernel_errors=wrong, errors=missing, retried=("fexit: it died.",), boots=4,
        )  # fmt: skip

    monkeypatch.setattr(job, "prepare", prepare)
    monkeypatch.setattr(tracing, "run", run)
    unit = Unit(
        kernel="some:kernel", compiler="gcc", kind=UnitKind.TRACERS, variants=[], deadline=60,
        tracers=["fentry", "fexit", "kprobe"], cases=["stack-9"],
    )  # fmt: skip
    found = unit_runner.perform(unit)
    assert found.facts and found.facts.compiler == "gcc 12"
    assert (found.planned, found.played, found.boots) == (3, 3, 4)
    assert found.retried == ["fexit: it died."]
    assert [(error.kind, error.text) for error in found.kernel_errors] == [
        ("tracers", "fexit: it complained.")
    ]
    assert found.harness_errors == ["No room."]
    differs = TracedCell(tracer="fentry", case="stack-9", status=Status.DIFFERS)
    assert found.traced == [
        structs.replace(
            differs,
            reads=[Read.RIGHT] * 9,
            damage={"argument 8": [[0, 4]]},
            reasons=["the function saw argument 8 changed in byte 0-3"],
        ),
        structs.replace(
            differs,
            tracer="fexit",
            refused="load: EINVAL",
            reasons=["it was refused: load: EINVAL"],
        ),
        structs.replace(differs, tracer="kprobe", reasons=["KernelDied: it fell over."]),
    ]
