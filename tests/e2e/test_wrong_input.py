# SPDX-License-Identifier: Apache-2.0
"""Every mistake of an operator: one clear message that names place and remedy, the right exit status,
nothing left running, no stale file."""

import os
import re
import socket
import subprocess

import pytest

from harness import BIN, PATIENCE, get

SETTINGS, CANNOT_BIND, WORKER, APPLICATION = 2, 1, 3, 4


def refused(site, status, *arguments, **options):
    """Runs arbiterd, which must refuse with this status; returns what it said."""
    result = site.run_arbiter(*arguments, **options)
    said = result.stderr + result.stdout
    assert result.returncode == status, (arguments, result)
    assert result.stderr.strip(), "the reason belongs on standard error"
    site.assert_nothing_left()
    return said


def test_unknown_option(site):
    said = refused(site, SETTINGS, "--wrokers", "2", "wsgi_test:application")
    assert "--wrokers" in said and "--workers" in said, "a slip is answered with the likely name"
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments, words", [
    (["-w", "many"], ["workers", "many"]),
    (["-w", "0"], ["workers", "0"]),
    (["--log-level", "loud"], ["log", "loud", "debug"]),
    (["-k", "quantum"], ["quantum", "sync", "gthread"]),
    (["--timeout", "-1"], ["timeout", "-1"]),
    (["--bind", "127.0.0.1:99999"], ["127.0.0.1:99999"]),
    (["--chdir", "/nonexistent"], ["/nonexistent"]),
    (["-e", "NOVALUE"], ["NOVALUE"]),
    (["--user", "no-such-user"], ["no-such-user"]),
    (["-c", "missing.toml"], ["missing.toml"]),
    (["--limit-request-line", "x"], ["limit", "x"]),
])
def test_bad_value(site, arguments, words):
    said = refused(site, SETTINGS, *arguments, "wsgi_test:application")
    for word in words:
        assert word in said, (word, said)


@pytest.mark.parametrize("arguments, name", [
    (["--keyfile", "key.pem"], "keyfile"),
    (["-k", "eventlet"], "gevent"),
    (["--dbus", "session"], "dbus"),
    (["--admin", "127.0.0.1:9000"], "admin"),
])
def test_what_corn_does_not_have_yet_is_refused_by_name(site, arguments, name):
    assert name in refused(site, SETTINGS, *arguments, "wsgi_test:application")


def test_no_application(site):
    said = refused(site, SETTINGS)
    assert "application" in said.lower() and "module:callable" in said


def test_port_in_use(site):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = refused(site, CANNOT_BIND, "--bind", f"127.0.0.1:{port}", "wsgi_test:application")
    assert f"127.0.0.1:{port}" in said and "Address already in use" in said


def test_address_of_another_machine(site):
    said = refused(site, CANNOT_BIND, "--bind", "192.0.2.1:8000", "wsgi_test:application")
    assert "192.0.2.1:8000" in said


def test_missing_application_module(site):
    said = refused(site, APPLICATION, "--bind", "127.0.0.1:0", "no_such_module:application")
    assert "no_such_module" in said and "--chdir" in said, "where it was looked for, and the remedy"


def test_missing_callable(site):
    said = refused(site, APPLICATION, "--bind", "127.0.0.1:0", "wsgi_test:no_such_name")
    assert "no_such_name" in said and "wsgi_test" in said


def test_module_with_a_syntax_error(site):
    site.write("broken.py", "x = 1\ndef broken(:\n    pass\n")
    said = refused(site, APPLICATION, "--bind", "127.0.0.1:0", "broken:application")
    assert "SyntaxError" in said and "broken.py" in said and "line 2" in said


def test_check_config_tells_an_application_that_does_not_load(site):
    said = refused(site, 1, "--check-config", "no_such_module:application")
    assert "no_such_module" in said


def test_module_that_ends_the_process(site):
    site.write("quits.py", "import os\nos._exit(9)\n")
    said = refused(site, WORKER, "--bind", "127.0.0.1:0", "quits:application")
    assert "9" in said


