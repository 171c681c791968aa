"""Pairs of the documentation inside packages, with versions and licences."""

import gzip
import importlib.metadata
import json
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.sources import aws, base, docstrings, google
from embudget.pairs.sources.aws import AwsDocs, pairs_of_service
from embudget.pairs.sources.docstrings import Docstrings
from embudget.pairs.sources.google import GoogleDocs, pairs_of_api


def test_aws_reads_services_operations_shapes_and_members() -> None:
    model = {
        "documentation": "<fullname>Amazon Box</fullname><p>Box keeps things. It keeps them well.</p>",
        "operations": {
            "Get": {"documentation": "<p>Gets <code>one</code> box.</p><p>It must exist &amp; be open.</p>"}
        },
        "shapes": {
            "Box": {
                "documentation": "<p>One sentence only.</p>",
                "members": {"Size": {"shape": "Int", "documentation": "<p>The size, e.g. 3. Not more than 9.</p>"}},
            },
            "List": {
                "member": {"documentation": "<p>Gets <code>one</code> box.</p><p>It must exist &amp; be open.</p>"}
            },
        },
    }
    assert list(pairs_of_service(model, "box")) == [
        RawPair("Amazon Box\nBox keeps things.", "It keeps them well.", "box"),
        RawPair("Gets one box.", "It must exist & be open.", "box"),
        RawPair("The size, e.g. 3.", "Not more than 9.", "box"),
    ]


def test_aws_takes_the_latest_version_of_each_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version, text in [("2014-01-01", "Old words stay here. Gone."), ("2020-01-01", "New words stay here. Here.")]:
        folder = tmp_path / "box" / version
        folder.mkdir(parents=True)
        (folder / "service-2.json.gz").write_bytes(gzip.compress(json.dumps({"documentation": text}).encode()))
    (tmp_path / "endpoints.json").write_text("{}")
    monkeypatch.setattr(aws, "package_folder", lambda package, folder: tmp_path)
    assert list(AwsDocs().read()) == [RawPair("New words stay here.", "Here.", "box")]
    (folder / "service-2.json.gz").write_bytes(b"damaged")
    with pytest.raises(PairsError, match=r"^cannot read service-2.json.gz of botocore's service box: "):
        list(AwsDocs().read())


def test_google_reads_schemas_methods_and_nested_resources() -> None:
    document = {
        "description": "Manages boxes.",
        "schemas": {
            "Box": {
                "description": "Output only. A box of things. See [docs](https://example.com) for **more**.",
                "properties": {"size": {"items": {"description": "Required. The size of it. At least 1 is needed."}}},
            }
        },
        "resources": {
            "boxes": {"resources": {"lids": {"methods": {"get": {
                "description": "Gets one lid. It must fit.",
                "parameters": {"id": {"description": "<b>Which lid</b> it is.<br>A number."}},
            }}}}}
        },
    }  # fmt: skip
    assert [pair[:2] for pair in pairs_of_api(document, "box")] == [
        ("A box of things.", "See docs for more."),
        ("The size of it.", "At least 1 is needed."),
        ("Gets one lid.", "It must fit."),
        ("Which lid it is.", "A number."),
    ]


def test_google_versions_of_an_api_are_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("v1", "v2"):
        document = {"name": "box", "version": version, "description": f"Manages all boxes {version}. And lids."}
        (tmp_path / f"box.{version}.json").write_text(json.dumps(document))
    (tmp_path / "index.json").write_text('{"items": []}')
    monkeypatch.setattr(google, "package_folder", lambda package, folder: tmp_path)
    assert [pair.group for pair in GoogleDocs().read()] == ["box", "box"]


def test_sources_know_their_versions_and_licences() -> None:
    for source in (AwsDocs(), GoogleDocs()):
        assert source.versions().keys() == source.licences().keys()
        assert all("Apache" in licence for licence in source.licences().values())
    licences = Docstrings().licences()
    assert licences.keys() == Docstrings().versions().keys() == set(docstrings.PACKAGES)
    assert not any("GPL" in licence for licence in licences.values())
    assert not any("+" in version for version in Docstrings().versions().values())


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(
        PairsError, match=r"^package botocore is not installed; get it with: pip install 'embudget\[demo"
    ):
        AwsDocs().versions()
    with pytest.raises(PairsError, match=r"^package accelerate is not installed; .*'embudget\[train,demo\]'$"):
        Docstrings().versions()


def test_a_package_without_its_data_is_an_error() -> None:
    with pytest.raises(PairsError, match=r"^package botocore has no folder botocore/nothing; reinstall it"):
        base.package_folder("botocore", "botocore/nothing")
