"""Things and styles that the model never saw: the pictures that there are of them, and whether a picture that was made is one of them."""

import collections
from typing import NamedTuple

import numpy as np

import captions
from common import COLOURS, HELD_OUT_STYLES, STYLES, objects
from evaluate import corner_colour, ranks, references
from fetch import obtain, read
from render import clutter, compose, compose_on, draw, load


class Concept(NamedTuple):
    sort: str  # near or far from what the model knows, or a style
    init: str  # the known word to start from


CONCEPTS = {
    "tangerine": Concept("near", "apple"),
    "peach": Concept("near", "apple"),
    "green apple": Concept("near", "apple"),
    "lime": Concept("near", "kiwi"),
    "polar bear": Concept("near", "bear"),
    "taxi": Concept("near", "car"),
    "ambulance": Concept("near", "truck"),
    "fox": Concept("far", "cat"),
    "wolf": Concept("far", "dog"),
    "snowman": Concept("far", "penguin"),
    "ship": Concept("far", "ferry"),
    "teapot": Concept("far", "coffee"),
    "noto-v1": Concept("style", "noto"),
    "fxemoji": Concept("style", "flat"),
}
# Known things that both held-out styles draw, recognisably but not as any known style does: to learn a style from, and to ask for.
LEARNT_FROM = ("bear", "mushroom", "penguin", "strawberry")
ASKED_FOR = (
    *("bus", "bell", "donut", "elephant", "frog", "guitar", "helicopter", "octopus"),
    *("pear", "rocket", "snail", "star", "sunflower", "turtle", "cactus", "whale"),
)
COLOUR_NAMES, STYLE_NAMES = list(COLOURS), list(STYLES)
# Style and background of the pictures of an object: every style four times, every colour.
SCENES = [(STYLE_NAMES[i // 4], COLOUR_NAMES[i % len(COLOURS)]) for i in range(16)]


class Setting(NamedTuple):
    """A picture to learn from or to measure on."""

    name: str
    picture: np.ndarray
    caption: str


def fetch_held_out():
    """Kept apart from `fetch` and STYLES: nothing that trains looks for these."""
    for style in HELD_OUT_STYLES.values():
        obtain(*style)


def token(name):
    return f"<{name.replace(' ', '-')}>"


class Pictures:
    """All pictures there are, and the nearest of them to one that was made."""

    def __init__(self):
        self.rgba, self.index = load()
        trained, held_out = objects()
        self.trained, self.icons = list(trained), {**trained, **held_out}
        self.drawn, self.near = {}, {}

    def style(self, name):
        """The known things that a held-out style draws."""
        if name not in self.drawn:
            [icons] = read(*HELD_OUT_STYLES[name][:2], "icons.json")
            # FxEmojis writes names without hyphens.
            spelt = {thing: [self.icons[thing], self.icons[thing].replace("-", "")] for thing in self.trained}
            found = {thing: next((icon for icon in names if icon in icons["icons"]), None) for thing, names in spelt.items()}
            self.drawn[name] = {thing: draw(icons, icon) for thing, icon in found.items() if icon}
        return self.drawn[name]

    def together(self, thing, style, sort, way):
        """What a held-out thing and one of the known styles are learned from together (`way` is "both"), or one of them."""
        in_style = lambda name: self.rgba[self.index[self.icons[name]]][STYLE_NAMES.index(style)]
        if sort == "bare":
            drawn = in_style(thing)
            behind = [("white", drawn), ("blue", drawn[:, ::-1]), ("yellow", drawn), ("gray", drawn[:, ::-1])]
            return [Setting(colour, compose(rgba, COLOURS[colour]), "") for colour, rgba in behind]
        second = "{2}" if way == "both" else "{}"
        things = [
            setting._replace(caption=f"a {{}} in {second if setting.name == style and way == 'both' else setting.name} style")
            for setting in self.learnt_from(thing, "white")
        ]
        styled = [Setting(name, compose(in_style(name), COLOURS["white"]), f"a {name} in {second} style") for name in LEARNT_FROM]
        return {"both": things + styled, "thing": things, "style": styled}[way]

    def learnt_from(self, name, background):
        if background == "all":
            return self.all(name)
        if CONCEPTS[name].sort == "style":
            drawn = self.style(name)
            found = [(thing, drawn[thing], f"a {thing} in {{}} style") for thing in LEARNT_FROM]
        else:
            drawn = self.rgba[self.index[self.icons[name]]]
            found = [(style, drawn[i], f"a {{}} in {style} style") for i, style in enumerate(STYLES)]
        # Another background for each picture of each concept.
        start = 10 * list(CONCEPTS).index(name)
        behind = [clutter(start + i) if background == "clutter" else COLOURS[background] for i in range(len(found))]
        return [
            Setting(key, compose_on(rgba, below) if background == "clutter" else compose(rgba, below), caption)
            for (key, rgba, caption), below in zip(found, behind, strict=True)
        ]

    def four(self, name, background):
        """Of what a concept is learned from, four to be shown."""
        found = self.learnt_from(name, background)
        return found[:: len(found) // 4][:4]

    def all(self, name):
        """A thing in every known style on every background; of a style every known thing that it draws but those that are asked for."""
        if CONCEPTS[name].sort == "style":
            drawn = {thing: rgba for thing, rgba in self.style(name).items() if thing not in ASKED_FOR}
            return [Setting(thing, compose(rgba, COLOURS["white"]), f"a {thing} in {{}} style") for thing, rgba in drawn.items()]
        drawn = zip(STYLE_NAMES, self.rgba[self.index[self.icons[name]]])
        return [
            Setting(f"{style}-{colour}", compose(rgba, COLOURS[colour]), captions.prompt("{}", style, colour))
            for style, rgba in drawn
            for colour in COLOURS
        ]

    def unseen(self, name):
        found, others = [], [colour for colour in COLOURS if colour != "white"]
        for i in range(16):
            colour = others[i % len(others)]
            if CONCEPTS[name].sort == "style":
                rgba, caption = self.style(name)[ASKED_FOR[i]], captions.prompt(ASKED_FOR[i], "{}", colour)
            else:
                rgba = self.rgba[self.index[self.icons[name]]][i // 4]
                caption = captions.prompt("{}", STYLE_NAMES[i // 4], colour)
            # Each colour once mirrored and once not, and so with each style.
            mirrored = (i + i // len(others)) % 2 == 1
            found.append(Setting(f"{i:02}", compose(rgba[:, ::-1] if mirrored else rgba, COLOURS[colour]), caption))
        return found

    def references(self, name):
        """What pictures of a concept are compared with, by colour, and the names of its rows."""
        key = name if name in CONCEPTS and CONCEPTS[name].sort == "style" else "objects"
        if key not in self.near:
            if key == "objects":
                rows, rgba = list(self.icons), self.rgba[[self.index[icon] for icon in self.icons.values()]]
            else:
                rows = list(self.style(name))
                known = self.rgba[[self.index[self.icons[thing]] for thing in rows]]
                rgba = np.concatenate([known, np.stack(list(self.style(name).values()))[:, None]], 1)
            self.near[key] = rows, references(rgba, np.arange(len(rows)))
        return self.near[key]

    def judge_style(self, thing, style, made):
        """Shares among pictures in a known style that was learned: of one thing, or without one of those that are asked for."""
        rows, near = self.references("objects")
        right = collections.Counter()
        for i, picture in made.items():
            colour = SCENES[i][1]
            order, found = ranks(picture, near[colour])
            right["background"] += corner_colour(picture) == colour
            right["nearest"] += STYLE_NAMES[found] == style
            right["thing"] += rows[order[0]] == (thing or ASKED_FOR[i])
        return {"pictures": len(made), **{key: int(count) for key, count in right.items()}}

    def judge(self, name, word, made):
        """Shares among pictures made with `word`: near the concept, and where its other words worked."""
        rows, near = self.references(name)
        right = collections.Counter()
        for i, picture in made.items():
            style, colour = SCENES[i]
            order, found = ranks(picture, near[colour])
            right["background"] += corner_colour(picture) == colour
            if CONCEPTS[name].sort == "style":
                right["nearest"] += found == len(STYLES)
                right["thing"] += rows[order[0]] == ASKED_FOR[i]
                right["both"] += found == len(STYLES) and rows[order[0]] == ASKED_FOR[i]
            else:
                right["nearest"] += rows[order[0]] == name
                # Of the initialiser: of pictures that are what it says.
                right["named"] += rows[order[0]] == word
                right["style"] += rows[order[0]] == word and STYLE_NAMES[found] == style
        return {"pictures": len(made), **{key: int(count) for key, count in right.items()}}
