# SPDX-License-Identifier: Apache-2.0
"""Reloads: new code only when it can serve, the old code as long as it can't."""

import signal

from harness import get, wait_until

VERSION = """
def application(environ, start_response):
    body = b"version {number}"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_new_code_is_served_after_hup(site):
    site.write("code.py", VERSION.format(number=1))
    arbiter = site.start("-w", "2", "code:application")
    old = arbiter.workers()
    site.write("code.py", VERSION.format(number=2))
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: arbiter.workers() and not set(old) & set(arbiter.all_workers()),
               "the old workers to go")
    assert {get(arbiter.port).body for _ in range(4)} == {b"version 2"}
    assert arbiter.status()["pools"][0]["generation"] == "2"


def test_code_that_cannot_be_imported_leaves_the_old_workers_serving(site):
    site.write("code.py", VERSION.format(number=1))
    arbiter = site.start("-w", "2", "code:application")
    old = arbiter.workers()
    site.write("code.py", "import a_module_that_does_not_exist\n")

    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    assert "ModuleNotFoundError: No module named 'a_module_that_does_not_exist'" in \
        result.stdout + result.stderr
    assert arbiter.wait_ready(2) and arbiter.workers() == old
    assert get(arbiter.port).body == b"version 1"
    assert arbiter.status()["arbiter"]["reloads"] == "0"

    # By signal nobody waits for the answer: the log has it.
    seen = arbiter.log().count("a_module_that_does_not_exist")
    arbiter.send(signal.SIGHUP)
    wait_until(lambda: arbiter.log().count("a_module_that_does_not_exist") > seen,
               "the failure in the log")
    wait_until(lambda: arbiter.settled() and arbiter.workers() == old, "the old workers alone")

    site.write("code.py", VERSION.format(number=3))
    result = arbiter.cornctl("reload")
    assert result.returncode == 0, result
    assert get(arbiter.port).body == b"version 3"
    assert not set(old) & set(arbiter.all_workers())


def test_a_syntax_error_is_reported_with_its_line(site):
    site.write("code.py", VERSION.format(number=1))
    arbiter = site.start("code:application")
    site.write("code.py", "x = 1\ndef broken(:\n")
    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    assert "code.py" in result.stdout + result.stderr
    assert "SyntaxError" in result.stdout + result.stderr
    assert get(arbiter.port).body == b"version 1"


def test_a_reload_takes_new_settings(site):
    site.write("corn.toml", '[pool.web]\nwsgi_app = "wsgi_test:application"\n'
               'bind = "127.0.0.1:0"\nworkers = 1\n')
    arbiter = site.start(bind=None)
    port = arbiter.port
    site.write("corn.toml", '[pool.web]\nwsgi_app = "wsgi_test:application"\n'
               'bind = "127.0.0.1:0"\nworkers = 3\n')
    result = arbiter.cornctl("reload")
    assert result.returncode == 0, result
    arbiter.wait_ready(3)
    assert get(port).status == 200, "an address that stays keeps its socket and port"


def test_settings_with_a_mistake_change_nothing(site):
    good = '[pool.web]\nwsgi_app = "wsgi_test:application"\nbind = "127.0.0.1:0"\nworkers = 1\n'
    site.write("corn.toml", good)
    arbiter = site.start(bind=None)
    old = arbiter.workers()
    site.write("corn.toml", good + 'threads = "many"\n')
    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    assert "corn.toml:5" in result.stdout + result.stderr
    assert arbiter.workers() == old and get(arbiter.port).status == 200


def test_a_mistake_in_a_python_file_changes_nothing(site):
    site.write("gunicorn.conf.py", "wsgi_app = 'wsgi_test:application'\nbind = '127.0.0.1:0'\n")
    arbiter = site.start(bind=None)
    old = arbiter.workers()
    site.write("gunicorn.conf.py", "wsgi_app = 'wsgi_test:application\n")
    result = arbiter.cornctl("reload")
    assert result.returncode == 1
    assert "gunicorn.conf.py:1" in result.stdout + result.stderr
    assert arbiter.workers() == old and get(arbiter.port).status == 200


def test_a_scaled_target_survives_a_reload(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    assert arbiter.cornctl("scale", "3").returncode == 0
    assert arbiter.cornctl("reload").returncode == 0
    assert arbiter.status()["pools"][0]["target"] == 3
    arbiter.wait_ready(3)
