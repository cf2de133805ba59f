# SPDX-License-Identifier: Apache-2.0
"""Configuration files that import gunicorn or uvicorn, where these are not installed, and that give classes."""

import pytest

from harness import get

# In the place of the machine's own sitecustomize: hides packages that may be installed here.
HIDE = """
import sys
from importlib.machinery import PathFinder
class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            return None
        return super().find_spec(name, path, target)
sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
"""

ASGI = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asynchronous"})
"""


def hidden(site, *names):
    """The environment of a machine without these packages."""
    directory = site.root / "site"
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(HIDE.format(names=names), encoding="utf-8")
    return {"PYTHONPATH": str(directory)}


def refused(site, configuration, environment):
    site.write("conf.py", configuration)
    result = site.run_arbiter("--check-config", "-c", "conf.py", "wsgi_test:application",
                              environment=environment)
    assert result.returncode == 2, result
    return result.stderr


def test_corn_stands_in_for_gunicorn_in_the_file_and_in_hooks(site):
    site.write("conf.py", """
import gunicorn
from gunicorn import glogging, util
import gunicorn.workers.gthread
gunicorn.SERVER_SOFTWARE = "Python"
workers = 1
worker_class = "gunicorn.workers.gthread.ThreadWorker"
def post_fork(server, worker):
    from gunicorn.errors import HaltServer
    server.log.info("gunicorn %s, %s", gunicorn.version_info[0] >= 20, HaltServer.__name__)
""")
    arbiter = site.start("-c", "conf.py", "wsgi_test:application",
                         environment=hidden(site, "gunicorn"))
    arbiter.wait_for_log("gunicorn True, HaltServer")
    assert get(arbiter.port).status == 200
    assert arbiter.stop() == 0


def test_an_installed_gunicorn_is_the_one_that_is_imported(site):
    (site.root / "site" / "gunicorn").mkdir(parents=True)
    (site.root / "site" / "gunicorn" / "__init__.py").write_text("mine = 'of the user'\n",
                                                                encoding="utf-8")
    site.write("conf.py", "from gunicorn import mine\nproc_name = mine\n")
    shown = site.run_arbiter("--print-config", "-c", "conf.py", "wsgi_test:application",
                             environment={"PYTHONPATH": str(site.root / "site")})
    assert 'proc_name = "of the user"' in shown.stdout, shown


@pytest.mark.parametrize("imported", [
    "from uvicorn.workers import UvicornWorker",
    "from uvicorn.workers import UvicornH11Worker as UvicornWorker",
    "from uvicorn_worker import UvicornWorker",
])
def test_a_worker_class_of_uvicorn_is_taken_without_uvicorn(site, imported):
    site.write("hello_asgi.py", ASGI)
    site.write("conf.py", f"{imported}\nworker_class = UvicornWorker\n")
    arbiter = site.start("-c", "conf.py", "-w", "1", "hello_asgi:application",
                         environment=hidden(site, "gunicorn", "uvicorn", "uvicorn_worker"))
    assert get(arbiter.port).body == b"asynchronous"
    assert arbiter.stop() == 0


def test_hooks_and_applications_see_no_uvicorn_that_is_not_there(site):
    site.write("wsgi_test.py", """
import importlib.util
found = importlib.util.find_spec("uvicorn")
def application(environ, start_response):
    start_response("200 OK", [])
    return [repr(found).encode()]
""")
    site.write("conf.py", "from uvicorn.workers import UvicornWorker\nimport uvicorn\n"
               "def post_fork(server, worker): pass\n")
    arbiter = site.start("-c", "conf.py", "-w", "1", "wsgi_test:application",
                         environment=hidden(site, "uvicorn"))
    assert get(arbiter.port).body == b"None"
    assert arbiter.stop() == 0


def test_what_stands_in_for_nothing_is_told_with_the_remedy(site):
    said = refused(site, "\nfrom uvicorn.config import LOGGING_CONFIG\n", hidden(site, "uvicorn"))
    assert "conf.py:2: ModuleNotFoundError: No module named 'uvicorn.config'; " in said
    assert 'worker_class = "asgi"' in said
    for line in ("import gunicorn.http.message", "from gunicorn.util import no_such_name",
                 "from gunicorn import no_such_module"):
        said = refused(site, line, hidden(site, "gunicorn"))
        assert "conf.py:1: " in said and "Corn's package, which stands in for it, lacks this" in said


def test_a_missing_package_of_corns_is_told(site):
    said = refused(site, "import gunicorn\n", hidden(site, "gunicorn", "corn"))
    assert "conf.py:1: ModuleNotFoundError: No module named 'gunicorn'; neither gunicorn is " \
           "installed nor Corn's Python package" in said


def test_classes_of_gunicorns_are_what_their_names_mean(site):
    site.write("conf.py", """
from gunicorn.workers.gthread import ThreadWorker as worker_class
from gunicorn.glogging import Logger as logger_class
""")
    shown = site.run_arbiter("--print-config", "-c", "conf.py", "wsgi_test:application",
                             environment=hidden(site, "gunicorn"))
    assert shown.returncode == 0, shown
    assert 'worker_class = "gunicorn.workers.gthread.ThreadWorker"' in shown.stdout


def test_a_logger_class_of_ones_own_is_refused_with_the_reason(site):
    said = refused(site, """
from gunicorn import glogging
class Quiet(glogging.Logger):
    pass
logger_class = Quiet
""", hidden(site, "gunicorn"))
    assert 'conf.py:5: logger_class = "__config__.Quiet": refused: Corn\'s own lines' in said


def test_a_worker_class_of_ones_own_is_refused_with_the_alternatives(site):
    said = refused(site, """
from gunicorn.workers.base import Worker
class Mine(Worker):
    pass
worker_class = Mine
""", hidden(site, "gunicorn"))
    assert 'conf.py:5: worker_class = "__config__.Mine": ' in said and "asgi" in said
