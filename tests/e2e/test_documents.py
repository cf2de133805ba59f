# SPDX-License-Identifier: Apache-2.0
"""The examples do what the articles about gunicorn that inspired them show, over plain sockets or curl."""

import hashlib
import os
import re
import shutil
import subprocess

from harness import EXAMPLES, exchange, get, process_title


def use_example(site, name):
    shutil.copytree(EXAMPLES / name, site.app, dirs_exist_ok=True)


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "60", *arguments], capture_output=True,
                          check=True).stdout


def test_hello_with_two_workers(site):
    use_example(site, "hello")
    arbiter = site.start("--workers=2", "wsgi_test:application")
    assert curl(f"http://127.0.0.1:{arbiter.port}/") == b"Hello World"
    assert len(re.findall(r"Booting worker with pid", arbiter.log())) == 2


def config_file(site):
    use_example(site, "config_file")
    files = [path for path in site.app.glob("*.py") if "multiprocessing" in path.read_text()]
    assert len(files) == 1, "examples/config_file has one file that counts processors"
    return files[0].name


def test_configuration_file_computes_its_workers(site):
    arbiter = site.start("-c", config_file(site), ready=True)
    wanted = os.cpu_count() * 2 + 1
    assert len(arbiter.workers()) == wanted
    assert len(re.findall("Booting worker with pid", arbiter.log())) == wanted
    assert get(arbiter.port).body == b"Hello World"


def test_check_config_accepts_it_in_silence(site):
    result = site.run_arbiter("--check-config", "-c", config_file(site))
    assert (result.returncode, result.stdout) == (0, ""), result
    site.assert_nothing_left()


def test_chunked_upload_of_25_mb_is_written_by_the_application(site):
    use_example(site, "chunked_upload")
    module = next(iter(site.app.glob("*chunked*.py"))).stem
    content = os.urandom(1 << 20) * 25
    (site.root / "large-file").write_bytes(content)
    arbiter = site.start(f"{module}:application")
    before = set(site.app.iterdir())
    answer = curl("-H", "Transfer-Encoding: chunked", "-T", str(site.root / "large-file"),
                  "-X", "POST", f"http://127.0.0.1:{arbiter.port}/")
    assert answer == b"Hello World\n"
    written = [path for path in site.app.iterdir() if path not in before and path.is_file()]
    assert [hashlib.sha256(path.read_bytes()).digest() for path in written] == \
        [hashlib.sha256(content).digest()]


def test_upload_with_expect_is_asked_to_continue(site):
    use_example(site, "chunked_upload")
    module = next(iter(site.app.glob("*chunked*.py"))).stem
    (site.root / "file").write_bytes(b"x" * 2_000_000)
    arbiter = site.start(f"{module}:application")
    result = subprocess.run(
        ["curl", "-v", "-sS", "--max-time", "60", "-H", "Transfer-Encoding: chunked",
         "-H", "Expect: 100-continue", "-d", f"@{site.root}/file",
         f"http://127.0.0.1:{arbiter.port}/"], capture_output=True, check=True, text=True)
    assert "< HTTP/1.1 100 Continue" in result.stderr
    assert "< HTTP/1.1 200 OK" in result.stderr
    assert "< Server: corn" in result.stderr


def test_chunked_response_of_a_generator_byte_for_byte(site):
    use_example(site, "chunked_response")
    path = next(iter(site.app.glob("*chunked*.py")))
    name = "app" if re.search(r"^def app\b", path.read_text(), re.MULTILINE) else "application"
    arbiter = site.start(f"{path.stem}:{name}")
    received = exchange(arbiter.port, b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert body == b"7\r\nline 1\n\r\n7\r\nline 2\n\r\n0\r\n\r\n"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.lower().count(b"transfer-encoding: chunked") == 1


def test_range_response_through_werkzeug(site):
    use_example(site, "range_response")
    path = next(path for path in site.app.glob("*.py") if "parse_range_header" in path.read_text())
    content = bytes(range(256)) * 40
    name = re.search(r"""['"]([\w.-]+\.json)['"]""", path.read_text()).group(1)
    (site.app / name).write_bytes(content)
    arbiter = site.start(f"{path.stem}:application")
    url = f"http://127.0.0.1:{arbiter.port}/"
    assert curl("-r", "1200-1299", url) == content[1200:1300]


def test_bottle_counts_clicks_in_threads(site):
    use_example(site, "bottle_counter")
    path = next(path for path in site.app.glob("*.py") if "bottle" in path.read_text())
    arbiter = site.start("-k", "gthread", "--threads", "4", "-w", "1", f"{path.stem}:application")
    assert b"<button" in get(arbiter.port).body
    values = [get(arbiter.port, "/getvalue").body for _ in range(3)]
    assert values == [b'{"value":1}', b'{"value":2}', b'{"value":3}']
    assert "Using worker: gthread" in arbiter.log()


def test_process_list_tells_arbiter_and_workers_apart(site):
    use_example(site, "hello")
    arbiter = site.start("--workers=3", "wsgi_test:application")
    titles = sorted(process_title(pid) for pid in site.processes())
    assert titles == ["corn: arbiter [wsgi_test:application]"] + \
        ["corn: worker [wsgi_test:application]"] * 3
    assert arbiter.status()["arbiter"]["pid"] == arbiter.pid
