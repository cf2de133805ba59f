# SPDX-License-Identifier: Apache-2.0
"""Clients that people use, and load generators: every request is answered, and connections are kept."""

import http.client
import os
import re
import shutil
import subprocess

import pytest
from harness import APPLICATIONS, ECHO_QUERY, PATIENCE, needs

CLASSES = {"sync": ["-k", "sync"], "gthread": ["-k", "gthread", "--threads", "4"]}
SECRET = os.urandom(1 << 16) * 32  # 2 MiB


@pytest.fixture(params=CLASSES.values(), ids=CLASSES.keys())
def echo(request, site):
    """The base URL of an application that answers with the body it is sent."""
    shutil.copy(APPLICATIONS / "echo.py", site.app)
    return f"http://127.0.0.1:{site.start(*request.param, 'echo:application').port}"


@pytest.fixture(params=CLASSES.values(), ids=CLASSES.keys())
def quick(request, site):
    """The base URL of an application that answers with the query, in two workers."""
    site.write("query.py", ECHO_QUERY)
    arbiter = site.start("-w", "2", "--keep-alive", "60", *request.param, "query:application")
    return f"http://127.0.0.1:{arbiter.port}"


def run(*command, **options):
    result = subprocess.run(list(map(str, command)), capture_output=True, check=False,
                            timeout=4 * PATIENCE, **options)
    assert result.returncode == 0, (result.stdout[-2000:], result.stderr[-2000:])
    return result


def curl(*arguments, **options):
    needs("curl")
    return run("curl", "-sS", "--noproxy", "*", "--max-time", int(2 * PATIENCE), *arguments, **options)


# ---- curl ----

def test_curl_keeps_one_connection_for_many_requests(quick):
    urls = [f"{quick}/?{number}" for number in range(20)]
    result = curl(*urls, "-w", "\n%{http_version} %{num_connects}\n").stdout.decode().split("\n")
    assert result[:-1:2] == [str(number) for number in range(20)]
    assert result[1::2] == ["1.1 1"] + ["1.1 0"] * 19


def test_curl_speaks_http_1_0(quick):
    result = curl("--http1.0", "-i", f"{quick}/?old").stdout.decode()
    assert result.startswith("HTTP/1.1 200 OK\r\n") and result.endswith("\r\n\r\nold")
    kept = curl("--http1.0", "-H", "Connection: keep-alive", f"{quick}/?a", f"{quick}/?b", "-w",
                " %{num_connects} ").stdout
    assert kept == b"a 1 b 0 "


def test_curl_offers_http_2_and_stays_with_1_1(quick):
    result = curl("--http2", f"{quick}/?plain", "-w", " %{http_version}").stdout
    assert result == b"plain 1.1"


def test_curl_uploads_in_chunks(echo):
    assert curl("-T", "-", "-X", "POST", echo + "/body", input=SECRET).stdout == SECRET


def test_curl_waits_for_100_continue(echo):
    result = curl("-v", "-H", "Expect: 100-continue", "--expect100-timeout", 60, "--data-binary",
                  "@-", echo + "/body", input=SECRET)
    assert result.stdout == SECRET
    assert b"< HTTP/1.1 100 Continue" in result.stderr


def test_curl_asks_for_the_head_alone(quick):
    result = curl("-I", f"{quick}/?12345", f"{quick}/?12345", "-w", "%{num_connects}\n")
    text = result.stdout.decode()
    assert text.count("HTTP/1.1 200 OK") == text.count("Content-Length: 5\r\n") == 2
    assert text.endswith("\r\n\r\n0\n")  # the second request found the connection in order


def test_curl_resumes_a_download(site):
    needs("python3:flask")
    shutil.copy(APPLICATIONS / "frameworks" / "with_flask.py", site.app)
    url = f"http://127.0.0.1:{site.start('with_flask:application').port}/file"
    whole = bytes(range(256)) * 4096
    assert curl("-r", "1000-1999", url).stdout == whole[1000:2000]
    part = site.root / "part"
    part.write_bytes(whole[:500_000])
    curl("-C", "-", "-o", part, url)
    assert part.read_bytes() == whole