def test_unix_socket_in_a_missing_directory(site):
    said = refused(site, CANNOT_BIND, "--bind", "unix:/nonexistent/app.sock", "wsgi_test:application")
    assert "/nonexistent/app.sock" in said and "No such file or directory" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_unix_socket_that_may_not_be_written(site):
    closed = site.root / "closed"
    closed.mkdir(mode=0o755)
    (site.root / "nobody-run").mkdir()
    os.chown(site.root / "nobody-run", 65534, 65534)
    result = subprocess.run(
        [BIN / "arbiterd", "--bind", f"unix:{closed}/app.sock", "wsgi_test:application"],
        cwd=site.app, env=site.environment({"XDG_RUNTIME_DIR": str(site.root / "nobody-run")}),
        capture_output=True, text=True, timeout=PATIENCE, user=65534, group=65534, extra_groups=[],
        stdin=subprocess.DEVNULL, check=False)
    assert result.returncode == CANNOT_BIND, result
    assert f"{closed}/app.sock" in result.stderr and "Permission denied" in result.stderr
    site.assert_nothing_left()
    assert not list(closed.iterdir())


def test_a_file_in_the_place_of_a_unix_socket_is_not_removed(site):
    path = site.write("app.sock", "precious")
    said = refused(site, CANNOT_BIND, "--bind", f"unix:{path}", "wsgi_test:application")
    assert str(path) in said and path.read_text() == "precious"


def test_toml_file_with_a_bad_type_on_line_7(site):
    site.write("bad.toml", '# settings\n[arbiter]\n\n[pool.web]\n'
               'wsgi_app = "wsgi_test:application"\nbind = "127.0.0.1:0"\nworkers = "many"\n')
    said = refused(site, SETTINGS, "-c", "bad.toml")
    assert "bad.toml:7" in said and "workers" in said and "many" in said


def test_python_file_with_a_bad_type_on_line_7(site):
    site.write("bad.py", "# settings\nimport os\n\n\nwsgi_app = 'wsgi_test:application'\n"
               "bind = '127.0.0.1:0'\nworkers = 'many'\n")
    said = refused(site, SETTINGS, "-c", "bad.py")
    assert "bad.py:7" in said and "workers" in said and "many" in said


def test_python_file_with_a_syntax_error(site):
    site.write("bad.py", "bind = '127.0.0.1:0'\nworkers = = 2\n")
    said = refused(site, SETTINGS, "-c", "bad.py")
    assert "bad.py:2" in said and "SyntaxError" in said


def test_python_file_that_raises(site):
    site.write("bad.py", "workers = int('two')\n")
    said = refused(site, SETTINGS, "-c", "bad.py")
    assert "bad.py" in said and "ValueError" in said


def test_unknown_key_in_a_toml_file(site):
    site.write("bad.toml", '[pool.web]\nwsgi_app = "wsgi_test:application"\nwokers = 2\n')
    said = refused(site, SETTINGS, "-c", "bad.toml")
    assert "bad.toml:3" in said and "wokers" in said and "workers" in said


def test_hook_that_nothing_would_call_is_refused_by_name(site):
    site.write("hooks.py", "wsgi_app = 'wsgi_test:application'\ndef ssl_context(conf, default):\n"
               "    pass\n")
    said = refused(site, SETTINGS, "-c", "hooks.py")
    assert "ssl_context" in said and "hooks.py:2" in said


def test_configuration_with_hooks_and_preload_is_checked_without_starting(site):
    site.write("hooks.py", "wsgi_app = 'wsgi_test:application'\npreload_app = True\n"
               "def on_starting(server):\n    raise SystemExit('called')\n")
    checked = site.run_arbiter("--check-config", "-c", "hooks.py")
    assert checked.returncode == 0, checked
    printed = site.run_arbiter("--print-config", "-c", "hooks.py")
    assert 'on_starting = "<function>"' in printed.stdout and "hooks.py:3" in printed.stdout


@pytest.mark.parametrize("mode", [["--check-config"], []])
def test_hooks_with_a_wrong_number_of_parameters(site, mode):
    site.write("hooks.py", "wsgi_app = 'wsgi_test:application'\nbind = '127.0.0.1:0'\n"
               "def worker_exit(worker): pass\ndef on_exit(server, more): pass\n"
               "def post_request(worker, req): pass\ndef child_exit(*all): pass\n")
    said = refused(site, SETTINGS, *mode, "-c", "hooks.py")
    assert "hooks.py:3: worker_exit must be a function of 2 arguments, not (worker)" in said
    assert "hooks.py:4: on_exit must be a function of 1 argument, not (server, more)" in said
    assert "post_request" not in said and "child_exit" not in said and "Traceback" not in said


