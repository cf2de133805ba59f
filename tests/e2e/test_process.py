# SPDX-License-Identifier: Apache-2.0
"""The arbiter as a process among others: daemons, pid files, sockets of every kind, users, systemd, PID 1."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess

import pytest

from harness import BIN, PATIENCE, get, process_alive, wait_until
from load import KeepAliveClient

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_daemon_answers_when_the_command_returns_and_writes_its_pid(site):
    pid_file, log = site.root / "corn.pid", site.root / "error.log"
    result = site.run_arbiter("--daemon", "--pid", pid_file, "--error-logfile", log,
                              "--bind", "127.0.0.1:0", "-w", "2", "wsgi_test:application")
    assert result.returncode == 0, result
    daemon = int(pid_file.read_text())
    status = wait_until(lambda: site.cornctl("--json", "status").stdout, "the daemon's status")
    assert f'"pid": {daemon}' in status or f'"pid":{daemon}' in status
    port = int(log.read_text().split("http://127.0.0.1:")[1].split()[0])
    wait_until(lambda: get(port).status == 200, "an answer")
    assert os.getsid(daemon) != os.getsid(0)
    assert os.readlink(f"/proc/{daemon}/fd/0") == "/dev/null"
    os.kill(daemon, signal.SIGTERM)
    wait_until(lambda: not process_alive(daemon), "the daemon to end")
    assert not pid_file.exists()
    site.assert_nothing_left()


def test_daemon_that_cannot_start_says_so_with_its_status(site):
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = site.run_arbiter("--daemon", "--bind", f"127.0.0.1:{server.getsockname()[1]}",
                                  "wsgi_test:application")
    assert result.returncode == 1 and "Address already in use" in result.stderr, result
    site.assert_nothing_left()


def test_stale_pid_file_is_replaced(site):
    pid_file = site.root / "corn.pid"
    gone = subprocess.Popen(["true"])
    gone.wait()
    pid_file.write_text(f"{gone.pid}\n")
    arbiter = site.start("--pid", pid_file, "wsgi_test:application")
    assert pid_file.read_text().strip() == str(arbiter.pid)
    assert arbiter.stop() == 0 and not pid_file.exists()


def test_what_kill_9_of_the_arbiter_leaves_does_not_hinder_a_new_one(site):
    pid_file, address = site.root / "corn.pid", site.root / "app.sock"
    options = ["--name", "shop", "--pid", pid_file, "--orphan-timeout", "1", "wsgi_test:application"]
    first = site.start(*options, bind=f"unix:{address}")
    os.kill(first.pid, signal.SIGKILL)
    first.process.wait()
    wait_until(lambda: not site.processes(), "orphaned workers to drain and exit")
    second = site.start(*options, bind=f"unix:{address}")
    assert pid_file.read_text().strip() == str(second.pid)
    assert KeepAliveClient(str(address)).request("/")[0] == 200
    assert second.stop() == 0 and not address.exists()
    site.assert_nothing_left()


def test_workers_outlive_an_arbiter_that_was_killed_for_a_while(site):
    first = site.start("--orphan-timeout", "3", "wsgi_test:application")
    port, worker = first.port, first.workers()[0]
    os.kill(first.pid, signal.SIGKILL)
    first.process.wait()
    assert get(port).body == b"Hello World"
    wait_until(lambda: not process_alive(worker), "the orphan to exit after its time-out")


def test_unix_socket_serves_and_is_removed(site):
    address = site.root / "app.sock"
    arbiter = site.start("wsgi_test:application", bind=f"unix:{address}")
    client = KeepAliveClient(str(address))
    assert client.request("/")[2] == b"Hello World"
    client.close()
    assert f"Listening at: unix:{address} ({arbiter.pid})" in arbiter.log()
    assert arbiter.stop() == 0 and not address.exists()


def test_umask_makes_the_unix_socket_private(site):
    address = site.root / "app.sock"
    site.start("--umask", "0o077", "wsgi_test:application", bind=f"unix:{address}")
    assert address.stat().st_mode & 0o077 == 0


def test_a_unix_socket_that_became_somebody_elses_is_left_alone(site):
    address = site.root / "app.sock"
    arbiter = site.start("wsgi_test:application", bind=f"unix:{address}")
    address.unlink()
    address.write_text("somebody else's by now")
    assert arbiter.stop() == 0
    assert address.read_text() == "somebody else's by now"


def test_several_addresses(site):
    address = site.root / "app.sock"
    arbiter = site.start("--bind", f"unix:{address}", "--bind", "[::1]:0", "wsgi_test:application")
    listeners = arbiter.status()["pools"][0]["listeners"]
    assert len(listeners) == 3
    port = int(next(l["address"] for l in listeners if "::1" in l["address"]).rpartition(":")[2])
    with socket.create_connection(("::1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
    assert get(arbiter.port).status == 200
    assert KeepAliveClient(str(address)).request("/")[0] == 200


def test_inherited_socket_by_number(site):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        arbiter = site.start("wsgi_test:application", bind=f"fd://{server.fileno()}",
                             pass_fds=[server.fileno()])
        assert get(server.getsockname()[1]).body == b"Hello World"
        assert arbiter.stop() == 0


def test_sockets_of_socket_activation(site):
    with socket.create_server(("127.0.0.1", 0)) as server:
        # As systemd does it: descriptor 3, and the pid of the process that execs.
        script = (f"exec 3<&{server.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; "
                  f"exec {BIN}/arbiterd wsgi_test:application")
        server.set_inheritable(True)
        site.write("environment.py", "")
        process = subprocess.Popen(["bash", "-c", script], cwd=site.app, env=site.environment(),
                                   pass_fds=[server.fileno()], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            assert get(server.getsockname()[1]).body == b"Hello World"
            worker = next(pid for pid in site.processes() if pid != process.pid)
            variables = pathlib.Path(f"/proc/{worker}/environ").read_bytes()
            assert b"LISTEN_FDS" not in variables and b"LISTEN_PID" not in variables
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


@AS_ROOT
def test_workers_drop_user_and_group_and_the_arbiter_keeps_them(site):
    arbiter = site.start("--user", "nobody", "--group", "nogroup", "-w", "2",
                         "wsgi_test:application")
    for worker in arbiter.workers():
        status = pathlib.Path(f"/proc/{worker}/status").read_text(encoding="utf-8")
        assert "\nUid:\t65534\t65534\t65534\t65534" in status
        assert "\nGid:\t65534\t65534\t65534\t65534" in status
        assert "\nCapEff:\t0000000000000000" in status
    assert os.stat(f"/proc/{arbiter.pid}").st_uid == 0
    assert get(arbiter.port).status == 200
    assert arbiter.stop() == 0
    site.assert_nothing_left()


@AS_ROOT
def test_threads_that_post_fork_has_started_drop_user_and_group_too(site):
    site.write("conf.py", "import threading\ndef post_fork(server, worker):\n"
               "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n")
    arbiter = site.start("-c", "conf.py", "--user", "nobody", "--group", "nogroup", "-w", "1",
                         "wsgi_test:application")
    (worker,) = arbiter.workers()
    threads = list(pathlib.Path(f"/proc/{worker}/task").iterdir())
    assert len(threads) > 1
    for thread in threads:
        status = (thread / "status").read_text(encoding="utf-8")
        assert "\nUid:\t65534\t65534\t65534\t65534" in status
        assert "\nGid:\t65534\t65534\t65534\t65534" in status
        assert "\nGroups:\t0" not in status
        assert "\nCapEff:\t0000000000000000" in status
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_environment_and_directory_reach_the_application(site):
    site.write("sub/where.py", "import os\ndef application(environ, start_response):\n"
               "    body = f'{os.getcwd()} {os.environ[\"COLOUR\"]}'.encode()\n"
               "    start_response('200 OK', [('Content-Length', str(len(body)))])\n"
               "    return [body]\n")
    arbiter = site.start("--chdir", "sub", "-e", "COLOUR=deep blue", "where:application")
    assert get(arbiter.port).body == f"{site.app}/sub deep blue".encode()


def test_captured_output_goes_to_the_error_log(site):
    site.write("prints.py", "print('a line of the application', flush=True)\n"
               "from wsgi_test import application\n")
    log = site.root / "error.log"
    site.start("--capture-output", "--error-logfile", log, "prints:application")
    wait_until(lambda: "a line of the application" in log.read_text(), "the line in the log")


class NotifySocket:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)
        self.seen = []

    def wait_for(self, word):
        while True:
            message = self.socket.recv(4096).decode()
            self.seen.append(message)
            if word in message.splitlines():
                return message


def test_systemd_is_told_when_workers_serve_reload_and_stop(site):
    notify = NotifySocket(site.root / "notify")
    site.write("slow.py", "import time\ntime.sleep(1)\nfrom wsgi_test import application\n")
    arbiter = site.start("slow:application", ready=False,
                         environment={"NOTIFY_SOCKET": str(site.root / "notify")})
    notify.wait_for("READY=1")
    assert arbiter.workers(), "ready means that workers serve"
    variables = pathlib.Path(f"/proc/{arbiter.workers()[0]}/environ").read_bytes()
    assert b"NOTIFY_SOCKET" not in variables
    arbiter.send(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in notify.wait_for("RELOADING=1")
    notify.wait_for("READY=1")
    arbiter.send(signal.SIGTERM)
    notify.wait_for("STOPPING=1")
    assert arbiter.wait_exit() == 0
    assert any("STATUS=" in message for message in notify.seen)


@AS_ROOT
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare(1)")
def test_as_process_1_it_reaps_strangers_and_stops_on_term(site):
    site.write("strays.py", """
import subprocess
def application(environ, start_response):
    # The shell ends at once; its child becomes process 1's and ends a moment later.
    subprocess.run(["sh", "-c", "sleep 0.1 &"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
""")
    # Not the arbiter itself but unshare(1) is our child; with --kill-child it takes process 1 along.
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", BIN / "arbiterd",
         "--bind", f"unix:{site.root}/app.sock", "--pid", site.root / "pid",
         "strays:application"], cwd=site.app, env=site.environment(), stdin=subprocess.DEVNULL,
        stderr=(site.root / "pid1.log").open("wb"))
    try:
        wait_until(lambda: (site.root / "pid").exists(), "the pid file")
        assert (site.root / "pid").read_text().strip() == "1"
        inside = wait_until(lambda: children(process.pid), "process 1")[0]
        client = KeepAliveClient(str(site.root / "app.sock"))
        for _ in range(5):
            assert client.request("/")[2] == b"ok"
        client.close()
        wait_until(lambda: len(children(inside)) == 1, "the strangers to be reaped")
        os.kill(inside, signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def children(pid):
    """Pids of the children, those that have ended and wait to be reaped included."""
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in text.split()]