def test_curl_in_parallel(quick):
    needs("curl")
    result = curl("-Z", "--parallel-max", 16, *[f"{quick}/?{n:03}" for n in range(200)]).stdout
    assert sorted(re.findall("...", result.decode())) == [f"{n:03}" for n in range(200)]


# ---- Python ----

def test_http_client_keeps_its_connection(echo):
    connection = http.client.HTTPConnection(echo.removeprefix("http://"), timeout=PATIENCE)
    for number in range(30):
        body = SECRET[:number * 1000]
        connection.request("POST", "/body", body=body)
        assert connection.getresponse().read() == body
        if number == 0:
            socket = connection.sock
        assert connection.sock is socket
    connection.close()


def test_urllib3_keeps_its_connection(echo):
    needs("python3:urllib3")
    import urllib3
    with urllib3.HTTPConnectionPool(echo.removeprefix("http://").split(":")[0],
                                    int(echo.rpartition(":")[2]), maxsize=1, retries=False,
                                    timeout=PATIENCE) as pool:
        for number in range(30):
            body = SECRET[:number * 1000]
            answer = pool.urlopen("POST", "/body", body=iter([body]) if number % 2 else body,
                                  chunked=bool(number % 2))
            assert (answer.status, answer.data) == (200, body)
        assert (pool.num_connections, pool.num_requests) == (1, 30)


# ---- load generators ----

def test_wrk_sees_no_failure(quick):
    needs("wrk")
    report = run("wrk", "-t", 1, "-c", 32, "-d", 2, "--timeout", f"{int(PATIENCE)}s",
                 f"{quick}/?wrk").stdout.decode()
    assert "Socket errors" not in report and "Non-2xx" not in report, report
    assert int(re.search(r"(\d+) requests in", report).group(1)) > 0, report


@pytest.mark.parametrize("options", [[], ["-k"]], ids=["closing", "keeping"])
def test_ab_sees_no_failure(quick, options):
    needs("ab")
    report = run("ab", "-q", "-n", 1000, "-c", 16, "-s", int(PATIENCE), *options,
                 f"{quick}/?ab").stdout.decode()
    assert re.search(r"Complete requests:\s+1000\n", report), report
    assert re.search(r"Failed requests:\s+0\n", report), report
    assert "Non-2xx" not in report
    if options:
        assert re.search(r"Keep-Alive requests:\s+1000\n", report), report


def test_ab_posts(echo, site):
    needs("ab")
    body = site.root / "body"
    body.write_bytes(SECRET[:100_000])
    report = run("ab", "-q", "-k", "-n", 200, "-c", 8, "-s", int(PATIENCE), "-p", body, "-T",
                 "application/octet-stream", echo + "/body").stdout.decode()
    assert re.search(r"Complete requests:\s+200\n", report), report
    assert re.search(r"Failed requests:\s+0\n", report), report
    assert re.search(r"HTML transferred:\s+20000000 bytes", report), report


@pytest.mark.parametrize("options", [["-disable-keepalive"], []], ids=["closing", "keeping"])
def test_hey_sees_no_failure(quick, options):
    needs("hey")
    report = run("hey", "-n", 1600, "-c", 16, "-t", int(PATIENCE), *options,
                 f"{quick}/?hey").stdout.decode()
    assert re.search(r"\[200\]\s+1600 responses", report), report
    assert "Error distribution" not in report, report


def test_hey_posts(echo, site):
    needs("hey")
    body = site.root / "body"
    body.write_bytes(SECRET[:100_000])
    report = run("hey", "-n", 160, "-c", 16, "-t", int(PATIENCE), "-m", "POST", "-D", body,
                 echo + "/body").stdout.decode()
    assert re.search(r"\[200\]\s+160 responses", report), report
    assert "Error distribution" not in report, report
