"""`omnidex index --engine ray` before there is any cluster."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Ended

Run = Callable[..., Ended]


def test_without_ray_it_says_what_to_install_and_keeps_the_collection(
    media: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = omnidex("index", media, "--engine", "ray")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == 'Error: Ray is not installed\nHint: pip install "omnidex[ray]"\n'
    assert omnidex("index", media).code == 0


def test_an_unchanged_folder_needs_no_cluster(
    media: Path, omnidex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    omnidex("index", media)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert omnidex("index", media, "--engine", "ray").code == 0


def test_watching_is_for_one_machine(media: Path, omnidex: Run) -> None:
    ended = omnidex("index", media, "--engine", "ray", "--watch")

    assert ended.code != 0
    assert "one machine" in ended.err
