"""Renders the pictures in examples/ from emoji sets on npm, with a caption file beside each.

    python render.py            fetch what is missing into cache/, then write examples/ again
    python render.py --check    fetch and render, but only compare with what examples/ holds

The mini model has never seen these objects (peach, tangerine, fox, taxi) nor these styles (noto-v1, high-contrast); see
examples/README.md.
"""

import argparse
import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import resvg_py
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples"
SIDE = 256

# npm package, version and integrity of each set, under the name that the mini model's captions give its style.
SETS = {
    "noto": ("@iconify-json/noto", "1.2.9", "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw=="),
    "twemoji": ("@iconify-json/twemoji", "1.2.5", "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw=="),
    "flat": ("@iconify-json/fluent-emoji-flat", "1.2.6", "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw=="),
    "3d": ("@iconify-json/fluent-emoji", "1.2.7", "sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA=="),
    "noto-v1": ("@iconify-json/noto-v1", "1.2.5", "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA=="),
    "high-contrast": ("@iconify-json/fluent-emoji-high-contrast", "1.2.6", "sha512-esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w=="),
}

# The backgrounds that the mini model knows.
COLOURS = {
    "white": (255, 255, 255),
    "blue": (90, 150, 240),
    "green": (120, 200, 120),
    "pink": (250, 170, 200),
    "yellow": (250, 225, 110),
}

OBJECTS = ["peach", "tangerine", "fox", "taxi"]
# Held back for judging what was learned: the same objects in other surroundings, (set, background, mirrored).
UNSEEN = [
    ("noto", "blue", True),
    ("twemoji", "yellow", True),
    ("flat", "pink", False),
    ("3d", "green", True),
    ("noto-v1", "white", False),
]

STYLES = ["noto-v1", "high-contrast"]
# What the mini model calls the object, and its icon.
STYLE_SHOWN = {"cat": "cat-face", "house": "house", "mushroom": "mushroom", "penguin": "penguin", "strawberry": "strawberry"}
STYLE_UNSEEN = {"bus": "bus", "dog": "dog-face", "frog": "frog", "rocket": "rocket"}


def fetch(name):
    """The icons of a set, from the cache or from npm; the tarball must be the one that the examples were made from."""
    package, version, integrity = SETS[name]
    cache = HERE / "cache"
    cache.mkdir(exist_ok=True)
    tarball = cache / f"{package[1:].replace('/', '-')}-{version}.tgz"
    if not tarball.exists():
        subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=cache, check=True, stdout=sys.stderr)
    found = "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if found != integrity:
        sys.exit(f"{tarball}: expected {integrity}, found {found}")
    with tarfile.open(tarball) as archive:
        return json.load(archive.extractfile("package/icons.json"))


def render(icons, name, background, mirrored):
    """An icon on a plain background, as RGB."""
    icon = icons["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{SIDE}" height="{SIDE}">{icon["body"]}</svg>'
    )
    drawn = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")
    picture = Image.new("RGBA", drawn.size, COLOURS[background])
    picture.alpha_composite(drawn)
    picture = picture.convert("RGB")
    return ImageOps.mirror(picture) if mirrored else picture


def on(background):
    """The end of a caption; white is what the mini model assumes when nothing is said."""
    return "" if background == "white" else f" on a {background} background"


def plan():
    """Every picture: path without extension, set, icon, background, mirrored, caption."""
    for name in OBJECTS:
        for style in ("noto", "twemoji", "flat", "3d"):
            yield f"{name}/{style}", style, name, "white", False, f"a {{}} in {style} style"
        for style, background, mirrored in UNSEEN:
            manner = "" if style in STYLES else f" in {style} style"
            start = "a picture of a {}" if style in STYLES else "a {}"
            stem = style if background == "white" else f"{style}-{background}"
            yield f"{name}/unseen/{stem}", style, name, background, mirrored, start + manner + on(background)
    for style in STYLES:
        for folder, names in ((f"{style}-style", STYLE_SHOWN), (f"{style}-style/unseen", STYLE_UNSEEN)):
            for word, icon in names.items():
                yield f"{folder}/{word}", style, icon, "white", False, f"a {word} in {{}} style"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if examples/ differs")
    check = parser.parse_args().check
    sets = {name: fetch(name) for name in SETS}
    differing, total = [], 0
    for stem, name, icon, background, mirrored, caption in plan():
        picture = render(sets[name], icon, background, mirrored)
        png, text = EXAMPLES / f"{stem}.png", EXAMPLES / f"{stem}.txt"
        if check:
            same = png.exists() and text.exists() and text.read_text() == caption + "\n"
            if not same or Image.open(png).convert("RGB").tobytes() != picture.tobytes():
                differing.append(stem)
        else:
            png.parent.mkdir(parents=True, exist_ok=True)
            picture.save(png, optimize=True)
            text.write_text(caption + "\n")
        total += 1
    if differing:
        sys.exit("differs: " + ", ".join(differing))
    print(f"{total} pictures {'are as rendered' if check else 'written'}")


if __name__ == "__main__":
    main()
