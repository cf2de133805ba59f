# SPDX-License-Identifier: Apache-2.0
"""Frameworks as Debian packages them, unmodified, and what people use them for: over one keep-alive
connection wherever the framework lets it live, in both worker classes."""

import hashlib
import os
import re
import shutil
import subprocess
import threading

import pytest
from harness import APPLICATIONS, PATIENCE, needs

FRAMEWORKS = APPLICATIONS / "frameworks"
CONTENT = bytes(range(256)) * 800  # more than a socket buffer's page, less than body_memory
LARGE = CONTENT * 20  # about 4 MB: spilled to a file by the engine


@pytest.fixture(params=[["-k", "sync"], ["-k", "gthread", "--threads", "4"]],
                ids=["sync", "gthread"])
def serve(request, site):
    """serve(application, ...) starts it in one worker and returns a client of it."""
    def start(application, *arguments, **options):
        shutil.copytree(FRAMEWORKS, site.app, dirs_exist_ok=True)
        arbiter = site.start("-w", "1", *request.param, *arguments, application, **options)
        client = Client(arbiter)
        request.addfinalizer(client.session.close)
        return client
    return start


class Client:
    """A session of python3-requests: cookies and a connection that is kept."""

    def __init__(self, arbiter):
        import requests  # only once a test has seen that it is there
        self.arbiter = arbiter
        self.base = f"http://127.0.0.1:{arbiter.port}"
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy from the environment

    def request(self, method, path, **options):
        options.setdefault("timeout", PATIENCE)
        return self.session.request(method, self.base + path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def check_failing_page(self, path, page):
        """A view that raises is answered by the framework or by Corn, and the worker goes on."""
        workers = self.arbiter.workers()
        answer = self.get(path)
        assert answer.status_code == 500 and re.search(page, answer.text), answer.text
        self.arbiter.wait_for_log(r"RuntimeError: meant to fail")
        assert self.arbiter.workers() == workers


def check_ranges(client, path, whole):
    assert client.get(path).content == whole
    part = client.get(path, headers={"Range": "bytes=100-299"})
    assert part.status_code == 206 and part.content == whole[100:300]
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(whole)}"
    last = client.get(path, headers={"Range": "bytes=-7"})
    assert last.status_code == 206 and last.content == whole[-7:]
    beyond = client.get(path, headers={"Range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416
    head = client.request("HEAD", path)
    assert head.status_code == 200 and head.content == b""
    assert int(head.headers["Content-Length"]) == len(whole)


def test_bottle(serve):
    needs("python3:bottle", "python3:requests")
    client = serve("with_bottle:application")
    assert client.get("/hello/W%C3%B6rld").text == "Hello Wörld!"
    assert client.get("/hello/%3Cb%3E").text == "Hello &lt;b&gt;!"
    assert client.post("/json", json={"b": 1, "a": [2]}).text == '{"a": [2], "b": 1}'
    answer = client.post("/upload", files={"data": ("größe.bin", LARGE)}).json()
    assert answer["sha256"] == hashlib.sha256(LARGE).hexdigest()
    assert [client.get("/cookie").text for _ in range(3)] == ["1", "2", "3"]
    streamed = client.get("/stream/500")
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    assert streamed.text == "".join(f"line {number}\n" for number in range(500))
    check_ranges(client, "/file", (FRAMEWORKS / "with_bottle.py").read_bytes())
    assert client.get("/nowhere").status_code == 404
    assert "Not found: &#039;/nowhere&#039;" in client.get("/nowhere").text
    assert client.request("PUT", "/json", data=b"{}").status_code == 405
    client.check_failing_page("/fail", "Internal Server Error")


def test_flask(serve):
    needs("python3:flask", "python3:requests")
    client = serve("with_flask:application")
    assert client.get("/?name=<b>%20%C3%B6").text == "<p>Hello &lt;b&gt; ö</p>"
    assert client.get("/whoami").text == "nobody"
    assert client.post("/login", data={"user": "Zoë & co"}).text == "Zoë & co"  # after a 303
    assert client.get("/redirect").text == "Zoë & co"
    assert client.post("/logout").status_code == 204
    assert client.get("/whoami").text == "nobody"
    uploaded = client.post("/upload", files={"data": ("a.bin", LARGE)}).json()
    assert uploaded == {"name": "a.bin", "size": len(LARGE),
                        "sha256": hashlib.sha256(LARGE).hexdigest()}
    streamed = client.get("/stream/300", stream=True)
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    assert b"".join(streamed.iter_content(77)).splitlines()[-1] == b"/stream/300 299"
    check_ranges(client, "/file", bytes(range(256)) * 4096)
    whole = client.get("/file")
    assert whole.headers["Content-Disposition"] == "attachment; filename=mebibyte.bin"
    same = client.get("/file", headers={"If-None-Match": whole.headers["ETag"]})
    assert same.status_code == 304 and same.content == b""
    assert client.get("/abort/418").status_code == 418
    missing = client.get("/no/page")
    assert missing.status_code == 404
    assert missing.text == f"no page /no/page in process {client.arbiter.workers()[0]}"
    assert client.get("/external", headers={"Host": "shop.test:81"}).text == \
        "http://shop.test:81/whoami"
    assert client.get("/external", headers={"X-Forwarded-Proto": "https"}).text.startswith("https:")
    client.check_failing_page("/fail", "Internal Server Error")


@pytest.fixture(scope="module")
def django_site(tmp_path_factory):
    """The project with its database made and an administrator in it, to be copied by each test."""
    needs("python3:django", "python3:requests")
    directory = tmp_path_factory.mktemp("django") / "django_site"
    shutil.copytree(FRAMEWORKS / "django_site", directory)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "DJANGO_SUPERUSER_PASSWORD": "secret",
                   "DJANGO_SUPERUSER_USERNAME": "admin", "DJANGO_SUPERUSER_EMAIL": "a@site.test"}
    for command in (["migrate"], ["createsuperuser", "--noinput"]):
        subprocess.run(["/usr/bin/python3", "manage.py", *command], cwd=directory, env=environment,
                       check=True, capture_output=True)
    return directory


def csrf_token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text).group(1)


