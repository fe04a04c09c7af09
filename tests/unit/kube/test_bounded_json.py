"""Answers of the API server are parsed in bounded memory and at any depth, and an object costs no other one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobtide_controller.api.faults import TEMPLATE_DEPTH, faults, levels_of
from jobtide_controller.kube.api.bounded_json import WHOLE_BYTES, bounded_event, parse


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def text_of(name: str, content: str) -> str:
    """A pool as the API server sends it, with this content in its template."""
    metadata = json.dumps({"managedFields": [{"f": 'brackets in text: "}{]['}], "name": name, "uid": f"uid-{name}"})
    spec = f'{{"template":{{"metadata":{{"x":{content}}},"spec":{{}}}},"types":["a"]}}'
    return f'{{"apiVersion":"v","kind":"K","metadata":{metadata},"spec":{spec},"status":{{"pending":1}}}}'


MANY = "[" + ",".join(["{}"] * 400_000) + "]"

HOSTILE = [
    pytest.param(nested(5_000), "levels deep", id="deep"),
    pytest.param(MANY, "bytes of JSON", id="many objects"),
    pytest.param('"' + '\\"}' * 400_000 + '"', "bytes of JSON", id="long text"),
    pytest.param(f"[{MANY},{nested(5_000)}]", "levels deep", id="many and deep"),
]


def assert_kept_by_name(found: dict[str, Any], words: str) -> None:
    assert found["metadata"]["uid"] == "uid-bad"
    assert found["status"] == {"pending": 1}
    assert found["spec"]["types"] == ["a"]
    assert words in faults(found["spec"])[0]


@pytest.mark.parametrize(("content", "words"), HOSTILE)
def test_an_object_beyond_the_limits_keeps_its_name_and_says_what_it_had(content, words):
    assert_kept_by_name(parse(text_of("bad", content).encode()), words)


@pytest.mark.parametrize(("content", "words"), HOSTILE)
def test_the_other_objects_of_its_page_are_whole(content, words):
    good = text_of("good", "1")
    page = f'{{"apiVersion":"v","items":[{good},{text_of("bad", content)},{good}],"metadata":{{"continue":"x"}}}}'
    found = parse(page.encode())
    assert found["metadata"] == {"continue": "x"}
    assert [item["metadata"]["name"] for item in found["items"]] == ["good", "bad", "good"]
    assert found["items"][0] == found["items"][2] == json.loads(good)
    assert_kept_by_name(found["items"][1], words)


@pytest.mark.parametrize(("content", "words"), HOSTILE)
def test_an_event_is_given_to_another_parser_in_bounded_size(content, words):
    event = bounded_event(f'{{"type":"ADDED","object":{text_of("bad", content)}}}'.encode())
    assert len(event) < 1_000
    found = json.loads(event)
    assert found["type"] == "ADDED"
    assert_kept_by_name(found["object"], words)


@pytest.mark.parametrize("levels", range(880, 1_000, 7))
def test_an_event_that_can_just_be_parsed_here_is_shallow_for_another_parser(levels):
    event = bounded_event(f'{{"type":"MODIFIED","object":{text_of("bad", nested(levels))}}}'.encode())
    assert levels_of(json.loads(event)) < TEMPLATE_DEPTH
    assert_kept_by_name(json.loads(event)["object"], "levels deep")


def test_a_large_page_of_ordinary_objects_is_whole():
    item = text_of("good", '"' + "x" * 100_000 + '"')
    page = f'{{"kind":"L","metadata":{{"resourceVersion":"1"}},"items":[{",".join([item] * 30)}]}}'
    assert len(page) > WHOLE_BYTES
    assert parse(page.encode()) == json.loads(page)


def test_an_ordinary_event_is_not_touched():
    event = f'{{"type":"ADDED","object":{text_of("good", nested(10))}}}'.encode()
    assert bounded_event(event) is event


def test_an_empty_page_is_a_page():
    assert parse(b'{"items":[],"metadata":{}}') == {"items": [], "metadata": {}}
