# SPDX-License-Identifier: Apache-2.0
"""BaseApplication.run(): who becomes the arbiter, who goes on, and what happens when that fails.

The engine and arbiterd are stand-ins here: the engine waits for one datagram, "leave N", and arbiterd is
a script that tells what it was given.
"""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys

import corn
import pytest

PACKAGE = pathlib.Path(corn.__file__).parent

ENGINE = '''
import os, socket
version = {version!r}
def serve(channel, app):
    app.corn_reload_config()
    with socket.socket(fileno=channel) as arbiter:
        arbiter.send(f"{{os.getpid()}} {{os.getpgrp()}} {{app.corn_values()}}".encode())
        word = arbiter.recv(1000).decode().split()
    return int(word[1]) if word else 1
'''

ARBITERD = '''#!/usr/bin/python3
import json, os, signal, socket, sys
channel = socket.socket(fileno=int(os.environ["CORN_SCRIPT_FD"]))
pid, group, values = channel.recv(10000).decode().split(" ", 2)
print("arbiterd", json.dumps({"pid": os.getpid(), "script": int(pid), "group": int(group),
      "values": values, "arguments": sys.argv[1:], "parent": os.getppid(), "session": os.getsid(0),
      "variables": [name for name in os.environ if name.endswith("CMD_ARGS")]}), flush=True)
if BEHAVIOUR == "die":
    os.kill(os.getpid(), signal.SIGKILL)
channel.send(b"leave 7")
ends = {}
try:
    while True:
        ended, status = os.wait()
        ends[ended] = os.waitstatus_to_exitcode(status)
except ChildProcessError:
    pass
print("ends", json.dumps(ends), flush=True)
sys.exit(ends[int(pid)])
'''

SCRIPT = '''
import atexit, os, sys
from corn.app.base import BaseApplication
{before}
class Mine(BaseApplication):
    def load_config(self):
        self.cfg.set("workers", 2)
        {settings}
    def load(self):
        return None
atexit.register(lambda: print("atexit", os.getpid(), flush=True))
print("waits in the buffer of a stream", os.getpid())
try:
    Mine().run()
finally:
    print("finally", os.getpid(), flush=True)
'''


@pytest.fixture
def tree(tmp_path):
    """A build tree with stand-ins."""
    package = tmp_path / "python" / "corn"
    package.mkdir(parents=True)
    for part in PACKAGE.iterdir():
        if not part.name.startswith("_engine"):
            (package / part.name).symlink_to(part)
    (package / "_engine.py").write_text(ENGINE.format(version=corn.__version__), encoding="utf-8")
    (tmp_path / "bin").mkdir()
    install(tmp_path, ARBITERD.replace("BEHAVIOUR", "'leave'"))
    return tmp_path


def install(tree, arbiterd):
    path = tree / "bin" / "arbiterd"
    path.write_text(arbiterd, encoding="utf-8")
    path.chmod(0o755)


def run(tree, *arguments, before="", settings="pass", code=SCRIPT, **environment):
    """(process, its output) of a script that calls run()."""
    script = tree / "script.py"
    script.write_text(code.format(before=before, settings=settings), encoding="utf-8")
    # Where the output ends up tells nothing about a process's end: other processes hold it too.
    with (tree / "output").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen([sys.executable, script, *arguments], stdout=output, stderr=output,
                                   env={"PYTHONPATH": str(tree / "python"), "PATH": "/bin",
                                        "PYTHONDONTWRITEBYTECODE": "1", **environment})
        process.wait(60)
    return process, (tree / "output").read_text(encoding="utf-8")


def said(output, word):
    return [json.loads(line.removeprefix(word)) for line in output.splitlines()
            if line.startswith(f"{word} ")]


def test_the_script_becomes_the_arbiter_and_goes_on_beside_it(tree):
    process, output = run(tree, GUNICORN_CMD_ARGS="-w 9", CORN_CMD_ARGS="--threads 2")
    arbiter, = said(output, "arbiterd")
    assert arbiter["pid"] == process.pid and arbiter["script"] not in (process.pid, 0)
    assert arbiter["group"] == arbiter["script"], "Ctrl-C is the arbiter's alone"
    assert arbiter["values"] == "[('workers', '2', 'int', 7)]"
    assert arbiter["arguments"] == []
    assert arbiter["variables"] == ["CORN_CMD_ARGS"]
    assert process.returncode == 7


def test_what_follows_run_is_done_once_in_the_script_process(tree):
    process, output = run(tree)
    script = said(output, "arbiterd")[0]["script"]
    assert said(output, "finally") == said(output, "atexit") == [script]
    assert said(output, "waits in the buffer of a stream") == [process.pid]
    assert output.index("finally") < output.index("atexit") < output.index("ends")


