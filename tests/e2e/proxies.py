# SPDX-License-Identifier: Apache-2.0
"""nginx and haproxy as children of a test, in the foreground, with everything they write in the test's own
directory. The test opens their listening socket, so that no port is guessed, and they inherit it."""

import os
import shutil
import socket
import subprocess

from harness import PATIENCE, PROGRAM_PATH, get, process_alive, wait_until

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
worker_rlimit_nofile 1024;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  client_max_body_size 64m;
  keepalive_requests 1000000;
  upstream corn {{
    server {upstream};
    keepalive 16;
    keepalive_requests 1000000;
    keepalive_timeout 60s;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://corn;
      proxy_http_version 1.1;
      # A request that Corn loses is not tried again behind the test's back.
      proxy_next_upstream off;
      proxy_request_buffering {buffering};
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $http_x_test_scheme;
      proxy_set_header X-Forwarded-Host $http_host;
    }}
  }}
}}
"""

HAPROXY = """
global
  maxconn 256
  log {directory}/haproxy-log.sock local0
defaults
  mode http
  timeout connect {patience}s
  timeout client {patience}s
  timeout server {patience}s
  # A request that Corn loses is not tried again behind the test's back.
  retries 0
frontend all
  bind fd@{descriptor}
  default_backend corn
backend corn
  option forwardfor
  http-reuse {reuse}
  server corn {upstream} {options}
"""


class Proxy:
    """A proxy that serves once constructed. `port` is where."""

    def __init__(self, site, program, configuration, arguments, **values):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        descriptor = self.listener.fileno()
        file = site.root / f"{program}.conf"
        file.write_text(configuration.format(directory=site.root, port=self.port, descriptor=descriptor,
                                             patience=int(PATIENCE), **values))
        self.log = site.root / f"{program}.out"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [shutil.which(program, path=PROGRAM_PATH), *arguments(file)], cwd=site.root,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[descriptor],
                env={"NGINX": f"{descriptor};", "PATH": os.defpath})  # nginx: sockets it inherits
        wait_until(self.answers, f"{program} to answer")

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}: {self.log.read_text()}")
        try:
            return get(self.port, "/?0").status == 200
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.listener.close()
        assert not process_alive(self.process.pid)


def start_nginx(site, upstream, buffering="on"):
    """`upstream`: "127.0.0.1:PORT" or "unix:PATH"."""
    return Proxy(site, "nginx", NGINX, lambda file: ["-p", site.root, "-c", file, "-e", "stderr"],
                 upstream=upstream, buffering=buffering)


def start_haproxy(site, upstream, options="", reuse="always"):
    """`upstream` as haproxy writes it: "127.0.0.1:PORT" or "unix@PATH"."""
    return Proxy(site, "haproxy", HAPROXY, lambda file: ["-db", "-f", file], upstream=upstream,
                 options=options, reuse=reuse)
