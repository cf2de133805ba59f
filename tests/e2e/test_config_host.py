# SPDX-License-Identifier: Apache-2.0
"""What is done before there is a server: a Python configuration file is evaluated, an application is loaded to
see whether it loads. Neither keeps anybody from ending it, nor waits for more than its answer."""

import os
import signal
import sys
import time

import pytest

from harness import PATIENCE, get, wait_until

# Says that it is there, and stays.
HANGS = """
import pathlib, time
pathlib.Path("inside").touch()
time.sleep(3600)
"""
ENDING = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT],
                                 ids=["term", "int", "quit"])


def end_while_inside(site, number, *arguments):
    """Starts, waits until the Python code is being run, sends the signal; returns the exit status."""
    arbiter = site.start(*arguments, bind=None, ready=False)
    wait_until((site.app / "inside").exists, "the code to be run")
    begun = time.monotonic()
    arbiter.send(number)
    status = arbiter.wait_exit()
    assert time.monotonic() - begun < PATIENCE / 2  # far below what a configuration file may take
    site.assert_nothing_left()
    return status


@ENDING
def test_a_signal_ends_the_evaluation_of_a_configuration_file(site, number):
    site.write("conf.py", HANGS)
    assert end_while_inside(site, number, "-c", "conf.py", "wsgi_test:application") == 0


def test_programs_that_a_configuration_file_runs_end_with_it(site):
    site.write("conf.py", "import pathlib, subprocess\n"
               "running = subprocess.Popen(['sleep', '3600'])\n"
               "pathlib.Path('inside').touch()\nrunning.wait()\n")
    assert end_while_inside(site, signal.SIGTERM, "-c", "conf.py", "wsgi_test:application") == 0


@ENDING
def test_a_signal_ends_the_check_of_an_application(site, number):
    site.write("hangs.py", HANGS)
    assert end_while_inside(site, number, "--check-config", "hangs:application") == 128 + number


def test_a_signal_that_ends_the_print_of_a_configuration_tells_so(site):
    site.write("conf.py", HANGS)
    assert end_while_inside(site, signal.SIGTERM, "-c", "conf.py", "--print-config",
                            "wsgi_test:application") == 128 + signal.SIGTERM


def test_a_shutdown_does_not_wait_for_the_settings_of_a_reload(site):
    config = site.write("conf.py", "workers = 1\n")
    arbiter = site.start("-c", "conf.py", "wsgi_test:application")
    config.write_text(HANGS, encoding="utf-8")
    arbiter.send(signal.SIGHUP)
    wait_until((site.app / "inside").exists, "the code to be run")
    assert arbiter.stop() == 0
    site.assert_nothing_left()


THREAD = """
import threading, time, atexit
threading.Thread(target=time.sleep, args=(3600,)).start()
atexit.register(print, "the end of it")
"""


def test_threads_of_a_configuration_file_are_not_waited_for(site):
    site.write("conf.py", THREAD + "workers = 2\n")
    begun = time.monotonic()
    arbiter = site.start("-c", "conf.py", "wsgi_test:application")
    assert time.monotonic() - begun < 25  # far below what exit handlers have
    arbiter.wait_ready(2)
    assert "does not end in time" not in arbiter.log()
    assert "the end of it" in arbiter.output()


def test_threads_of_an_application_that_is_checked_are_not_waited_for(site):
    site.write("threads.py", THREAD + "def application(environ, start_response): pass\n")
    result = site.run_arbiter("--check-config", "threads:application", timeout=25)
    assert (result.returncode, result.stderr) == (0, "")


def make_environment(directory):
    """A virtual environment with a module of its own."""
    packages = directory / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.mkdir(parents=True)
    (directory / "bin").mkdir()
    os.symlink("/usr/bin/python3", directory / "bin" / "python3")
    (directory / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n",
                                          encoding="utf-8")
    (packages / "only_in_venv.py").write_text("WORKERS = 3\n", encoding="utf-8")


@pytest.mark.parametrize("environment", [None, {"CORN_CMD_ARGS": "--venv v"}, {"VIRTUAL_ENV": "v"}],
                         ids=["option", "arguments-variable", "variable"])
def test_a_configuration_file_sees_the_virtual_environment(site, environment):
    make_environment(site.app / "v")
    site.write("conf.py", "import only_in_venv\nworkers = only_in_venv.WORKERS\n")
    options = [] if environment else ["--venv", "v"]
    result = site.run_arbiter(*options, "-c", "conf.py", "--print-config", "wsgi_test:application",
                              environment=environment)
    assert result.returncode == 0, result.stderr
    assert "workers = 3" in result.stdout


@pytest.mark.parametrize("option", ["--pythonpath", "--chdir"])
def test_a_configuration_file_imports_from_where_options_say(site, option):
    site.write("lib/elsewhere.py", "WORKERS = 3\n")
    site.write("lib/wsgi_test.py", (site.app / "wsgi_test.py").read_text(encoding="utf-8"))
    site.write("conf.py", "import elsewhere, os\nworkers = elsewhere.WORKERS\n"
               "raw_env = ['EVALUATED_IN=' + os.getcwd()]\n")
    result = site.run_arbiter(option, "lib", "-c", "conf.py", "--print-config", "wsgi_test:application")
    assert result.returncode == 0, result.stderr
    assert "workers = 3" in result.stdout
    assert f"EVALUATED_IN={site.app}\"" in result.stdout  # as in gunicorn
    arbiter = site.start(option, "lib", "-c", "conf.py", "wsgi_test:application")
    assert get(arbiter.port).body == b"Hello World"
