# SPDX-License-Identifier: GPL-2.0-only
"""The catalog, a place for broken copies of the modules, and one full run."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import resources
from harness.abi.ctype import CType
from harness.abi.descriptor import Part
from harness.cases.catalog import Catalog
from harness.guest.deadlines import Deadlines
from harness.host import cache
from harness.kernel.kernel import Kernel
from harness.model import assembled
from harness.model.case import Case
from harness.modules import build as modules
from harness.modules import casegen
from harness.run import repro
from harness.run.observer import Observer
from harness.run.plan import Outcome, plays
from harness.run.result import Result

# A guest of ours on a loaded machine needs a second; nothing here needs more.
DEADLINES = Deadlines(play=20, ping=10, end=20)


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "how often tracers are attached to a function under load and detached again"
    parser.addoption("--cycles", type=int, default=45, help=what)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog()


Stores = Callable[[Case], list[str]]


@pytest.fixture
def other_stores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Stores], None]:
    """Has handlers make other stores, in modules that no other run takes from the cache."""

    def change(stores: Stores) -> None:
        maker = tmp_path / "stores"
        maker.write_text(inspect.getsource(stores))
        monkeypatch.setattr(casegen, "handler_stores", stores)
        monkeypatch.setattr(modules, "MAKERS", (*modules.MAKERS, str(maker)))

    return change


Descriptor = Callable[[Sequence[CType]], tuple[Part, ...]]


@pytest.fixture
def other_descriptor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Descriptor], None]:
    """Gives the guest other descriptors, in modules that no other run takes from the cache."""

    def change(made: Descriptor) -> None:
        maker = tmp_path / "descriptor"
        maker.write_text(inspect.getsource(made))
        monkeypatch.setattr(casegen, "descriptor", made)
        monkeypatch.setattr(assembled, "descriptor", made)
        monkeypatch.setattr(modules, "MAKERS", (*modules.MAKERS, str(maker)))

    return change


@pytest.fixture(scope="session")
def cache_home() -> str:
    """The user's own."""
    return str(cache.root().parent)


@pytest.fixture
def cached(cache_home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pytester, which goes without a home, use what was fetched and built before."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache_home)


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory, kernel: Kernel) -> dict[str, Any]:
    """The main job as a user runs it, from a folder that is not the project's."""
    folder = tmp_path_factory.mktemp("repro")
    done = subprocess.run(
        ["jprobe-harness", "repro", "--kernel", kernel.spec, "--json", "out.json",
         "--junit", "out.xml", "--ktap", "out.ktap"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads((folder / "out.json").read_text())
    document["folder"] = str(folder)
    document["stdout"] = done.stdout
    return document


BrokenTree = Callable[[str, str, str], Path]


@pytest.fixture(scope="session")
def broken_tree(tmp_path_factory: pytest.TempPathFactory) -> BrokenTree:
    """Makes a copy of the modules' sources in which one thing was replaced."""

    def make(file: str, old: str, new: str) -> Path:
        root = tmp_path_factory.mktemp("broken") / "kernel-modules"
        shutil.copytree(resources.kernel_modules(), root)
        path = root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))
        return root

    return make


Broken = Callable[..., Result]


@pytest.fixture(scope="session")
def broken(broken_tree: BrokenTree, kernel: Kernel, catalog: Catalog) -> Broken:
    """Play cases with a copy of the modules in which one thing was replaced."""

    def play(
        file: str,
        old: str,
        new: str,
        *,
        cases: list[str],
        variants: list[str],
        deadlines: Deadlines = DEADLINES,
        observer: Observer | None = None,
    ) -> Result:
        chosen = catalog.select_cases(cases)
        built = modules.build(kernel, chosen, root=broken_tree(file, old, new))
        plan = plays(catalog.select_variants(variants), chosen)
        return repro.run(kernel, built, plan, deadlines=deadlines, observer=observer)

    return play


def names(outcomes: list[Outcome]) -> set[str]:
    return {outcome.play.case.name for outcome in outcomes}