def test_a_hook_that_is_named_and_does_not_fit(site):
    site.write("shop.py", "def leave(worker): pass\n")
    site.write("hooks.py", "wsgi_app = 'wsgi_test:application'\nbind = '127.0.0.1:0'\n"
               "worker_exit = 'shop.leave'\n")
    said = refused(site, SETTINGS, "-c", "hooks.py")
    assert "hooks.py:3: " in said and "shop.py:1: worker_exit must be a function of 2 arguments, not (worker)" in said
    assert "<corn" not in said
    site.write("hooks.py", "wsgi_app = 'wsgi_test:application'\nbind = '127.0.0.1:0'\n"
               "worker_exit = 'shop.stay'\n")
    said = refused(site, SETTINGS, "-c", "hooks.py")
    assert "worker_exit = 'shop.stay' cannot be found" in said and "<corn" not in said


def test_unknown_names_in_a_python_file_are_ignored(site):
    site.write("fine.py", "wsgi_app = 'wsgi_test:application'\nmy_own_constant = 3\n")
    assert site.run_arbiter("--check-config", "-c", "fine.py").returncode == 0


def test_options_beside_a_file_of_several_pools(site):
    site.write("two.toml", '[pool.a]\nwsgi_app = "wsgi_test:application"\nbind = "127.0.0.1:0"\n'
               '[pool.b]\nwsgi_app = "wsgi_test:application"\nbind = "127.0.0.1:0"\n')
    said = refused(site, SETTINGS, "-c", "two.toml", "--workers", "4")
    assert "workers" in said and "two.toml" in said


def test_a_second_arbiter_of_the_same_instance(site):
    first = site.start("--name", "shop", "wsgi_test:application")
    before = site.runtime_files()
    result = site.run_arbiter("--name", "shop", "--bind", "127.0.0.1:0", "wsgi_test:application")
    assert result.returncode == 1, result
    assert "shop" in result.stderr and str(first.pid) in result.stderr
    assert site.runtime_files() == before
    assert get(first.port).status == 200 and first.status()["arbiter"]["pid"] == first.pid
    assert first.stop() == 0
    site.assert_nothing_left()


def test_a_pid_file_of_a_running_instance(site):
    first = site.start("--name", "first", "--pid", site.root / "pid", "wsgi_test:application")
    result = site.run_arbiter("--name", "second", "--pid", site.root / "pid",
                              "--bind", "127.0.0.1:0", "wsgi_test:application")
    assert result.returncode == 1 and str(first.pid) in result.stderr, result
    assert (site.root / "pid").read_text().strip() == str(first.pid)


@pytest.mark.parametrize("option", ["--pid", "--error-logfile", "--access-logfile"])
def test_paths_that_cannot_be_written(site, option):
    said = refused(site, 1, option, "/nonexistent/file", "--bind", "127.0.0.1:0",
                   "wsgi_test:application")
    assert "/nonexistent/file" in said and "No such file or directory" in said


def test_a_missing_workerd(site):
    said = refused(site, 1, "--workerd", "/nonexistent/workerd",
                   "--bind", "127.0.0.1:0", "wsgi_test:application")
    assert "/nonexistent/workerd" in said


def test_version_and_help(site):
    version = site.run_arbiter("--version")
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)
    text = site.run_arbiter("--help")
    assert text.returncode == 0 and "--workers" in text.stdout and "--bind" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 80


def test_workerd_by_hand_says_who_starts_it(site):
    result = subprocess.run([BIN / "workerd"], env=site.environment(), capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=30, check=False)
    assert result.returncode == 2 and "arbiterd" in result.stderr


def test_a_check_tells_what_is_accepted_without_effect(site):
    site.write("noted.py", "wsgi_app = 'wsgi_test:application'\npreload_warm_up = '/'\n"
                           "preload_app = True\n"
                           "worker_class = 'asgi'\n")
    site.write("wsgi_test.py", "async def application(scope, receive, send):\n    pass\n")
    checked = site.run_arbiter("--check-config", "-c", "noted.py")
    assert checked.returncode == 0
    assert "arbiterd: warning: noted.py:2: preload_warm_up has no effect" in checked.stderr
