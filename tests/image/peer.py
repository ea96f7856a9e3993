"""Another decoder of pictures, Pillow, for tests/image/corpus.rs.

`peer.py FOLDER` decodes every file in FOLDER/files to FOLDER/decoded: width and height as 32-bit little-endian numbers and
RGBA, of the first frame; nothing where it refuses. `peer.py make FOLDER` first adds what only it can write: lossy WebP.
"""

import struct
import sys
from pathlib import Path

from PIL import Image


def make(files):
    """WebP of every kind, of a picture of our own."""
    plain = Image.open(files / "scene.png").convert("RGB")
    glass = plain.convert("RGBA")
    glass.putalpha(Image.linear_gradient("L").resize(plain.size))
    for name, picture in [("plain", plain), ("glass", glass), ("odd", plain.crop((0, 0, 61, 47)))]:
        for quality in (1, 30, 75, 100):
            for method in (0, 2, 4, 6):
                picture.save(files / f"webp-{name}-q{quality}-m{method}.webp", quality=quality, method=method)
        for effort in (0, 50, 100):
            for exact in (False, True):
                path = files / f"webp-{name}-lossless-{effort}-{exact}.webp"
                picture.save(path, lossless=True, quality=effort, method=effort // 20, exact=exact)
        more = [picture.rotate(90).resize(picture.size), picture.rotate(180)]
        for lossless in (False, True):
            path = files / f"webp-{name}-moving-{lossless}.webp"
            picture.save(path, save_all=True, append_images=more, duration=80, lossless=lossless, quality=60)


def decode(path):
    with Image.open(path) as image:
        image.load()
        if image.mode.startswith("I"):
            # Sixteen bits of grey, of which the upper eight are taken; for others Pillow does that by itself.
            image = Image.frombytes("L", image.size, image.convert("I").tobytes()[1::4])
        image = image.convert("RGBA")
        return struct.pack("<II", *image.size) + image.tobytes()


def main():
    folder = Path(sys.argv[-1])
    if sys.argv[1] == "make":
        make(folder / "files")
    (folder / "decoded").mkdir()
    for path in sorted((folder / "files").iterdir()):
        try:
            pixels = decode(path)
        except Exception:  # whatever it says, it refuses
            continue
        (folder / "decoded" / path.name).write_bytes(pixels)


main()
