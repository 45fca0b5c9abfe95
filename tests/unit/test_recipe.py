# SPDX-License-Identifier: GPL-2.0-only
"""What goes into a guest's root file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import resources
from harness.errors import ConfigError
from harness.guest import recipe, share


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(resources, "images", lambda: tmp_path)
    for path, text in (
        ("one/init", "first"),
        ("one/etc/setup", "setup"),
        ("two/init", "second"),
        ("two/recipe.yaml", "drivers: [virtio_mmio, virtio_net]"),
        ("three/recipe.yaml", "drivers: [virtio_mmio, squashfs]"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_later_recipe_wins(images: Path) -> None:
    assert recipe.load("one", "two").files == {"init": b"second", "etc/setup": b"setup"}
    assert recipe.load("two", "one").files["init"] == b"first"
    assert recipe.load("two", "three").drivers == ("virtio_mmio", "virtio_net", "squashfs")


def test_every_difference_changes_the_key(images: Path) -> None:
    names = [("one",), ("two",), ("one", "two"), ("two", "one"), ("one", "three")]
    assert len({recipe.load(*chosen).stamp for chosen in names}) == len(names)


def test_an_unknown_need(images: Path) -> None:
    (images / "two/recipe.yaml").write_text("driver: [x]")
    with pytest.raises(ConfigError, match="recipe"):
        recipe.load("two")


def test_shares_bear_the_names_of_folders(tmp_path: Path) -> None:
    for name in ("a b", "this name is far too long for a disk", "sub/a b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    long = "this name is far too long for a disk"
    made = share.named([tmp_path / "a b", tmp_path / long])
    assert [one.name for one in made] == ["a_b", "this_name_is_far_too"]
    with pytest.raises(ConfigError, match="under its own name"):
        share.named([tmp_path / "a b", tmp_path / "sub/a b"])
    (tmp_path / ("é" * 15)).mkdir()
    assert [one.name for one in share.named([tmp_path / ("é" * 15)])] == ["é" * 10]
    with pytest.raises(ConfigError, match="is not a directory"):
        share.named([tmp_path / "file"])
    with pytest.raises(ConfigError, match="under its own name"):
        share.named([Path("/")])
