"""The client does not retry: its callers decide whether to ask again."""

from __future__ import annotations

import json

import pytest
import yaml
from aiohttp import web

from jobtide_controller.kube.api.client import Api, ApiError, load_configuration, yaml_text


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_refusal_is_raised_at_once_without_a_retry(status, tmp_path, monkeypatch):
    asked = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.json_response({"message": "not now", "code": status}, status=status)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    server = web.AppRunner(application)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    port = server.addresses[0][1]
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, port)))
    api = Api(await load_configuration())
    try:
        with pytest.raises(ApiError):
            await api.get("/api/v1/pods", timeout_seconds=5)
    finally:
        await api.close()
        await server.cleanup()
    assert asked == ["GET"]


def kubeconfig(folder, port):
    context = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(context))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f600",
        "\x7f\x80\x85",
        "\u2028\u2029",
        "\ufeff\ufffe\uffff",
        "\x00\x1b\t\n",
        "\\ud83d\\n",
        '"',
        "\u202e",
        "a$$b",
    ],
    ids=ascii,
)
def test_every_text_is_the_same_in_json_and_in_yaml(text):
    body = {"a": [text, {text: text}]}
    sent = yaml_text(body)
    assert json.loads(sent) == body
    assert yaml.safe_load(sent) == body


@pytest.mark.parametrize(
    ("environ", "given", "expected"),
    [
        pytest.param({}, None, None, id="none"),
        pytest.param({"http_proxy": "http://p:1"}, None, "http://p:1", id="of the environment"),
        pytest.param({"http_proxy": "http://p:1", "no_proxy": "127.0.0.1"}, None, None, id="not for this address"),
        pytest.param({"http_proxy": "http://p:1"}, "http://q:1", "http://q:1", id="of the kubeconfig"),
    ],
)
async def test_a_proxy_is_looked_up_once(environ, given, expected, tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    path = kubeconfig(tmp_path, 1)
    context = yaml.safe_load(path.read_text())
    context["clusters"][0]["cluster"] |= {"proxy-url": given} if given else {}
    path.write_text(yaml.safe_dump(context))
    monkeypatch.setenv("KUBECONFIG", str(path))
    configuration = await load_configuration()
    assert configuration.proxy == expected
    assert configuration.client_session_kwargs == {"trust_env": False}
