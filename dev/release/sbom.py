"""What a wheel and an image consist of, as CycloneDX: a wheel by its pinned requirements, an image by its files."""

from __future__ import annotations

import email.parser
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from dev.images.published import IMAGES, image_name
from dev.machine.errors import DevError
from dev.release.images import archive_name
from dev.release.oci_read import ReadImage, read_image
from dev.release.tree import Tree

_DPKG, _OS = "var/lib/dpkg/status", "etc/os-release"
_METADATA = r"opt/jobtide/lib/python[^/]+/site-packages/[^/]+\.dist-info/METADATA"
_DESCRIBING = re.compile(rf"{_DPKG}|(usr/lib|etc)/os-release|{_METADATA}")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def write_sboms(tree: Tree, out: Path) -> None:
    """Writes <artefact>.cdx.json for the wheel and each image in `out`."""
    wheel = out / f"jobtide-{tree.version}-py3-none-any.whl"
    requirements = {name: (tree.root / f"requirements/{name}.txt").read_text() for name in ("worker", "controller")}
    _write(wheel, _wheel(tree.version, wheel), wheel_components(requirements), tree)
    for image in IMAGES:
        archive = out / archive_name(image, tree.version)
        read = read_image(archive, _DESCRIBING)
        _write(archive, _image(image, tree.version, read), image_components(read), tree)


def wheel_components(requirements: Mapping[str, str]) -> Iterator[Component]:
    """What the worker needs is required; the controller's packages come with an extra."""
    required = dict(_PINNED.findall(requirements["worker"]))
    optional = dict(_PINNED.findall(requirements["controller"]))
    for name, version in sorted({**optional, **required}.items()):
        yield _python(name, version, scope=None if name in required else ComponentScope.OPTIONAL)


def image_components(image: ReadImage) -> Iterator[Component]:
    """Debian packages, Python where it is none of them, and Python packages."""
    parser = email.parser.Parser()
    system = _assignments(image.files.get("usr/lib/os-release") or image.files[_OS])
    for paragraph in image.files[_DPKG].decode().strip().split("\n\n"):
        package = parser.parsestr(paragraph)
        if package["Status"].endswith(" installed"):
            distribution = {"arch": package["Architecture"], "distro": f"{system['ID']}-{system['VERSION_ID']}"}
            purl = PackageURL("deb", system["ID"], package["Package"], package["Version"], distribution)
            yield _component(package["Package"], package["Version"], purl)
    if version := image.environment.get("PYTHON_VERSION"):
        yield _component("python", version, PackageURL("generic", None, "python", version))
    for path, content in image.files.items():
        if re.fullmatch(_METADATA, path):
            described = parser.parsestr(content.decode())
            yield _python(described["Name"], described["Version"], described["License-Expression"])


def render(root: Component, components: Iterable[Component], epoch: int, identity: str) -> str:
    """The JSON text; the same input has the same text. Raises DevError for what the schema refuses."""
    metadata = BomMetaData(component=root, timestamp=datetime.fromtimestamp(epoch, UTC))
    bom = Bom(components=components, metadata=metadata, serial_number=uuid5(NAMESPACE_URL, identity))
    bom.register_dependency(root, list(bom.components))
    text: str = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise DevError(f"the SBOM of {root.name} does not fit the schema of CycloneDX 1.6: {error}")
    return f"{text}\n"


def _write(artefact: Path, root: Component, components: Iterable[Component], tree: Tree) -> None:
    identity = f"{root.purl}#{tree.commit}"
    artefact.with_name(f"{artefact.name}.cdx.json").write_text(render(root, components, tree.epoch, identity))


def _wheel(version: str, wheel: Path) -> Component:
    content = HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(wheel.read_bytes()).hexdigest())
    return _python("jobtide", version, "Apache-2.0", hashes=[content])


def _image(name: str, version: str, image: ReadImage) -> Component:
    place = {"repository_url": image_name(name), "tag": version}
    purl = PackageURL("oci", None, name, image.digest, place)
    content = HashType(alg=HashAlgorithm.SHA_256, content=image.digest.removeprefix("sha256:"))
    return _component(name, version, purl, kind=ComponentType.CONTAINER, hashes=[content])


def _python(
    name: str,
    version: str,
    license_expression: str | None = None,
    *,
    scope: ComponentScope | None = None,
    hashes: Iterable[HashType] = (),
) -> Component:
    purl = PackageURL("pypi", None, re.sub(r"[-_.]+", "-", name).lower(), version)
    licenses = [LicenseExpression(license_expression)] if license_expression else []
    return Component(
        name=name, version=version, purl=purl, bom_ref=str(purl), licenses=licenses, scope=scope, hashes=hashes
    )


def _component(
    name: str,
    version: str,
    purl: PackageURL,
    *,
    kind: ComponentType = ComponentType.LIBRARY,
    hashes: Iterable[HashType] = (),
) -> Component:
    return Component(name=name, version=version, purl=purl, bom_ref=str(purl), type=kind, hashes=hashes)


def _assignments(content: bytes) -> dict[str, str]:
    """Of a file like /etc/os-release."""
    return {key: value.strip('"') for key, value in re.findall(r"^(\w+)=(.*)$", content.decode(), re.MULTILINE)}
