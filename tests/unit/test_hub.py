"""Checkpoints of the hub, from a local server that speaks the hub's language over HTTP."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

from kimi_demo.checkpoint import conversion, hub, locate
from kimi_demo.checkpoint.writing import write
from kimi_demo.engine import factory
from kimi_demo.errors import CheckpointError
from kimi_demo.model.files import FILE
from kimi_demo.model.tensors import stored_in
from kimi_demo.options import ModelOptions
from tests.release import SPEECH_TOKENIZER

ROOT = Path(__file__).parents[2]
PINNED = hub.PINNED[hub.RELEASE]
NEWER = hashlib.sha1(b"a later commit").hexdigest()
TOKENIZER_COMMIT = hashlib.sha1(b"the speech tokenizer").hexdigest()
NOBODY = "http://127.0.0.1:9"  # a port where nothing answers
LARGE = ("*.safetensors", "*.pt", "*.model")  # stored by their sha256


class Hub:
    """Repositories by name, each with its commits; branch main is the last one.

    asked: "METHOD repo path" of every request. gated: repositories that want a login.
    breaks: path to the number of bytes after which the connection is lost, once.
    damaged: paths whose bytes arrive changed.
    """

    def __init__(self):
        self.repositories = {}
        self.asked, self.gated, self.breaks, self.damaged = [], set(), {}, set()

    def commit_of(self, repo, revision):
        commits = self.repositories[repo]
        return list(commits)[-1] if revision == "main" else revision

    def files(self, repo, commit):
        folder = self.repositories[repo][commit]
        return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}

    def fetched(self, repo):
        """Paths whose content was asked for."""
        begin = f"GET {repo} "
        return {line.removeprefix(begin) for line in self.asked if line.startswith(begin)}


def etag(path, content):
    if any(fnmatch(path, pattern) for pattern in LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def handler(served):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            repo, revision = (api[1], api[3]) if api else (file[1], file[2])
            served.asked.append(f"{self.command} {repo} {file[3] if file else api[2]}")
            if repo not in served.repositories:
                return self.refuse(404, "RepoNotFound")
            if repo in served.gated:
                return self.refuse(403, "GatedRepo")
            commit = served.commit_of(repo, revision)
            if commit not in served.repositories[repo]:
                return self.refuse(404, "RevisionNotFound")
            files = served.files(repo, commit)
            if file:
                return self.send_file(file[3], files[file[3]].read_bytes(), commit)
            if api[2] == "revision":
                return self.send_json({"id": repo, "sha": commit, "siblings": []})
            return self.send_json([described(name, path) for name, path in sorted(files.items())])

        def send_file(self, name, content, commit):
            start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") :].split("-")[0])
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{etag(name, content)}"')
            self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                of = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", of)
                served.asked.append(f"RANGE {name} {start}")
            self.end_headers()
            if self.command == "GET":
                self.send_body(name, content[start:])

        def send_body(self, name, content):
            if name in served.damaged:
                content = bytes([content[0] ^ 1]) + content[1:]
            lost_after = served.breaks.pop(name, None)
            self.wfile.write(content[:lost_after])
            self.close_connection = lost_after is not None

        def send_json(self, values):
            body = json.dumps(values).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def refuse(self, status, code):
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    return Handler


def described(name, path):
    content = path.read_bytes()
    entry = {"type": "file", "path": name, "size": len(content), "oid": etag("git", content)}
    if any(fnmatch(name, pattern) for pattern in LARGE):
        entry["lfs"] = {"oid": etag(name, content), "size": len(content), "pointerSize": 130}
    return entry


@contextmanager
def running(served):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(served))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def served(released, tmp_path, monkeypatch):
    """the hub with the release, its commits as pinned and as of today, and an empty cache."""
    served = Hub()
    served.repositories = {
        hub.RELEASE: {PINNED: released, NEWER: released},
        hub.SPEECH_TOKENIZER: {TOKENIZER_COMMIT: released.parent / SPEECH_TOKENIZER},
    }
    with running(served) as address:
        set_endpoint(monkeypatch, address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield served


def set_endpoint(monkeypatch, address):
    """What HF_ENDPOINT does, for a library that has read it already."""
    files = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "ENDPOINT", address)


def find(name=hub.RELEASE, revision=None):
    return locate.find(name, revision, report=lambda line: None)


def refuses(name, words, revision=None):
    with pytest.raises(CheckpointError, match=words) as caught:
        find(name, revision)
    assert len(str(caught.value).splitlines()) == 1


def test_only_needed_files_are_fetched_at_the_pinned_revision(served, released):
    layout = find()
    assert layout.root.name == PINNED
    assert layout.speech_tokenizer.name == TOKENIZER_COMMIT
    api = {"revision", "tree"}
    fetched = served.fetched(hub.RELEASE) - api
    every = set(served.files(hub.RELEASE, PINNED))
    assert every - fetched == {
        ".gitattributes",
        "README.md",
        "generation_config.json",
        "special_tokens_map.json",
        "modeling_moonshot_kimia.py",
        "configuration_moonshot_kimia.py",
        "tokenization_kimia.py",
        "whisper-large-v3/generation_config.json",
        "whisper-large-v3/tokenizer.json",
    }
    assert served.fetched(hub.SPEECH_TOKENIZER) - api == {
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
    }
    for name in fetched:
        assert (layout.root / name).read_bytes() == (released / name).read_bytes()


def test_what_is_there_is_not_fetched_again(served, tmp_path, monkeypatch):
    layout = find()
    served.asked.clear()
    assert find() == layout
    assert served.fetched(hub.RELEASE) == set()
    assert served.fetched(hub.SPEECH_TOKENIZER) <= {"revision"}  # where is main today?
    served.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find() == layout
    assert served.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    set_endpoint(monkeypatch, NOBODY)
    assert find() == layout


def test_a_revision_can_be_chosen(served):
    assert find(revision="main").root.name == NEWER
    assert find(revision=PINNED).root.name == PINNED
    refuses(hub.RELEASE, "has no revision 'v9'", revision="v9")


def test_other_repositories_are_taken_as_they_are_today(served, released):
    served.repositories["somebody/else"] = {NEWER: released}
    assert find("somebody/else").root.name == NEWER


def test_a_converted_repository_has_no_pickle_fetched(served, released, tmp_path):
    layout = locate.find(str(released))
    converted = tmp_path / "converted"
    conversion.convert(layout, converted, lambda line: None, tmp_path / "locks")
    for path in layout.root.rglob("*"):
        if path.is_file() and not (converted / path.relative_to(released)).exists():
            place = converted / path.relative_to(released)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(path)
    served.repositories["somebody/converted"] = {NEWER: converted}
    assert find("somebody/converted").unconverted == []
    assert not any(name.endswith(".pt") for name in served.fetched("somebody/converted"))


def test_shards_of_every_part_are_fetched(served, released, tmp_path):
    root = tmp_path / "parted"
    shutil.copytree(released, root)
    shutil.copytree(released.parent / SPEECH_TOKENIZER, root / "speech_tokenizer")
    conversion.convert(locate.find(str(root)), root, lambda line: None, tmp_path / "locks")
    folders = [root, *(path for path in root.iterdir() if (path / FILE).exists())]
    assert len(folders) == 5
    for folder in folders:
        tensors = {name: tensor.read() for name, tensor in stored_in(folder).items()}
        write(tensors, folder, sum(tensor.nbytes for tensor in tensors.values()) // 2)
    served.repositories["somebody/parted"] = {NEWER: root}
    found = find("somebody/parted")
    assert stored_in(found.flow).keys() == stored_in(root / "audio_detokenizer").keys()
    fetched = served.fetched("somebody/parted")
    weights = {path.relative_to(root).as_posix() for path in root.rglob("*.safetensors")}
    assert weights == {name for name in fetched if name.endswith(".safetensors")}
    assert not any(name.endswith(".pt") for name in fetched)


def test_a_lost_connection_is_taken_up_where_it_broke(served, released, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # of 10 MB: all of this file
    served.breaks["vocoder/model.pt"] = 10_000
    layout = find()
    assert "RANGE vocoder/model.pt 10000" in served.asked
    pickle = (layout.vocoder / "model.pt").read_bytes()
    assert pickle == (released / "vocoder" / "model.pt").read_bytes()


def test_a_new_start_fetches_only_what_is_missing(served):
    served.repositories.pop(hub.SPEECH_TOKENIZER)
    refuses(hub.RELEASE, SPEECH_TOKENIZER)
    before = served.fetched(hub.RELEASE)
    assert "model-36-of-36.safetensors" in before
    served.asked.clear()
    refuses(hub.RELEASE, SPEECH_TOKENIZER)
    assert served.fetched(hub.RELEASE) == set()


def test_damaged_files_are_deleted_and_named(served):
    served.damaged.add("model-7-of-35.safetensors")
    refuses(hub.RELEASE, r"model-7-of-35\.safetensors arrived damaged and is deleted: start again")
    served.damaged.clear()
    served.asked.clear()
    find()
    first, *_ = [line for line in served.asked if line.endswith(".safetensors")]
    assert "model-7-of-35.safetensors" in first


def test_what_the_hub_does_not_have(served, released, tmp_path):
    refuses("nobody/nothing", "there is no checkpoint 'nobody/nothing', neither a folder")
    served.gated.add(hub.RELEASE)
    refuses(hub.RELEASE, "is gated: accept its terms .* set HF_TOKEN")
    (tmp_path / "empty").mkdir()
    served.repositories["somebody/empty"] = {NEWER: tmp_path / "empty"}
    refuses("somebody/empty", "missing")


def test_no_network_and_nothing_in_the_cache(served, monkeypatch):
    set_endpoint(monkeypatch, NOBODY)
    refuses("somebody/else", "the hub cannot be reached: check the network")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refuses(hub.RELEASE, "unset HF_HUB_OFFLINE")
    assert served.asked == []


def test_a_base_checkpoint_is_pointed_out(served, released):
    base = "moonshotai/Kimi-Audio-7B"
    served.repositories[base] = {NEWER: released}
    said = []
    locate.find(base, report=said.append)
    assert any("base checkpoint, which cannot chat" in line for line in said)


def test_a_folder_goes_before_the_hub(served, released, monkeypatch):
    monkeypatch.chdir(released.parent.parent)
    name = f"{released.parent.name}/{released.name}"
    assert hub.is_hub_id(name)
    assert find(name).root == Path(name)
    assert find("nano").root == locate.EMBEDDED_FOLDER
    assert served.asked == []


@pytest.mark.parametrize("name", ["nano", "./a/b", "../a", "/a/b", "a/b/c", "a b/c", "a/", ""])
def test_what_is_no_hub_id(name):
    assert not hub.is_hub_id(name)


def test_the_environment_is_obeyed(served, tmp_path):
    """HF_HUB_OFFLINE in a process of its own: not even a hub that would answer is asked."""
    program = f"from kimi_demo.checkpoint import locate; locate.find({hub.RELEASE!r})"
    own = {"HF_ENDPOINT": constants.ENDPOINT, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].endswith("unset HF_HUB_OFFLINE once to fetch it")
    assert served.asked == []


def test_what_would_be_fetched_is_told_before(served, released):
    told = locate.pending_downloads(hub.RELEASE)
    assert served.fetched(hub.RELEASE) <= {"revision", "tree"}
    layout = find()
    arrived = served.fetched(hub.RELEASE) - {"revision", "tree"}
    assert {file.name for file in told if file.repo == hub.RELEASE} == arrived
    assert {file.repo for file in told} == {hub.RELEASE, hub.SPEECH_TOKENIZER}
    sizes = {file.name: file.num_bytes for file in told if file.repo == hub.RELEASE}
    assert all((layout.root / name).stat().st_size == size for name, size in sizes.items())
    assert locate.pending_downloads(hub.RELEASE) == []
    assert locate.pending_downloads(str(released)) == []


def test_a_start_plans_from_configurations_before_it_fetches_weights(served, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "default_cache", lambda: tmp_path / "converted")
    with pytest.raises(CheckpointError, match="does not fit"):
        factory.create_engine(ModelOptions(hub.RELEASE, device="cpu", max_memory="cpu=1MiB"))
    for repo in (hub.RELEASE, hub.SPEECH_TOKENIZER):
        fetched = served.fetched(repo) - {"revision", "tree"}
        assert fetched
        assert all(name.endswith((".json", ".yaml")) for name in fetched), fetched
    engine = factory.create_engine(ModelOptions(hub.RELEASE, device="cpu"))
    assert engine.capabilities.model == "Kimi-Audio"
    engine.close()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    set_endpoint(monkeypatch, NOBODY)
    factory.create_engine(ModelOptions(hub.RELEASE, device="cpu")).close()
