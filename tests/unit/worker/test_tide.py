"""Registering and loading handlers: each mistake raises at the place where it is made, with the reason."""

from __future__ import annotations

import sys
import textwrap

import pytest
from pydantic import BaseModel

from jobtide import Fail, Tide
from jobtide.commands.loading import choose_types, load_tide
from jobtide.errors import AttributeWrong, LoadError, ModuleMissing, NoHandlers


class Mail(BaseModel):
    to: str
    copies: int = 1


def test_a_handler_stays_a_plain_function():
    tide = Tide()

    @tide.job("mail.send")
    def send(payload):
        return payload

    assert send(7) == 7
    assert "mail.send" in tide


@pytest.mark.parametrize(
    ("function", "wants_context"),
    [
        pytest.param(lambda payload: payload, False, id="payload"),
        pytest.param(lambda payload, ctx: (payload, ctx), True, id="payload, ctx"),
        pytest.param(lambda payload, ctx=None: (payload, ctx), True, id="ctx with a default"),
        pytest.param(lambda payload, *, flag=True: (payload, flag), False, id="own keyword-only settings"),
    ],
)
def test_the_signature_decides_what_a_handler_gets(function, wants_context):
    tide = Tide()
    tide.job("t")(function)
    assert tide.handlers["t"].arguments({}, "ctx") == (({}, "ctx") if wants_context else ({},))


@pytest.mark.parametrize(
    "function",
    [lambda: None, lambda payload, ctx, third: None, lambda *, payload: None],
    ids=["no parameter", "three parameters", "keyword only"],
)
def test_a_function_that_cannot_be_called_is_refused_at_registration(function):
    with pytest.raises(ValueError, match=r"a handler takes \(payload\) or \(payload, ctx\)"):
        Tide().job("t")(function)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"type_": ""}, "matched exactly"),
        ({"type_": " mail"}, "matched exactly"),
        ({"type_": "t", "max_attempts": 0}, "max_attempts=0"),
        ({"type_": "t", "timeout_seconds": 0}, "timeout_seconds=0"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_at_registration(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        Tide().job(**arguments)


def test_two_handlers_for_one_type_are_refused():
    tide = Tide()
    tide.job("t")(lambda payload: 1)
    with pytest.raises(ValueError, match="has a handler already"):
        tide.job("t")(lambda payload: 2)


def send_mail(payload: Mail): ...
def take_object(payload: dict): ...
def take_array(payload: list): ...
def take_anything(payload): ...


@pytest.mark.parametrize(
    ("function", "payload", "expected"),
    [
        pytest.param(send_mail, {"to": "a"}, Mail(to="a"), id="a pydantic model"),
        pytest.param(take_object, {"a": 1}, {"a": 1}, id="dict"),
        pytest.param(take_array, [1], [1], id="list"),
        pytest.param(take_anything, "text", "text", id="no annotation"),
    ],
)
def test_the_annotation_types_the_payload(function, payload, expected):
    tide = Tide()
    tide.job("t")(function)
    assert tide.handlers["t"].arguments(payload, None) == (expected,)


@pytest.mark.parametrize(
    ("function", "payload", "reason"),
    [
        pytest.param(send_mail, {"copies": "x"}, r"to: Field required; copies: .*integer", id="each field in words"),
        pytest.param(send_mail, 3, "payload: Input should be a valid dictionary", id="not an object at all"),
        pytest.param(take_object, [], "expected an object, got list", id="an array for an object"),
        pytest.param(take_array, {}, "expected an array, got dict", id="an object for an array"),
    ],
)
def test_a_payload_that_does_not_fit_fails_at_once(function, payload, reason):
    tide = Tide()
    tide.job("t")(function)
    with pytest.raises(Fail, match=reason):
        tide.handlers["t"].arguments(payload, None)


def test_the_error_of_a_typed_payload_without_pydantic_names_what_to_add(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ValueError, match="add pydantic to the image"):
        Tide().job("t")(send_mail)


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A user's package `acme` with jobs, on the path for one test."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/__init__.py").touch()
    (tmp_path / "acme/jobs.py").write_text(
        textwrap.dedent("""
        from jobtide import Tide
        tide, empty, text = Tide(), Tide(), "no tide"
        @tide.job("mail.send")
        def send(payload): ...
        """)
    )
    (tmp_path / "acme/broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "acme"]:
        del sys.modules[name]


def test_an_application_is_loaded_by_module_and_attribute(acme):
    assert list(load_tide("acme.jobs:tide").handlers) == ["mail.send"]


@pytest.mark.parametrize(
    ("target", "error", "reason"),
    [
        pytest.param("acme.jobs", LoadError, "not of the form module:attribute", id="no attribute"),
        pytest.param("acme.work:tide", ModuleMissing, "no module 'acme.work'", id="missing module"),
        pytest.param("acne.jobs:tide", ModuleMissing, "no module 'acne'", id="missing package"),
        pytest.param("acme.jobs:tied", AttributeWrong, "no attribute 'tied'; it has tide", id="wrong attribute"),
        pytest.param("acme.jobs:text", AttributeWrong, "is a str, not a jobtide.Tide", id="not a Tide"),
        pytest.param("acme.jobs:empty", NoHandlers, "has no handlers; register one", id="no handlers"),
    ],
)
def test_each_way_of_not_loading_has_its_own_error(acme, target, error, reason):
    with pytest.raises(error, match=reason):
        load_tide(target)


def test_an_error_inside_the_application_passes_through(acme):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_tide("acme.broken:tide")


def test_a_type_of_the_pool_without_a_handler_is_an_error(acme):
    with pytest.raises(NoHandlers, match=r"asks for 'mail.get' .* only has handlers for 'mail.send'"):
        choose_types(load_tide("acme.jobs:tide"), ("mail.send", "mail.get"))


def test_without_types_a_worker_claims_every_type_that_has_a_handler(acme):
    assert choose_types(load_tide("acme.jobs:tide"), None) == ("mail.send",)


@pytest.mark.parametrize(
    "settings",
    [
        {"memory_bytes": 1},
        {"recycle_after": 1},
        {"process": True, "memory_bytes": 0},
        {"process": True, "recycle_after": 0},
    ],
    ids=str,
)
def test_limits_of_a_process_need_a_process(settings):
    with pytest.raises(ValueError, match="expected at least 1, together with process=True"):
        Tide().job("t", **settings)
