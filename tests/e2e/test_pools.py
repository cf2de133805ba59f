# SPDX-License-Identifier: Apache-2.0
"""Several pools under one arbiter: their own listeners, workers and generations."""

import pytest

from harness import get, wait_until

TWO_POOLS = """
[arbiter]
proc_name = "shop"

[pool.web]
wsgi_app = "web:application"
bind = "127.0.0.1:0"
workers = 2

[pool.api]
wsgi_app = "api:application"
bind = ["127.0.0.2:0", "127.0.0.3:0"]
workers = 1
worker_class = "gthread"
threads = 4
"""

SAYS = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "{length}")])
    return [b"{text}"]
"""


def says(text):
    return SAYS.format(text=text, length=len(text))


def start(site):
    site.write("web.py", says("web"))
    site.write("api.py", says("api"))
    site.write("corn.toml", TWO_POOLS)
    return site.start(bind=None)


def pool(arbiter, name):
    return next(pool for pool in arbiter.status()["pools"] if pool["name"] == name)


def ask(arbiter, name):
    """What the pool answers at each of its addresses."""
    answers = []
    for listener in pool(arbiter, name)["listeners"]:
        host, _, port = listener["address"].rpartition(":")
        answers.append(get(int(port), host=host).body)
    return answers


def test_each_pool_serves_its_own_application_at_its_own_addresses(site):
    arbiter = start(site)
    assert ask(arbiter, "web") == [b"web"]
    assert ask(arbiter, "api") == [b"api", b"api"]
    assert arbiter.status()["arbiter"]["instance"] == "shop"


def test_scaling_one_pool_leaves_the_other_alone(site):
    arbiter = start(site)
    unnamed = arbiter.cornctl("scale", "+1")
    assert unnamed.returncode != 0 and "web" in unnamed.stderr and "api" in unnamed.stderr
    web_before = [worker["pid"] for worker in pool(arbiter, "web")["workers"]]
    assert arbiter.cornctl("scale", "api", "3").returncode == 0
    assert (pool(arbiter, "web")["target"], pool(arbiter, "api")["target"]) == (2, 3)
    assert [worker["pid"] for worker in pool(arbiter, "web")["workers"]] == web_before


def test_reloading_one_pool_leaves_the_other_alone(site):
    arbiter = start(site)
    api_before = [worker["pid"] for worker in pool(arbiter, "api")["workers"]]
    site.write("web.py", says("new"))
    assert arbiter.cornctl("reload", "web").returncode == 0
    assert ask(arbiter, "web") == [b"new"]
    assert [worker["pid"] for worker in pool(arbiter, "api")["workers"]] == api_before
    assert (pool(arbiter, "web")["generation"], pool(arbiter, "api")["generation"]) == ("2", "1")


def test_a_pool_removed_from_the_file_goes_at_a_reload_and_a_new_one_comes(site):
    arbiter = start(site)
    gone = int(pool(arbiter, "api")["listeners"][0]["address"].rpartition(":")[2])
    site.write("corn.toml", TWO_POOLS.replace("pool.api", "pool.mobile")
               .replace('"127.0.0.2:0", ', ""))
    assert arbiter.cornctl("reload").returncode == 0
    wait_until(lambda: sorted(pool["name"] for pool in arbiter.status()["pools"]) ==
               ["mobile", "web"], "the pools of the new file")
    arbiter.wait_ready()
    assert ask(arbiter, "mobile") == [b"api"]
    with pytest.raises(ConnectionRefusedError):
        get(gone, host="127.0.0.2")


def test_every_worker_ends_with_the_arbiter(site):
    arbiter = start(site)
    assert len(site.processes()) == 4
    assert arbiter.stop() == 0
    site.assert_nothing_left()
