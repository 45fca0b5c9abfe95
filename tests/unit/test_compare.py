# SPDX-License-Identifier: GPL-2.0-only
"""What counts as a regression."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from harness.guest.splat import Splat, fingerprint
from harness.guest.splat import SplatKind as SplatKind
from harness.nightly import compare
from harness.nightly.compare import Place, Sort
from harness.nightly.database.migrate import kernel_error
from harness.nightly.unit import Complaint, KernelError, TracedCell
from harness.tracers.cell import Status
from harness.tracers.reading import Read
from tests.unit.nights import SURVEY, cell, done, surveyed, traced, tracing


def test_nothing_changed() -> None:
    accepted = [done(cell(), cell("stack-8", size=0))]
    assert compare.regressions(accepted, accepted) == []
    # Other addresses of another boot are no change.
    moved = [done(cell(reasons=["at 0xffff0000"], looks={}), cell("stack-8", size=0))]
    assert compare.regressions(moved, accepted) == []


def test_regressions() -> None:
    accepted = [done(cell(), cell("stack-8", size=0), cell("stack-10"))]
    now = [
        done(
            cell(size=16),
            cell("stack-10", agrees=False, reasons=["the count differs"]),
            cell("stack-11", agrees=False, reasons=["new and wrong"]),
            cell("stack-12"),
            complaints=[
                Complaint(kind="BUG", title="BUG: x", fingerprint="f", text="", case="stack-9")
            ],
            kernel_errors=[kernel_error("KernelDied: at boot\nmore")],
        )
    ]
    found = {(one.sort, one.place.case): one for one in compare.regressions(now, accepted)}
    assert set(found) == {
        (Sort.VERDICT, "stack-9"),
        (Sort.GONE, "stack-8"),
        (Sort.VERDICT, "stack-10"),
        (Sort.VERDICT, "stack-11"),
        (Sort.SPLAT, "stack-9"),
        (Sort.KERNEL, ""),
    }
    changed = found[Sort.VERDICT, "stack-9"]
    assert (changed.was, changed.is_) == ("leak 8", "leak 16")
    bytes_ = "corrupt: argument 8: byte 0 to 15 (it was: argument 8: byte 0 to 7)"
    assert changed.details == (bytes_,)


def test_other_words_for_the_same_are_no_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = [done(cell(agrees=False, reasons=["8 bytes are wrong"]), cell("stack-8", size=0))]
    now = [done(cell(agrees=False, reasons=["bytes 0 to 7 differ"]), cell("stack-8", size=0))]
    monkeypatch.setattr("harness.nightly.unit.described", lambda sizes: f"words {len(sizes)}")
    assert compare.regressions(now, accepted) == []
    # The same words for something else are one.
    (found,) = compare.regressions(
        [done(cell(size=9), cell("stack-8", size=0))], [done(cell(), cell("stack-8", size=0))]
    )
    assert (found.was, found.is_) == ("words 1, as predicted", "words 1, as predicted")


def test_what_differs_though_the_same_was_seen() -> None:
    reasons = ["64 bytes were saved, predicted 128"]
    good, bad = [done(cell(size=0))], [done(cell(size=0, agrees=False, reasons=reasons))]
    (worse,) = compare.regressions(bad, good)
    assert (worse.was, worse.is_) == ("intact, as predicted", "intact, not as predicted")
    assert worse.details == tuple(reasons)
    (better,) = compare.regressions(good, bad)
    assert (better.was, better.is_) == ("intact, not as predicted", "intact, as predicted")
    assert better.details == ("it was: 64 bytes were saved, predicted 128",)
    (found,) = compare.changes([good, bad, good]).values()
    assert [words for _, words in found] == [
        "intact", "intact, not as predicted", "intact, as predicted"
    ]  # fmt: skip


def test_without_an_accepted_run_cells_are_compared_with_predictions() -> None:
    (found,) = compare.regressions([done(cell(agrees=False, reasons=["x"]), cell("b"))], None)
    assert found.place == Place("debian:6.1", "gcc", "none", "stack-9")
    assert found.was == "as predicted"


def test_a_kernel_that_is_not_in_both_is_not_compared() -> None:
    both = [done(cell()), done(cell(), kernel="debian:5.10")]
    assert compare.regressions(both[:1], both) == []
    assert compare.regressions(both, both[:1]) == []


def test_what_our_own_failure_kept_from_being_played_is_no_regression() -> None:
    accepted = [done(cell(), cell("stack-8"))]
    assert [one.sort for one in compare.regressions([done(cell())], accepted)] == [Sort.GONE]
    assert compare.regressions([done(cell(), harness_errors=["no disk"])], accepted) == []


def test_a_survey_is_not_compared() -> None:
    accepted = [done(cell()), surveyed()]
    counted = replace(SURVEY, functions=1, worst=[])
    for now in (surveyed(counted), surveyed(None, harness_errors=["no BTF"])):
        assert compare.regressions([done(cell()), now], accepted) == []
        assert compare.regressions([done(cell()), now], None) == []
        # One that cannot be made does not hide a cell that is gone.
        gone = compare.regressions([done(cell("stack-8", size=0)), now], accepted)
        assert [one.sort for one in gone] == [Sort.GONE]


REFUSED = traced(refused="load: EINVAL", reads=[])
CHANGED = traced(reads=[Read.RIGHT] * 9, damage={"argument 8": [[0, 8]]})


@pytest.mark.parametrize(
    ("before", "now", "was", "is_", "details"),
    [
        # It agreed.
        (
            traced(),
            traced(status=Status.DIFFERS, reads=[Read.RIGHT] * 9, reasons=["was read as right"]),
            "8 right, 1 zero",
            "9 right",
            ("argument 8 is read as right (it was: zero)", "was read as right"),
        ),
        # A refusal has become a changed argument, as the rules of both releases say.
        (
            REFUSED,
            CHANGED,
            "refused",
            "9 right, argument 8 changed",
            (
                "corrupt: argument 8: byte 0 to 7 (it was: nothing)",
                "it was refused: load: EINVAL",
            ),
        ),
        (CHANGED, REFUSED, "9 right, argument 8 changed", "refused",
         ("corrupt: nothing (it was: argument 8: byte 0 to 7)", "refused: load: EINVAL")),
        # Another release has another rule, and each is kept.
        (
            traced(),
            traced(reads=[*[Read.RIGHT] * 8, Read.ABSENT]),
            "8 right, 1 zero",
            "8 right, 1 absent",
            ("argument 8 is read as absent (it was: zero)",),
        ),
        (
            CHANGED,
            replace(CHANGED, damage={"argument 8": [[0, 16]]}),
            "9 right, argument 8 changed, as predicted",
            "9 right, argument 8 changed, as predicted",
            ("corrupt: argument 8: byte 0 to 15 (it was: argument 8: byte 0 to 7)",),
        ),
        (traced(), traced(called=False), "8 right, 1 zero", "8 right, 1 zero, not called", ()),
        (
            traced(),
            traced(status=Status.DIFFERS),
            "8 right, 1 zero, as predicted",
            "8 right, 1 zero, not as predicted",
            (),
        ),
        # The kernel became newer than the rules, and is read otherwise.
        (
            traced(),
            traced(status=Status.UNPREDICTED, reads=[Read.RIGHT] * 9),
            "8 right, 1 zero",
            "9 right",
            ("argument 8 is read as right (it was: zero)",),
        ),
        (
            traced(),
            traced(status=Status.DIFFERS, reads=[], reasons=["The kernel died."]),
            "8 right, 1 zero",
            "no verdict",
            ("The kernel died.",),
        ),
    ],
)  # fmt: skip
def test_what_a_tracer_makes_of_a_function_has_changed(
    before: TracedCell, now: TracedCell, was: str, is_: str, details: tuple[str, ...]
) -> None:
    (found,) = compare.regressions([tracing(now)], [tracing(before)])
    assert found.sort is Sort.VERDICT
    assert found.place == Place("debian:6.1", "gcc", case="stack-9", tracer="fexit")
    assert str(found.place) == "debian:6.1, fexit x stack-9"
    assert (found.was, found.is_, found.details) == (was, is_, details)
    (changed,) = compare.changes([[tracing(one)] for one in (before, before, now)]).values()
    assert [index for index, _ in changed] == [0, 2]


def test_what_a_tracer_reads_as_before_is_no_regression() -> None:
    for before, now in (
        (traced(), traced()),
        # One byte of what happens to be there is right.
        (CHANGED, replace(CHANGED, damage={"argument 8": [[0, 3], [4, 8]]})),
        # In other words.
        (REFUSED, replace(REFUSED, refused="load: ENOTSUPP")),
        # It is as good on a kernel that is newer than all rules.
        (traced(), traced(status=Status.UNPREDICTED)),
        (traced(status=Status.UNPREDICTED), traced()),
    ):
        assert compare.regressions([tracing(now)], [tracing(before)]) == []
    for now in (traced(), traced(status=Status.UNPREDICTED)):
        # Without an accepted run, and in one that had no tracers.
        assert compare.regressions([done(cell()), tracing(now)], None) == []
        assert compare.regressions([done(cell()), tracing(now)], [done(cell())]) == []
    bad = traced(status=Status.DIFFERS, reasons=["x"])
    (found,) = compare.regressions([tracing(bad)], None)
    assert (found.was, found.is_) == ("as predicted", "8 right, 1 zero, not as predicted")
    (found,) = compare.regressions([done(cell()), tracing(bad)], [done(cell())])
    assert (found.was, found.place.tracer) == ("new", "fexit")


def test_tracers_that_our_own_failure_kept_from_being_played_are_no_regression() -> None:
    accepted = [done(cell()), tracing(traced())]
    (gone,) = compare.regressions([done(cell()), tracing()], accepted)
    assert (gone.sort, gone.was, gone.is_) == (Sort.GONE, "8 right, 1 zero", "not played")
    lost = tracing(harness_errors=["no disk"])
    assert compare.regressions([done(cell()), lost], accepted) == []
    # It hides no cell of a variant that is gone, nor the other way round.
    (gone,) = compare.regressions([done(), lost], accepted)
    assert gone.place.variant == "none"
    (gone,) = compare.regressions([done(harness_errors=["no disk"]), tracing()], accepted)
    assert gone.place.tracer == "fexit"


def test_a_cell_that_flaps_is_never_green_by_luck() -> None:
    steady = [done(cell()), done(cell(), repetition=2)]
    flaps = [done(cell()), done(cell(size=16), repetition=2)]
    assert len(compare.regressions(flaps, steady)) == 1
    # If a flapping cell was accepted, each of its results was.
    assert compare.regressions(flaps, flaps) == []
    assert compare.regressions(steady, flaps) == []


def test_when_a_cell_changed() -> None:
    nights = [[done(cell(size=size))] for size in (8, 8, 16, 8)]
    nights.insert(1, [])
    (found,) = compare.changes(nights).values()
    assert found == [(0, "leak 8"), (3, "leak 16"), (4, "leak 8")]


def test_the_same_complaint_of_another_boot() -> None:
    def splat(address: str, frame: str) -> Splat:
        title = f"Unable to handle kernel paging request at virtual address {address}"
        return Splat(SplatKind.OOPS, title, 3, [title, "Call trace:", f" {frame}+0x5c/0x1000 [m]"])

    one = fingerprint(splat("ffff800009e0bbf0", "probe"))
    assert one == fingerprint(splat("ffff80000a000000", "probe"))
    assert one != fingerprint(splat("ffff800009e0bbf0", "other"))


def test_a_fault_is_known_by_what_it_is_and_not_by_its_words() -> None:
    def found(now: KernelError, accepted: KernelError) -> list[compare.Regression]:
        return compare.regressions([done(kernel_errors=[now])], [done(kernel_errors=[accepted])])

    oops = KernelError(kind="KernelDied", fingerprint="a1", text="KernelDied: it fell at 0xff")
    assert found(replace(oops, text="other words"), oops) == []
    (new,) = found(replace(oops, fingerprint="b2"), oops)
    assert (new.sort, new.is_) == (Sort.KERNEL, oops.text)
    assert found(replace(oops, kind="KernelHung"), oops)
    # Of an older store nothing but the words is known.
    older = kernel_error("KernelDied: it fell at 0xee")
    assert found(oops, older) == []
    assert found(replace(oops, text="KernelDied: it fell over"), older)
