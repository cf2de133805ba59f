# SPDX-License-Identifier: Apache-2.0
"""Applications in one file with Corn's Python package, built by Debian's zipapp and pex."""
import os
import pathlib
import subprocess
import sys

import pytest

from harness import BIN, EXAMPLES, get, needs, process_alive

PACKAGES = BIN.parent / "python"
GREETING = b"Hello from the bundle\n"
PATH = {"PATH": f"{BIN}:{os.environ['PATH']}"}


@pytest.fixture(params=["zipapp", "pex"])
def bundle(request, site):
    needs("bash" if request.param == "zipapp" else "pex")
    path = site.app / ("shop.pyz" if request.param == "zipapp" else "shop.pex")
    subprocess.run([EXAMPLES / "bundle" / "build.sh", request.param, PACKAGES, path], check=True)
    site.write("conf.py", (EXAMPLES / "bundle" / "conf.py").read_text(encoding="utf-8"))
    return path


def started(site, *arguments, program, **options):
    return site.start(*arguments, program=program, environment=PATH, **options)


def test_a_bundle_serves_with_a_configuration_file_beside_it(site, bundle):
    arbiter = started(site, "-c", "conf.py", program=f"./{bundle.name}")
    assert get(arbiter.port).body == GREETING
    assert len(arbiter.workers()) == 1
    assert arbiter.status()["arbiter"]["pid"] == arbiter.pid
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_configuration_and_application_inside_the_bundle(site, bundle):
    arbiter = started(site, "-c", "python:shop_settings", "--chdir", "/", program=f"./{bundle.name}")
    assert get(arbiter.port).body == GREETING
    assert len(arbiter.workers()) == 2
    arbiter.cornctl("reload")
    assert get(arbiter.port).body == GREETING


def test_a_bundle_started_by_path_from_elsewhere(site, bundle):
    elsewhere = site.root / "elsewhere"
    elsewhere.mkdir()
    arbiter = started(site, "shop:app", program=bundle, cwd=elsewhere)
    assert get(arbiter.port).body == GREETING


def test_the_exit_status_of_a_wrong_option_comes_out_of_a_bundle(site, bundle):
    result = subprocess.run([bundle, "--no-such-option"], env=site.environment(PATH),
                            capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "--no-such-option" in result.stderr


def test_unpacked_by_pex_the_bundle_is_what_pex_puts_on_the_path(site):
    """As newer versions of pex do: code and dependencies below their cache, PEX in the environment."""
    unpacked, dependency = site.root / "unpacked", site.root / "wheels" / "dependency"
    for directory in (unpacked, dependency, unpacked / ".bootstrap"):
        directory.mkdir(parents=True)
    (unpacked / "corn").symlink_to(PACKAGES / "corn")
    (unpacked / "shop.py").write_text(
        "import sys, dependency\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [repr([p for p in sys.path if '.bootstrap' in p]).encode()]\n",
        encoding="utf-8")
    (dependency / "dependency.py").write_text("", encoding="utf-8")
    start = (f"import sys; sys.path[:0] = [{str(unpacked)!r}, {str(dependency)!r}];"
             f"sys.path.append({str(unpacked / '.bootstrap')!r});"
             "from corn.app.wsgiapp import run; run()")
    arbiter = site.start("-c", start, "--bind", "127.0.0.1:0", "shop:app", bind=None,
                         program=sys.executable, environment={**PATH, "PEX": "/x/shop.pex"})
    assert get(arbiter.port).body == b"[]"


def test_a_wheel_of_the_package_starts_arbiterd_from_a_virtual_environment(site):
    needs("python3:pip", "python3:wheel")
    source = site.root / "source"
    subprocess.run(["cp", "-r", pathlib.Path(__file__).parents[2] / "python", source], check=True)
    subprocess.run(["/usr/bin/python3", "-m", "pip", "-q", "wheel", "--no-deps", "--no-index",
                    "--no-build-isolation", "-w", site.root / "wheels", source],
                   check=True, capture_output=True)
    wheel, = (site.root / "wheels").glob("*.whl")
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", site.root / "venv"], check=True)
    subprocess.run(["/usr/bin/python3", "-m", "pip", "-q", "--python", site.root / "venv", "install",
                    "--no-index", "--no-deps", wheel], check=True, capture_output=True)
    (packages,) = (site.root / "venv" / "lib").glob("python3*/site-packages")
    (packages / "only_in_venv.py").write_text("", encoding="utf-8")
    site.write("wsgi.py", "import only_in_venv\n"
               "def application(environ, start_response):\n"
               "    start_response('200 OK', [])\n"
               "    return [b'from the environment']\n")
    arbiter = started(site, "wsgi", program=site.root / "venv" / "bin" / "corn")
    assert get(arbiter.port).body == b"from the environment"
    assert process_alive(arbiter.pid)
