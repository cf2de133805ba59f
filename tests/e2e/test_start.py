# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping: what is printed, how processes look, and that nothing stays behind."""

import os
import re
import signal

from harness import get, process_comm, process_title, wait_until

STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def test_two_workers_print_the_five_lines_of_gunicorn(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    lines = arbiter.log().splitlines()[:5]
    pid = arbiter.pid
    assert re.fullmatch(rf"{STAMP} \[{pid}\] \[INFO\] Starting corn \d+\.\d+\.\d+", lines[0])
    assert re.fullmatch(rf"{STAMP} \[{pid}\] \[INFO\] Listening at: "
                        rf"http://127\.0\.0\.1:\d+ \({pid}\)", lines[1])
    assert re.fullmatch(rf"{STAMP} \[{pid}\] \[INFO\] Using worker: sync", lines[2])
    booted = set()
    for line in lines[3:]:
        found = re.fullmatch(rf"{STAMP} \[(\d+)\] \[INFO\] Booting worker with pid: (\d+)", line)
        assert found and found.group(1) == found.group(2), line
        booted.add(int(found.group(1)))
    assert booted == set(arbiter.workers())
    assert len(arbiter.log().splitlines()) == 5, "an uneventful start prints no more"


def test_the_application_answers(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    answer = get(arbiter.port)
    assert (answer.status, answer.body) == (200, b"Hello World")
    assert answer.headers["Server"] == "corn"
    assert answer.headers["Content-Length"] == "11"
    assert answer.headers["Date"]


def test_ps_shows_one_arbiter_and_its_workers(site):
    arbiter = site.start("-w", "2", "wsgi_test:application")
    assert process_title(arbiter.pid) == "corn: arbiter [wsgi_test:application]"
    assert process_comm(arbiter.pid) == "arbiterd"
    workers = arbiter.workers()
    assert len(workers) == 2
    for worker in workers:
        assert process_title(worker) == "corn: worker [wsgi_test:application]"
        assert process_comm(worker) == "workerd"
        assert parent_of(worker) == arbiter.pid
    assert sorted(site.processes()) == sorted([arbiter.pid, *workers])


def test_titles_carry_the_name_given(site):
    name = "a-name-that-is-much-longer-than-the-command-line-" + "x" * 100
    arbiter = site.start("--name", name, "wsgi_test:application")
    assert process_title(arbiter.pid) == f"corn: arbiter [{name}]"
    assert process_title(arbiter.workers()[0]) == f"corn: worker [{name}]"
    assert len(arbiter.status()["arbiter"]["instance"]) > 0


def test_workers_have_process_groups_of_their_own_in_the_arbiters_session(site):
    arbiter = site.start("-w", "2", "wsgi_test:application", start_new_session=True)
    groups = {os.getpgid(pid) for pid in arbiter.workers()}
    assert len(groups) == 2 and os.getpgid(arbiter.pid) not in groups
    assert {os.getsid(pid) for pid in arbiter.workers()} == {os.getsid(arbiter.pid)}


def test_no_foreign_descriptor_reaches_a_worker(site):
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    arbiter = site.start("wsgi_test:application", close_fds=False)
    os.close(write_end)
    descriptors = [os.readlink(f"/proc/{arbiter.workers()[0]}/fd/{fd}")
                   for fd in os.listdir(f"/proc/{arbiter.workers()[0]}/fd")]
    pipes = os.readlink(f"/proc/self/fd/{read_end}")
    os.close(read_end)
    assert pipes not in descriptors


def test_every_way_to_stop_ends_with_status_0_and_leaves_nothing(site):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        arbiter = site.start("-w", "2", "wsgi_test:application")
        assert get(arbiter.port).status == 200
        assert arbiter.stop(number) == 0, arbiter.log()
        site.assert_nothing_left()


def test_term_during_the_start_is_obeyed(site):
    site.write("slow.py", "import time\ntime.sleep(60)\n")
    arbiter = site.start("-w", "2", "slow:application", ready=False)
    arbiter.wait_for_log("Booting worker with pid", count=2)
    assert arbiter.stop() == 0
    site.assert_nothing_left()


def test_workers_end_with_their_cause_in_the_history(site):
    arbiter = site.start("-w", "1", "wsgi_test:application")
    worker = arbiter.workers()[0]
    result = arbiter.cornctl("restart", str(worker))
    assert result.returncode == 0, result
    ends = wait_until(arbiter.exits, "the worker's end in the history")
    assert [(end["pid"], end["cause"]) for end in ends] == [(worker, "killed-by-operator")]


def test_setting_without_effect_is_told_in_the_log(site):
    arbiter = site.start("--worker-tmp-dir", "/dev/shm", "wsgi_test:application")
    arbiter.wait_for_log(r"\[WARNING\] command line: worker_tmp_dir has no effect: ")
    arbiter.send(signal.SIGHUP)
    arbiter.wait_for_log("worker_tmp_dir has no effect", count=2)


def test_a_closed_standard_input_is_given_to_nobody_else(site):
    arbiter = site.start("wsgi_test:application", stdin=None, preexec_fn=lambda: os.close(0))
    assert os.readlink(f"/proc/{arbiter.pid}/fd/0") == "/dev/null"
