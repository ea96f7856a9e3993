"""Renders every candidate icon in every style, and a sheet of the trained and held-out objects.

Leaves pictures.npz: `rgba` (icon, style, 64, 64, 4) with straight alpha, `icons` and `styles` (their names).
"""

import io

import numpy as np
import resvg_py
from PIL import Image

from common import CATEGORIES, SIDE, STYLES, WORK, Progress, objects
from fetch import read

PICTURES = WORK / "pictures.npz"


def draw(icons, name, side=SIDE):
    """An icon with its transparency."""
    icon = icons["icons"][name]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width, height = (icon.get(key, icons.get(key, 16)) for key in ("width", "height"))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{side}" height="{side}">{icon["body"]}</svg>'
    )
    picture = np.array(Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA"))
    picture[picture[..., 3] == 0] = 0
    return picture


def candidates(sets):
    """The icons of things (not people, flags, symbols) that every style has: the 844 of the reference and their like."""
    [metadata] = read(*STYLES["flat"][:2], "metadata.json")
    things = {name for category in CATEGORIES for name in metadata["categories"][category]}
    return sorted(name for name in things if all(name in icons["icons"] for icons in sets.values()))


def load():
    """The pictures, and the index of each icon."""
    pictures = np.load(PICTURES)
    return pictures["rgba"], {name: index for index, name in enumerate(pictures["icons"])}


def compose(rgba, colour):
    """Straight alpha over a plain colour, in sRGB, as floats in 0..1; the last axes are (side, side, 4)."""
    rgb, alpha = rgba[..., :3] / 255.0, rgba[..., 3:] / 255.0
    return (rgb * alpha + np.asarray(colour) / 255.0 * (1 - alpha)).astype(np.float32)


def compose_on(rgba, behind):
    """The same over a picture, (side, side, 3) in 0..1."""
    rgb, alpha = rgba[..., :3] / 255.0, rgba[..., 3:] / 255.0
    return (rgb * alpha + behind * (1 - alpha)).astype(np.float32)


def clutter(number):
    """A background that nobody would call plain: rectangles of all colours and sizes over each other, with grain; another for each number."""
    rng = np.random.default_rng(number)
    behind = np.empty((SIDE, SIDE, 3), np.float32)
    behind[:] = rng.random(3)
    for _ in range(60):
        left, top = rng.integers(-8, SIDE, 2)
        width, height = rng.integers(6, 28, 2)
        behind[max(top, 0) : top + height, max(left, 0) : left + width] = rng.random(3)
    return np.clip(behind + rng.normal(0, 0.02, behind.shape), 0, 1).astype(np.float32)


def main(_arguments):
    sets = {style: read(package, version, "icons.json")[0] for style, (package, version, _) in STYLES.items()}
    names = candidates(sets)
    rgba = np.zeros((len(names), len(STYLES), SIDE, SIDE, 4), np.uint8)
    progress = Progress(len(names), every=5)
    for index, name in enumerate(names):
        for column, icons in enumerate(sets.values()):
            rgba[index, column] = draw(icons, name)
        if progress.due() or index + 1 == len(names):
            progress.show(index + 1, "icons")
    np.savez_compressed(PICTURES, rgba=rgba, icons=np.array(names), styles=np.array(list(STYLES)))

    index = {name: i for i, name in enumerate(names)}
    trained, held_out = objects()
    chosen = [index[icon] for icon in (*trained.values(), *held_out.values())]
    rows = -(-len(chosen) // 12)
    sheet = np.full((rows, 12, 4, SIDE, SIDE, 3), 255, np.uint8)
    sheet.reshape(-1, 4, SIDE, SIDE, 3)[: len(chosen)] = compose(rgba[chosen], (255, 255, 255)) * 255
    sheet = sheet.transpose(0, 3, 1, 2, 4, 5).reshape(rows * SIDE, 48 * SIDE, 3)
    Image.fromarray(sheet).save(WORK / "objects.png")
    print(f"{PICTURES} {PICTURES.stat().st_size / 1e6:.1f} MB, {len(names)} icons; sheet: {WORK / 'objects.png'}")
