from __future__ import annotations

from pathlib import Path

import pytest

from jobtide_controller.settings import Settings, SettingsError


def test_an_empty_environment_means_the_defaults():
    assert Settings.from_env({}) == Settings()
    assert Settings.from_env({"JOBTIDE_NAMESPACES": "", "JOBTIDE_HTTP_PORT": " "}) == Settings()


def test_every_setting_is_read():
    env = {
        "JOBTIDE_DATABASES_DIR": "/databases",
        "JOBTIDE_NAMESPACES": "media, crm,media",
        "JOBTIDE_NAMESPACE": "jobtide",
        "JOBTIDE_POD_NAME": "jobtide-0",
        "JOBTIDE_LEASE_NAME": "leader",
        "JOBTIDE_HTTP_PORT": "9090",
        "JOBTIDE_LOG_LEVEL": "debug",
        "JOBTIDE_LOG_FORMAT": "TEXT",
        "JOBTIDE_TICK_MIN_SECONDS": "0.5",
        "JOBTIDE_TICK_MAX_SECONDS": "10",
        "JOBTIDE_READ_TIMEOUT_SECONDS": "3",
        "JOBTIDE_RESYNC_SECONDS": "60",
        "JOBTIDE_DEPTH_CAP": "500",
        "JOBTIDE_CONNECTION_BUDGETS": '{"main": 40, "reports": 6}',
        "JOBTIDE_DATABASE_NAMESPACES": '{"main": ["media"], "reports": ["media", "crm"]}',
        "JOBTIDE_SHOW_TENANTS": "main, reports",
        "JOBTIDE_PAGE_ENABLED": "true",
        "JOBTIDE_PAGE_PORT": "9091",
        "JOBTIDE_PAGE_PATH": "/jobtide",
        "JOBTIDE_OPERATORS_DIR": "/operators",
    }
    assert Settings.from_env(env) == Settings(
        databases_dir=Path("/databases"),
        namespaces=("media", "crm"),
        namespace="jobtide",
        pod_name="jobtide-0",
        lease_name="leader",
        http_port=9090,
        log_level="DEBUG",
        log_format="text",
        tick_min_seconds=0.5,
        tick_max_seconds=10,
        read_timeout_seconds=3,
        resync_seconds=60,
        depth_cap=500,
        connection_budgets={"main": 40, "reports": 6},
        database_namespaces={"main": ("media",), "reports": ("media", "crm")},
        show_tenants=("main", "reports"),
        page_enabled=True,
        page_port=9091,
        page_path="/jobtide",
        operators_dir=Path("/operators"),
    )


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("JOBTIDE_HTTP_PORT", "http", "a whole number from 0 to 65535"),
        ("JOBTIDE_HTTP_PORT", "70000", "from 0 to 65535"),
        ("JOBTIDE_HTTP_PORT", "80.5", "a whole number"),
        ("JOBTIDE_PAGE_ENABLED", "perhaps", "true or false"),
        ("JOBTIDE_PAGE_PATH", "/jobtide/", "without a slash at its end"),
        ("JOBTIDE_TICK_MIN_SECONDS", "0", "from 0.05"),
        ("JOBTIDE_TICK_MIN_SECONDS", "nan", "from 0.05"),
        ("JOBTIDE_TICK_MAX_SECONDS", "0.1", "at least 0.2, the value of JOBTIDE_TICK_MIN_SECONDS"),
        ("JOBTIDE_READ_TIMEOUT_SECONDS", "soon", "a number of seconds"),
        ("JOBTIDE_RESYNC_SECONDS", "-1", "from 1"),
        ("JOBTIDE_DEPTH_CAP", "10", "from 50"),
        ("JOBTIDE_CONNECTION_BUDGETS", "main=40", 'such as {"main": 40}'),
        ("JOBTIDE_CONNECTION_BUDGETS", "40", 'such as {"main": 40}'),
        ("JOBTIDE_CONNECTION_BUDGETS", '{"main": 1}', "from 2 to 1000000"),
        ("JOBTIDE_CONNECTION_BUDGETS", '{"main": true}', "whole numbers"),
        ("JOBTIDE_CONNECTION_BUDGETS", '{"main": "40"}', "whole numbers"),
        ("JOBTIDE_DATABASE_NAMESPACES", "media", 'such as {"main": ["media"]}'),
        ("JOBTIDE_DATABASE_NAMESPACES", '{"main": "media"}', 'such as {"main": ["media"]}'),
        ("JOBTIDE_DATABASE_NAMESPACES", '{"main": []}', 'such as {"main": ["media"]}'),
        ("JOBTIDE_DATABASE_NAMESPACES", '{"main": ["Media"]}', 'such as {"main": ["media"]}'),
        ("JOBTIDE_LOG_LEVEL", "loud", "DEBUG, INFO, WARNING, ERROR"),
        ("JOBTIDE_LOG_FORMAT", "xml", "json, text"),
        ("JOBTIDE_NAMESPACES", "media;crm", "names separated by commas"),
        ("JOBTIDE_NAMESPACES", "media,c_rm", '"c_rm" is no name of a namespace'),
    ],
)
def test_an_invalid_setting_is_named_with_its_value_and_valid_values(name, value, advice):
    with pytest.raises(SettingsError) as error:
        Settings.from_env({name: value})
    assert name in str(error.value)
    assert value in str(error.value)
    assert advice in str(error.value)


def test_the_default_tick_max_is_at_least_tick_min():
    assert Settings.from_env({"JOBTIDE_TICK_MIN_SECONDS": "20"}).tick_max_seconds == 20