@pytest.fixture
def django(serve, site, django_site):
    shutil.copytree(django_site, site.app / "project")
    return serve("site_settings.wsgi", "--chdir", str(site.app / "project"))


def test_django_admin_is_entered_with_token_and_session(django):
    refused = django.post("/admin/login/", data={"username": "admin", "password": "secret"})
    assert refused.status_code == 403 and "CSRF" in refused.text
    login = django.get("/admin/")
    assert login.url.endswith("/admin/login/?next=/admin/")
    form = {"csrfmiddlewaretoken": csrf_token(login), "username": "admin", "password": "wrong",
            "next": "/admin/"}
    assert "Please enter the correct username" in django.post("/admin/login/", data=form).text
    form["csrfmiddlewaretoken"] = csrf_token(django.get("/admin/login/"))
    form["password"] = "secret"
    index = django.post("/admin/login/", data=form)
    assert index.status_code == 200 and "Site administration" in index.text
    assert {"sessionid", "csrftoken"} <= set(django.session.cookies.keys())
    add = django.get("/admin/notes/note/add/")
    added = django.post("/admin/notes/note/add/", data={
        "csrfmiddlewaretoken": csrf_token(add), "title": "Größe", "text": "from the admin"})
    assert "was added successfully" in added.text
    assert "<li>Größe: from the admin</li>" in django.get("/notes/").text


def test_django_form_over_a_database(django):
    for number in range(3):
        page = django.get("/notes/")
        saved = django.post("/notes/", data={"csrfmiddlewaretoken": csrf_token(page),
                                             "title": f"note {number}", "text": "<b>"})
        assert saved.status_code == 200 and saved.history[0].status_code == 302
        assert f"<li>note {number}: &lt;b&gt;</li>" in saved.text
    refused = django.post("/notes/", data={"csrfmiddlewaretoken": csrf_token(saved), "title": ""})
    assert refused.status_code == 422 and "This field is required" in refused.text


def test_django_static_files_downloads_streams_and_errors(django):
    style = django.get("/static/notes.css")
    assert style.headers["Content-Type"] == "text/css"
    assert style.content == (FRAMEWORKS / "django_site/notes/static/notes.css").read_bytes()
    unchanged = django.get("/static/notes.css",
                           headers={"If-Modified-Since": style.headers["Last-Modified"]})
    assert unchanged.status_code == 304 and unchanged.content == b""
    assert len(django.get("/static/admin/css/base.css").content) > 1000
    assert django.get("/static/none.css").status_code == 404
    download = django.get("/download/")
    assert download.content == (FRAMEWORKS / "django_site/notes/views.py").read_bytes()
    assert django.get("/stream/200/").text == "".join(f"line {n}\n" for n in range(200))
    assert django.get("/notes", allow_redirects=False).headers["Location"] == "/notes/"
    assert django.get("/", headers={"Host": "elsewhere.test"}).status_code == 400
    django.check_failing_page("/fail/", "Server Error")


