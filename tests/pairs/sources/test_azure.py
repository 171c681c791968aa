"""Pairs of Microsoft's generated clients, in packages laid out as pip installs them."""

import sys
from pathlib import Path

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.sources.azure import AzureDocs

MODELS = '''class Box(_Model):
    """The box. It is not read, for it is a docstring.

    :ivar size: The size.
    """

    size: int = rest_field(name="size")
    """The size of the box in litres. It must not change. Required. Known values are: 1 and 2."""
    colour: str
    """One sentence only, however long it is. Required."""
    other: int
    """The size of the box in litres. It must not change. Required. Known values are: 1 and 2."""
'''
GRAPH = """@dataclass
class Message(Parsable):
    # The OdataType property
    odata_type: str = ""
    # The owner of the mailbox which the message left. In most cases, it is the <b>sender</b>. Read-only.
    from_: str = ""

    def parse(self):
        # A comment in the code. It is not read.
        return None
"""


def install(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    )
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that is all Python finds."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_properties_are_read_in_both_styles(site: Path) -> None:
    models = "azure/mgmt/box/models/_models.py"
    install(
        site, "azure-mgmt-box", "1.2", {models: MODELS, "azure/mgmt/box/aio/models.py": MODELS.replace("box", "bin")}
    )
    install(site, "msgraph-sdk", "3", {"msgraph/generated/models/message.py": GRAPH, "msgraph/client.py": GRAPH})
    source = AzureDocs()
    assert list(source.read()) == [
        RawPair("The size of the box in litres.", "It must not change.", "azure-mgmt-box"),
        RawPair("The owner of the mailbox which the message left.", "In most cases, it is the sender.", "message"),
    ]
    assert source.versions() == {"azure-mgmt-box": "1.2", "msgraph-sdk": "3"}
    assert source.licences() == {"azure-mgmt-box": "MIT", "msgraph-sdk": "MIT"}
    (site / models).unlink()
    with pytest.raises(PairsError, match=rf"^cannot read {models} of package azure-mgmt-box: "):
        list(AzureDocs().read())


def test_without_any_package_it_says_how_to_get_one(site: Path) -> None:
    assert site.is_dir()
    with pytest.raises(
        PairsError, match=r"^no package of Microsoft's APIs is installed; get some with: pip install msgr"
    ):
        AzureDocs().versions()


def test_what_a_broken_installation_left_is_passed_over(site: Path) -> None:
    """Without its metadata a package has no name, beside which no name can be sorted."""
    install(site, "azure-mgmt-box", "1.2", {"azure/mgmt/box/models/_models.py": MODELS})
    (site / "gone-1.0.dist-info").mkdir()
    assert AzureDocs().versions() == {"azure-mgmt-box": "1.2"}
