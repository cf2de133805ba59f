# SPDX-License-Identifier: Apache-2.0
"""--reload: changed code is served by the next save, and broken code never is."""

import os
import pathlib

import pytest

from harness import get, wait_until

CODE = """
import helper
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", str(len(helper.ANSWER)))])
    return [helper.ANSWER]
"""


def answer(text):
    return f"ANSWER = {text.encode()!r}\n"


def start(site, *options):
    site.write("shop.py", CODE)
    site.write("helper.py", answer("first"))
    return site.start("--reload", *options, "shop:application")


def wait_for_body(arbiter, body):
    wait_until(lambda: get(arbiter.port).body == body.encode(), f"the answer {body}")


def reloads(arbiter):
    return arbiter.log().count("Reloading: ")


def test_a_saved_module_is_served_without_being_asked_for(site):
    arbiter = start(site, "-w", "2")
    assert get(arbiter.port).body == b"first"
    arbiter.wait_for_log("Reloader is on")
    site.write("helper.py", answer("second"))
    wait_for_body(arbiter, "second")
    arbiter.wait_for_log(f"Reloading: {site.app}/helper.py modified")
    (site.app / "helper.py").write_text(answer("third"))  # in place, as some editors do
    wait_for_body(arbiter, "third")
    arbiter.wait_ready()


def test_many_files_saved_at_once_are_one_reload(site):
    arbiter = start(site)
    for name in ("helper.py", "shop.py", "helper.py"):
        site.write(name, answer("next") if name == "helper.py" else CODE)
    wait_for_body(arbiter, "next")
    arbiter.wait_for_log(f"Reloading: {site.app}/(helper|shop).py and 1 more modified")
    assert reloads(arbiter) == 1


def test_a_syntax_error_is_shown_and_the_last_good_code_serves_until_it_is_mended(site):
    arbiter = start(site)
    site.write("helper.py", "ANSWER = (\n")
    arbiter.wait_for_log(r"SyntaxError: '\(' was never closed")
    arbiter.wait_for_log("Reload failed|reload failed|cannot be loaded")
    assert get(arbiter.port).body == b"first"
    site.write("helper.py", answer("mended"))
    wait_for_body(arbiter, "mended")
    arbiter.wait_ready()


def test_a_new_module_that_fails_is_watched_although_it_was_never_loaded(site):
    arbiter = start(site)
    (site.app / "package").mkdir()
    site.write("package/__init__.py", "")
    site.write("package/new.py", "raise RuntimeError('half done')\n")
    site.write("helper.py", "from package.new import ANSWER\n")
    arbiter.wait_for_log("RuntimeError: half done")
    assert get(arbiter.port).body == b"first"
    site.write("package/new.py", answer("done"))
    wait_for_body(arbiter, "done")
    arbiter.wait_for_log(f"Reloading: {site.app}/package/new.py modified")


def test_a_module_that_a_request_imports_is_watched_from_then_on(site):
    site.write("late.py", answer("first"))
    site.write("shop.py", CODE.replace("import helper\n", "").replace(
        "    start_response", "    import late as helper\n    start_response"))
    arbiter = site.start("--reload", "shop:application")
    assert get(arbiter.port).body == b"first"

    def reloaded():  # when it is watched is told nowhere
        site.write("late.py", answer("second"))
        return get(arbiter.port).body == b"second"
    wait_until(reloaded, "the late module to be watched")


def test_extra_files_patterns_and_directories_that_come_later(site):
    arbiter = start(site, "--reload-extra-file", "shop.ini", "--reload-extra-file",
                    "conf.d/**/*.ini")
    site.write("other.ini", "")
    site.write("shop.ini", "")
    arbiter.wait_for_log(f"Reloading: {site.app}/shop.ini modified")
    arbiter.wait_for_log("Booting worker", 2)
    arbiter.wait_ready()
    site.write("conf.d/shops/first.ini", "")
    arbiter.wait_for_log(f"Reloading: {site.app}/conf.d/shops/first.ini modified")
    assert reloads(arbiter) == 2


def test_the_configuration_file_is_watched_too(site):
    site.write("shop.py", CODE)
    site.write("helper.py", answer("first"))
    site.write("conf.py", "reload = True\n")
    arbiter = site.start("-c", "conf.py", "shop:application")
    site.write("conf.py", "reload = True\nworkers = 2\n")
    arbiter.wait_ready(2)
    site.write("conf.py", "reload = True\nworkers = \n")
    arbiter.wait_for_log(r"conf.py:2: SyntaxError")
    site.write("conf.py", "reload = False\n")
    arbiter.wait_ready(1)
    before = reloads(arbiter)
    site.write("helper.py", answer("second"))
    arbiter.cornctl("reload")
    assert get(arbiter.port).body == b"second"
    assert reloads(arbiter) == before


@pytest.mark.parametrize("kind", [["-k", "sync"], ["-k", "gthread", "--threads", "2"]])
def test_without_it_nothing_is_watched(site, kind):
    site.write("shop.py", CODE)
    site.write("helper.py", answer("first"))
    arbiter = site.start(*kind, "shop:application")
    site.write("helper.py", answer("second"))
    arbiter.cornctl("scale", "2")
    arbiter.wait_ready(2)
    assert reloads(arbiter) == 0
    open_files = [os.readlink(path) for path in pathlib.Path(f"/proc/{arbiter.pid}/fd").iterdir()]
    assert not [name for name in open_files if "inotify" in name]
