"""ui/vendor holds what its manifest says: third-party code, unchanged, with its licences. Needs no node."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

VENDOR = Path(__file__).parent.parent / "ui" / "vendor"
MANIFEST = json.loads((VENDOR / "MANIFEST.json").read_text(encoding="utf-8"))
LOCK = VENDOR.parent.parent / "tools" / "vendor" / "package-lock.json"


@pytest.mark.parametrize("name", MANIFEST["files"])
def test_file_has_the_bytes_of_the_manifest(name: str) -> None:
    content = (VENDOR / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == MANIFEST["files"][name]["sha256"]


def test_every_file_is_in_the_manifest() -> None:
    assert {path.name for path in VENDOR.iterdir()} == {*MANIFEST["files"], "MANIFEST.json"}


def test_bundle_stays_under_one_megabyte() -> None:
    assert (VENDOR / "graph3d.js").stat().st_size < 1_000_000


def test_every_package_is_permissive_pinned_and_has_its_licence_text() -> None:
    licences = (VENDOR / "LICENSES.txt").read_text(encoding="utf-8")
    for package in MANIFEST["packages"]:
        assert package["license"] in {"MIT", "ISC", "BSD-3-Clause"}, package
        assert package["integrity"].startswith("sha512-"), package
        assert f"{package['name']} {package['version']} ({package['license']})" in licences


def test_lock_file_pins_the_same_packages_and_names_no_host() -> None:
    text = LOCK.read_text(encoding="utf-8")
    pinned = json.loads(text)["packages"]
    for package in MANIFEST["packages"]:
        entry = pinned[f"node_modules/{package['name']}"]
        assert (entry["version"], entry["integrity"]) == (package["version"], package["integrity"])
    assert '"resolved"' not in text
