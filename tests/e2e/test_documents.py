# SPDX-License-Identifier: Apache-2.0
"""The examples do what the articles about gunicorn that inspired them show, over plain sockets or curl."""

import hashlib
import json
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


def test_configuration_file_computes_its_workers(site):
    use_example(site, "config_file")
    arbiter = site.start("-c", "config.py")
    wanted = os.cpu_count() * 2 + 1
    assert len(arbiter.workers()) == wanted
    assert len(re.findall("Booting worker with pid", arbiter.log())) == wanted
    assert get(arbiter.port).body == b"Hello World"


def test_check_config_accepts_it_in_silence(site):
    use_example(site, "config_file")
    result = site.run_arbiter("--check-config", "-c", "config.py")
    assert (result.returncode, result.stdout) == (0, ""), result
    site.assert_nothing_left()


def test_chunked_upload_of_25_mb_is_written_by_the_application(site):
    use_example(site, "chunked_upload")
    content = os.urandom(1 << 20) * 25
    (site.root / "large-file").write_bytes(content)
    arbiter = site.start("wsgi_chunked_input:application")
    answer = curl("-H", "Transfer-Encoding: chunked", "-T", str(site.root / "large-file"),
                  "-X", "POST", f"http://127.0.0.1:{arbiter.port}/")
    assert answer == b"Hello World\n"
    written = (site.app / "upload.bin").read_bytes()
    assert len(written) == len(content)
    assert hashlib.sha256(written).digest() == hashlib.sha256(content).digest()


def test_upload_with_expect_is_asked_to_continue(site):
    use_example(site, "chunked_upload")
    (site.root / "file").write_bytes(b"x" * 2_000_000)
    arbiter = site.start("wsgi_chunked_input:application")
    result = subprocess.run(
        ["curl", "-v", "-sS", "--max-time", "60", "-H", "Transfer-Encoding: chunked",
         "-H", "Expect: 100-continue", "-d", f"@{site.root}/file",
         f"http://127.0.0.1:{arbiter.port}/"], capture_output=True, check=True, text=True)
    assert "< HTTP/1.1 100 Continue" in result.stderr
    assert "< HTTP/1.1 200 OK" in result.stderr
    assert "< Server: corn" in result.stderr


def test_chunked_response_of_a_generator_byte_for_byte(site):
    use_example(site, "chunked_response")
    arbiter = site.start("wsgi_chunked_output:application")
    received = exchange(arbiter.port, b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert body == b"7\r\nline 1\n\r\n7\r\nline 2\n\r\n0\r\n\r\n"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.lower().count(b"transfer-encoding: chunked") == 1


def test_range_response_through_werkzeug(site):
    use_example(site, "range_response")
    content = bytes(range(256)) * 40
    (site.root / "large-file").write_bytes(content)
    arbiter = site.start("wsgi_range:application",
                         environment={"RANGE_FILE": str(site.root / "large-file")})
    url = f"http://127.0.0.1:{arbiter.port}/"
    assert curl("-r", "1200-1299", url) == content[1200:1300]
    answer = get(arbiter.port, headers={"Range": "bytes=1200-1299"})
    assert answer.status == 206 and answer.headers["Content-Range"] == "bytes 1200-1299/10240"


def clicks(arbiter, count):
    return [json.loads(get(arbiter.port, "/getvalue").body)["value"] for _ in range(count)]


def test_bottle_counts_clicks_in_threads_and_keeps_the_count(site):
    use_example(site, "bottle_counter")
    arbiter = site.start("--threads", "4", "counter:application")
    assert "Using worker: gthread" in arbiter.log()
    assert b"<button" in get(arbiter.port).body
    assert clicks(arbiter, 3) == [1, 2, 3]
    assert arbiter.stop() == 0
    assert (site.app / "state.txt").read_text() == "3"
    assert clicks(site.start("--threads", "4", "counter:application"), 2) == [4, 5]


def test_process_list_tells_arbiter_and_workers_apart(site):
    use_example(site, "hello")
    arbiter = site.start("--workers=3", "wsgi_test:application")
    titles = sorted(process_title(pid) for pid in site.processes())
    assert titles == ["corn: arbiter [wsgi_test:application]"] + \
        ["corn: worker [wsgi_test:application]"] * 3
    assert arbiter.status()["arbiter"]["pid"] == arbiter.pid
