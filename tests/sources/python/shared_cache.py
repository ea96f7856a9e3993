"""Shares one cache between `huggingface_hub` and this program, in both directions and at once. Run by hand:

    python -m venv venv && venv/bin/pip install huggingface_hub==2.4.0
    venv/bin/python tests/sources/python/shared_cache.py FETCH

FETCH is any program that takes a repository and fetches its word into the cache of its environment; `pseudoword inspect`
does, in a script of one line that passes the repository on. Passed with
huggingface_hub 2.4.0 on Linux, 2026-11-22.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REPO = "sd-concepts-library/cat-toy"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "concept_images/0.jpeg": b"j",
    "learned_embeds.bin": bytes((i * 7919 >> 3) & 255 for i in range(300_000)),
    "token_identifier.txt": b"<cat>",
    "type_of_concept.txt": b"object",
}
WORD = hashlib.sha256(FILES["learned_embeds.bin"]).hexdigest()
SEEN = []


def git_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def about(path, data, tree):
    entry = {"rfilename": path, "size": len(data), "blobId": git_id(data)}
    if tree:
        entry = {"type": "file", "path": path, "size": len(data), "oid": git_id(data)}
    if len(data) > 1000:
        entry["lfs"] = {"sha256": WORD, "oid": WORD, "size": len(data), "pointerSize": 135}
    return entry


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        SEEN.append(f"{self.command} {self.path}")

    def answer(self, status, headers, body=b"", slow=False):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(body) if self.command != "HEAD" else 0, 20_000):
            self.wfile.write(body[start : start + 20_000])
            time.sleep(0.1 if slow else 0)

    def do_GET(self):
        if match := re.match(rf"/api/models/{REPO}/(revision|tree)/", self.path):
            tree = match[1] == "tree"
            files = [about(path, data, tree) for path, data in FILES.items()]
            info = files if tree else {"id": REPO, "sha": COMMIT, "private": False, "tags": [], "siblings": files}
            return self.answer(200, {"Content-Type": "application/json"}, json.dumps(info).encode())
        match = re.match(rf"/{REPO}/resolve/\w+/(.*)$", self.path)
        if match and match[1] in FILES:
            data = FILES[match[1]]
            common = {"X-Repo-Commit": COMMIT}
            if len(data) <= 1000:
                return self.answer(200, {**common, "ETag": f'"{git_id(data)}"'}, data)
            # Another host, as the Hub's is.
            to = f"http://localhost:{self.server.server_port}/cdn/{WORD}"
            linked = {"X-Linked-Etag": f'"{WORD}"', "X-Linked-Size": str(len(data))}
            return self.answer(302, {**common, **linked, "Location": to, "ETag": '"x"'})
        if self.path == f"/cdn/{WORD}":
            return self.answer(200, {"ETag": '"cdn"'}, FILES["learned_embeds.bin"], slow=True)
        return self.answer(404, {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1"}
    python = [sys.executable, "-c", f"from huggingface_hub import hf_hub_download as f; f('{REPO}', 'learned_embeds.bin')"]
    ours = [sys.argv[1], REPO]

    def run(command, home, **more):
        return subprocess.Popen(command, env={**base, "HF_HOME": home, **more}, stdout=subprocess.DEVNULL)

    def downloads():
        return SEEN.count(f"GET /cdn/{WORD}")

    for first, second in [(ours, python), (python, ours)]:
        with tempfile.TemporaryDirectory() as home:
            assert run(first, home).wait() == 0
            before = downloads()
            assert run(second, home).wait() == 0 and run(second, home, HF_HUB_OFFLINE="1").wait() == 0
            assert downloads() == before, "it was fetched again"
    with tempfile.TemporaryDirectory() as home:
        before = downloads()
        # Python needs a second to start; the download takes one and a half.
        processes = [run(python, home), run(python, home)]
        time.sleep(0.5)
        processes += [run(ours, home), run(ours, home)]
        assert all(process.wait() == 0 for process in processes)
        assert downloads() == before + 1, SEEN
        blob = os.path.join(home, "hub", "models--sd-concepts-library--cat-toy", "blobs", WORD)
        with open(blob, "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == WORD
    print("one cache, two libraries: as it should be")


main()
