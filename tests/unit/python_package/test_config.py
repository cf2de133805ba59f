# SPDX-License-Identifier: Apache-2.0
"""corn.config: settings as a script sees them."""
import functools
import json
import os

import pytest

from corn.config import Config, make_settings
from corn.workers.gthread import ThreadWorker


def values(cfg):
    return {name: (text, kind) for name, text, kind, _ in cfg.given_values()}


def test_every_setting_is_an_attribute_with_its_default():
    cfg = Config()
    assert (cfg.workers, cfg.timeout, cfg.bind, cfg.preload_app) == (1, 30, ["127.0.0.1:8000"], False)
    assert cfg.worker_exit is None
    assert cfg.given_values() == []


@pytest.mark.parametrize("name, value, result", [
    ("workers", "3", 3), ("workers", 3.0, 3), ("timeout", "2.5", 2.5), ("timeout", 60, 60),
    ("bind", "a:1, b:2", ["a:1", "b:2"]), ("bind", ["a:1"], ["a:1"]), ("bind", ("a:1", "b:2"),
     ["a:1", "b:2"]), ("raw_env", "A=1,2", ["A=1,2"]), ("umask", "022", 0o22), ("umask", 18, 18),
    ("preload_app", "True", True), ("max_memory", "512M", "512M"), ("reload_surge", "50%", "50%"),
    ("proc_name", " shop ", "shop"), ("worker_class", ThreadWorker,
                                      "gunicorn.workers.gthread.ThreadWorker"),
])
def test_values_are_brought_into_the_settings_type(name, value, result):
    cfg = Config()
    cfg.set(name, value)
    assert getattr(cfg, name) == result
    assert json.loads(values(cfg)[name][0]) == result


@pytest.mark.parametrize("name, value", [
    ("workers", "many"), ("workers", 0), ("workers", 1.5), ("timeout", "soon"), ("timeout", -1),
    ("bind", 8000), ("preload_app", "perhaps"), ("umask", "999"), ("proc_name", 7),
    ("worker_exit", "function"), ("worker_exit", lambda server: None),
])
def test_wrong_values_are_refused_where_they_are_set(name, value):
    cfg = Config()
    with pytest.raises((TypeError, ValueError), match=f"^{name} = .* is wanted$"):
        cfg.set(name, value)


def test_unknown_settings_are_attribute_errors():
    cfg = Config()
    with pytest.raises(AttributeError, match="there is no setting 'colour'"):
        cfg.set("colour", "red")
    with pytest.raises(AttributeError, match="there is no setting 'colour'"):
        cfg.colour
    with pytest.raises(AttributeError, match=r"cfg.set\('workers', value\)"):
        cfg.workers = 3


def test_none_gives_a_setting_no_value():
    cfg = Config()
    cfg.set("pidfile", "/run/x.pid")
    cfg.set("pidfile", None)
    assert cfg.pidfile is None and values(cfg) == {}


def test_callables_are_told_as_functions():
    cfg = Config()
    cfg.set("worker_exit", functools.partial(lambda more, server, worker: None, 1))
    cfg.set("post_request", lambda worker, request: None)
    assert values(cfg) == {"worker_exit": ("", "function"), "post_request": ("", "function")}


def test_a_hook_may_be_named_by_its_path():
    cfg = Config()
    cfg.set("when_ready", "functools.lru_cache")
    assert cfg.when_ready is functools.lru_cache
    with pytest.raises(TypeError, match="'functools.no_such' *: a function is wanted"):
        cfg.set("when_ready", "functools.no_such")


def test_settings_of_one_start_are_not_told():
    cfg = Config()
    cfg.set("daemon", True)
    cfg.set("print_config", True)
    assert cfg.given_values() == []


def test_names_that_gunicorn_derives():
    cfg = Config()
    cfg.set("threads", 4)
    cfg.set("bind", "unix:/run/a.sock,[::1]:80,fd://3,example.org")
    cfg.set("raw_env", ["A=1", "B=x=y"])
    assert cfg.worker_class_str == "gthread"
    assert cfg.address == ["/run/a.sock", ("::1", 80), 3, ("example.org", 8000)]
    assert cfg.env == {"A": "1", "B": "x=y"}
    assert "workers" in cfg.settings


def test_defaults_are_not_shared():
    Config().bind.append("x:1")
    assert Config().bind == ["127.0.0.1:8000"]


def test_accounts_are_numbers_as_in_gunicorn():
    cfg = Config()
    assert (cfg.uid, cfg.gid) == (os.geteuid(), os.getegid())
    cfg.set("user", "root")
    cfg.set("group", 7)
    assert (cfg.uid, cfg.gid) == (0, 7)


def test_settings_can_be_made_without_a_config():
    settings = make_settings(ignore=("bind",))
    assert settings["workers"].get() == 1 and "bind" not in settings
