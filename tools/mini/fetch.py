"""Fetches the picture sets from npm, pinned by version and integrity."""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile

from common import STYLES, WORK, fail


def tarball(package, version):
    return WORK / "packages" / f"{package[1:].replace('/', '-')}-{version}.tgz"


def read(package, version, *files):
    """JSON files of a fetched package."""
    path = tarball(package, version)
    if not path.exists():
        fail(f"{path} is missing: run `fetch` first")
    with tarfile.open(path) as archive:
        return [json.load(archive.extractfile(f"package/{file}")) for file in files]


def obtain(package, version, integrity):
    """The file of a package, which is fetched if it is not there, and must be the one that is meant."""
    path = tarball(package, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        command = ["npm", "pack", "--silent", f"{package}@{version}"]
        subprocess.run(command, cwd=path.parent, check=True, stdout=sys.stderr)
    found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != integrity:
        fail(f"{path}: expected {integrity}, found {found}")
    return path


def main(_arguments):
    for style in STYLES.values():
        path = obtain(*style)
        print(f"{path.name} {path.stat().st_size / 1e6:.1f} MB")