def test_falcon(serve):
    needs("python3:falcon", "python3:requests")
    client = serve("with_falcon:application")
    assert client.request("PUT", "/things/a", json={"size": 1}).status_code == 201
    assert client.request("PUT", "/things/a", json={"size": 2}).status_code == 200
    assert client.get("/things/a").json() == {"size": 2}
    gone = client.request("DELETE", "/things/a")
    assert gone.status_code == 204 and gone.content == b""
    missing = client.get("/things/a")
    assert missing.status_code == 404 and missing.json()["title"] == "No such thing"
    assert client.post("/count", data=LARGE).json() == {"size": len(LARGE)}
    assert client.get("/stream/300000").content == b"f" * 300000
    assert client.request("PUT", "/things/a", data=b"{",
                          headers={"Content-Type": "application/json"}).status_code == 400
    assert "GET" in client.request("OPTIONS", "/things/a").headers["Allow"]
    client.check_failing_page("/fail", "500 Internal Server Error")


def test_pyramid(serve):
    needs("python3:pyramid", "python3:requests")
    client = serve("with_pyramid:application")
    assert client.get("/hello/W%C3%B6rld").text == "Hello Wörld!"
    assert client.post("/json", json={"b": 1, "a": 2}).json() == {"a": 2, "b": 1}
    assert [client.get("/visits").text for _ in range(3)] == ["1", "2", "3"]
    streamed = client.get("/iterate/300")
    assert streamed.headers["Transfer-Encoding"] == "chunked"
    assert streamed.text == "".join(f"line {number}\n" for number in range(300))
    check_ranges(client, "/assets/with_pyramid.py", (FRAMEWORKS / "with_pyramid.py").read_bytes())
    assert client.get("/nowhere").status_code == 404
    client.check_failing_page("/fail", "Internal Server Error")


def test_werkzeug_test_application_shows_the_environ(serve):
    needs("python3:werkzeug", "python3:requests")
    client = serve("werkzeug.testapp:test_app")
    page = client.get("/a%20b?question=%C3%B6")
    assert page.status_code == 200 and "WSGI Information" in page.text
    shown = re.sub(r"<wbr>|</?\w+[^>]*>", "", page.text)
    for key in ("wsgi.url_scheme", "wsgi.multithread", "HTTP_HOST", "REMOTE_ADDR", "SERVER_PROTOCOL"):
        assert key in shown, key
    assert "question=%C3%B6" in shown and "/a b" in shown


# ---- PEP 3333's own judge ----

REQUESTS_PER_THREAD = 60


def judged_requests(client, number, failures):
    """Requests of every kind over one session, each of which must come back as it was sent."""
    paths = ["/length", "/iterate", "/write", "/lines", "/readlines"]
    for index in range(REQUESTS_PER_THREAD):
        path, query = paths[index % len(paths)], f"{number}.{index}"
        body = b"line\n" * (index * 7) + b"%d" % index
        kind = index % 4
        if kind == 0:
            answer, wanted = client.get(f"{path}?{query}"), query.encode()
        elif kind == 1:
            answer, wanted = client.post(f"{path}?{query}", data=body), query.encode() + body
        elif kind == 2:  # a generator goes out in chunks
            pieces = (body[at:at + 100] for at in range(0, len(body), 100))
            answer, wanted = client.post(f"{path}?{query}", data=pieces), query.encode() + body
        else:
            answer, wanted = client.request("HEAD", f"{path}?{query}"), b""
        if (answer.status_code, answer.content) != (200, wanted):
            failures.append((path, kind, answer.status_code, answer.content[:200]))


def test_validator_has_no_complaint_under_load(serve, site):
    needs("python3:requests")
    shutil.copy(APPLICATIONS / "validated.py", site.app)
    complaints = site.root / "complaints"
    first = serve("validated:application", environment={"VALIDATED_COMPLAINTS": str(complaints)})
    failures = []
    clients = [Client(first.arbiter) for _ in range(8)]
    threads = [threading.Thread(target=judged_requests, args=(client, number, failures))
               for number, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.session.close()
    assert not complaints.exists(), complaints.read_text()
    assert failures == []
    assert first.arbiter.stop() == 0
    assert "Traceback" not in first.arbiter.log()
