"""What the API server refuses is refused without one, with the same words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from jobtide_controller.api.refusals import refusals

ROOT = Path(__file__).parents[3]
BAD = sorted((ROOT / "tests/cluster/bad").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
REFUSED = "# refused: "


def read(file):
    for document in yaml.safe_load_all(file.read_text()):
        if document["kind"] == "JobWorkerPool":
            document["metadata"].setdefault("namespace", "default")
            yield document


@pytest.mark.parametrize("file", [pytest.param(path, id=path.stem) for path in BAD])
def test_what_the_api_server_refuses_is_refused_in_its_words(file):
    (document,) = read(file)
    expected = file.read_text().splitlines()[0].removeprefix(REFUSED)
    assert expected in "\n".join(refusals(document))


def test_the_pools_of_the_examples_are_accepted():
    found = [document for file in EXAMPLES for document in read(file)]
    assert found
    assert [refusals(document) for document in found] == [[]] * len(found)