def test_the_arbiter_ignores_no_signal_that_python_ignores(tree):
    install(tree, "#!/bin/sh\nexec grep SigIgn /proc/self/status\n")
    _, output = run(tree)
    ignored = int(output.split("SigIgn:")[1].split()[0], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_the_death_of_the_arbiter_ends_the_script(tree):
    install(tree, ARBITERD.replace("BEHAVIOUR", "'die'"))
    process, _ = run(tree)
    assert process.returncode == -signal.SIGKILL
    script = said((tree / "output").read_text(encoding="utf-8"), "arbiterd")[0]["script"]
    descriptor = -1
    try:
        descriptor = os.pidfd_open(script)
        assert select.select([descriptor], [], [], 30)[0]
    except ProcessLookupError:
        pass
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    output = (tree / "output").read_text(encoding="utf-8")
    assert said(output, "finally") == said(output, "atexit") == [script]


def test_children_from_before_are_reaped_by_the_arbiter(tree):
    process, output = run(tree, before="import subprocess\n"
                          "child = subprocess.Popen(['/bin/sh', '-c', 'exit 3'])\n"
                          "print('child', child.pid)")
    child, = said(output, "child")
    assert said(output, "ends")[0][str(child)] == 3
    assert process.returncode == 7


def test_multiprocessing_from_before_works_after_run(tree):
    code = '''
import multiprocessing, os, time
from corn.app.base import BaseApplication
class Mine(BaseApplication):
    def load_config(self): {settings}
context = multiprocessing.get_context("fork")
{before}
child = context.Process(target=time.sleep, args=(1000,))
child.start()
manager = context.Manager()
values = manager.dict(a=1)
try:
    Mine().run()
finally:
    values["b"] = 2
    print("values", "[%d, %d]" % (values["a"], values["b"]), flush=True)
    print("alive", str(child.is_alive()).lower(), flush=True)
    child.terminate()
    child.join()
    print("alive", str(child.is_alive()).lower(), flush=True)
'''
    process, output = run(tree, code=code)
    assert said(output, "values") == [[1, 2]], output
    assert said(output, "alive") == [True, False]
    assert len(said(output, "ends")[0]) == 3, "script process, child and manager"
    assert process.returncode == 7 and "Traceback" not in output


def test_a_daemon_leaves_the_terminal_and_its_starter(tree):
    install(tree, ARBITERD.replace("BEHAVIOUR", "'leave'").replace(
        "import json", f"import sys; sys.stdout = open({str(tree / 'told')!r}, 'w')\nimport json"))
    os.mkfifo(tree / "told")
    reader = os.open(tree / "told", os.O_RDONLY | os.O_NONBLOCK)
    process, _ = run(tree, settings="self.cfg.set('daemon', True)")
    assert select.select([reader], [], [], 30)[0]
    os.set_blocking(reader, True)
    with os.fdopen(reader, encoding="utf-8") as told:
        arbiter, = said("".join(told), "arbiterd")
    assert process.returncode == 0
    assert arbiter["pid"] != process.pid and arbiter["session"] not in (arbiter["pid"], os.getsid(0))


def test_an_arbiterd_that_cannot_be_run_ends_the_script_once(tree):
    install(tree, "#!/no/such/interpreter\n")
    process, output = run(tree)
    assert process.returncode == 1
    assert f"corn: {tree}/bin/arbiterd cannot be run: No such file or directory" in output
    assert len(said(output, "finally")) == len(said(output, "atexit")) == 1


def test_without_an_arbiterd_run_fails_in_the_script_itself(tree):
    if pathlib.Path("/usr/sbin/arbiterd").exists():
        pytest.skip("Corn is installed on this machine")
    (tree / "bin" / "arbiterd").unlink()
    process, output = run(tree)
    assert process.returncode == 1 and "arbiterd is not found" in output
    assert said(output, "finally") == [process.pid]


def test_an_engine_of_another_version_is_refused(tree):
    (tree / "python" / "corn" / "_engine.py").write_text(ENGINE.format(version="0.0.1"),
                                                         encoding="utf-8")
    process, output = run(tree)
    assert process.returncode == 1
    assert f"the package corn is of version {corn.__version__}, but the engine" in output


def test_without_an_engine_run_tells_what_it_needs(tree):
    (tree / "python" / "corn" / "_engine.py").unlink()
    process, output = run(tree)
    assert process.returncode == 1
    assert "the engine cannot be loaded into this Python" in output


def test_threads_from_before_are_told_of(tree):
    _, output = run(tree, before="import threading, time\n"
                    "threading.Thread(target=time.sleep, args=(1000,), name='beat', "
                    "daemon=True).start()")
    assert "corn: a thread lives in one process only" in output and "beat end here" in output


def test_run_in_another_thread_is_an_error(tree):
    code = SCRIPT.replace("    Mine().run()", "    import threading\n"
                          "    thread = threading.Thread(target=Mine().run)\n"
                          "    thread.start(); thread.join()")
    _, output = run(tree, code=code)
    assert "RuntimeError: run() is to be called in the main thread" in output


def test_a_command_line_is_read_by_an_application_that_reads_it(tree):
    code = '''
from corn.app.base import Application
class Mine(Application):
    def init(self, parser, opts, args): {settings}
{before}
Mine().run()
'''
    _, output = run(tree, "-w", "3", "--check-config", code=code, CORN_CMD_ARGS="--threads 2")
    arbiter, = said(output, "arbiterd")
    assert arbiter["arguments"] == ["--check-config"] and arbiter["variables"] == []
    assert "('workers', '3', 'int'" in arbiter["values"]
    assert "('threads', '2', 'int'" in arbiter["values"]
