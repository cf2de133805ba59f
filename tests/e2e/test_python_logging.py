# SPDX-License-Identifier: Apache-2.0
"""Python's logging as gunicorn's users know it: its loggers, and the settings that configure it."""

import json
import re

import pytest

from harness import get, wait_until

LOGGING = """
import logging
logging.getLogger("shop").warning("loaded")
logging.getLogger("gunicorn.error").warning("known by name")
def application(environ, start_response):
    logging.getLogger("shop").info("asked for %s", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

HANDLERS = {"version": 1, "formatters": {"short": {"format": "<%(name)s %(levelname)s> %(message)s"}},
            "handlers": {"file": {"class": "logging.FileHandler", "filename": "shop.log",
                                  "formatter": "short"}},
            "root": {"handlers": ["file"]},
            "loggers": {"shop": {"level": "INFO", "handlers": ["file"], "propagate": False}}}

INI = """
[loggers]
keys=root,shop
[handlers]
keys=file
[formatters]
keys=short
[logger_root]
handlers=
[logger_shop]
level=INFO
qualname=shop
handlers=file
[handler_file]
class=FileHandler
formatter=short
args=("%(here)s/shop.log",)
[formatter_short]
format=<%(name)s %(levelname)s> %(message)s
"""


def wait_for_entries(site):
    path = site.app / "shop.log"
    wait_until(lambda: path.exists() and "<shop INFO> asked for /there" in path.read_text(),
               "the application's entry")
    assert "<shop WARNING> loaded" in path.read_text()


@pytest.mark.parametrize("kind", ["logconfig", "logconfig_json", "logconfig_dict"])
def test_logging_is_configured_before_the_application_is_loaded(site, kind):
    site.write("shop.py", LOGGING)
    site.write("logging.ini", INI)
    site.write("logging.json", json.dumps(HANDLERS))
    site.write("conf.py", {"logconfig": "logconfig = 'logging.ini'\n",
                           "logconfig_json": "logconfig_json = 'logging.json'\n",
                           "logconfig_dict": f"logconfig_dict = {HANDLERS!r}\n"}[kind])
    arbiter = site.start("-c", "conf.py", "shop:application")
    get(arbiter.port, "/there")
    wait_for_entries(site)
    assert "[INFO] Booting worker" in arbiter.log()


def test_what_is_logged_to_gunicorns_logger_goes_to_the_error_log(site):
    site.write("shop.py", """
import logging
theirs = logging.getLogger("gunicorn.error")
ours = logging.getLogger("shop")
ours.handlers, ours.propagate = theirs.handlers, False
ours.setLevel(theirs.level)
def application(environ, start_response):
    ours.info("shown\\nforged")
    ours.debug("hidden")
    try:
        1 / 0
    except ZeroDivisionError:
        theirs.exception("caught")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
""")
    arbiter = site.start("shop:application")
    get(arbiter.port)
    worker = arbiter.workers()[0]
    arbiter.wait_for_log(rf"\[{worker}\] \[INFO\] shown$")
    arbiter.wait_for_log(rf"\[{worker}\] \[ERROR\] caught\nTraceback .*(\n.*)*ZeroDivisionError")
    assert "hidden" not in arbiter.log()


def test_handlers_of_gunicorns_loggers_are_told_of_once(site):
    loggers = {"gunicorn.access": {"handlers": ["console"]},
               "gunicorn.error": {"handlers": ["console"]}}
    site.write("conf.py", f"logconfig_dict = {{'version': 1, 'loggers': {loggers!r}}}\n")
    arbiter = site.start("-c", "conf.py", "-w", "2", "wsgi_test:application")
    told = re.findall(r"\[WARNING\] .*conf\.py:1: logconfig_dict gives .*", arbiter.log())
    assert len(told) == 1 and "accesslog" in told[0] and "errorlog" in told[0]


@pytest.mark.parametrize("option, name, content, why", [
    ("--log-config", "logging.ini", "[loggers]\nkeys=root\n", "logger_root|formatters"),
    ("--log-config-json", "logging.json", "{", "JSONDecodeError"),
    ("--log-config-json", "logging.json", "[]", "an object is wanted, not list"),
    ("--log-config-json", "logging.json",
     '{"handlers": {"console": {"class": "no.such.Handler"}}}', "console.*no"),
])
def test_a_configuration_that_does_not_work_is_named_and_nothing_starts(site, option, name, content,
                                                                         why):
    site.write(name, content)
    ended = site.run_arbiter("--bind", "127.0.0.1:0", option, name, "wsgi_test:application")
    assert ended.returncode == 3, ended
    assert re.search(rf"{site.app}/{name}: Python's logging can't be configured by it: .*({why})",
                     ended.stderr), ended.stderr
    site.assert_nothing_left()


def test_a_file_that_is_not_there_and_a_logger_class_are_refused_at_once(site):
    ended = site.run_arbiter("--log-config", "none.ini", "wsgi_test:application")
    assert ended.returncode == 2 and "there is no such file" in ended.stderr
    ended = site.run_arbiter("--logger-class", "shop.Logger", "wsgi_test:application")
    assert ended.returncode == 2 and "use logconfig" in ended.stderr
    arbiter = site.start("--logger-class", "gunicorn.instrument.statsd.Statsd",
                         "wsgi_test:application")
    assert get(arbiter.port).status == 200
