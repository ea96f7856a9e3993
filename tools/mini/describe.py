"""Asks `pseudoword captions` about pictures whose style and background are known, and counts how often it is right.

A set is what a user would give together: a held-out object in the four styles on white or on clutter (as `invert` has it to learn
from), in four styles on four colours, or in one style on four colours.
"""

import argparse
import collections
import json
import os
import shutil

from common import COLOURS, STYLES, WORK, fail
from concepts import CONCEPTS, Pictures, fetch_held_out, token
from invert import lay_out, run

SETS = ("white", "clutter", "colours", "one style")
STYLE_NAMES = list(STYLES)
OTHERS = [colour for colour in COLOURS if colour != "white"]


def pictures_of(pictures, name, kind):
    """What is in a set, by file name: the setting, its style and its background (none on clutter)."""
    if kind in ("white", "clutter"):
        learnt = pictures.learnt_from(name, kind)
        return {style: (setting, style, "white" if kind == "white" else None) for style, setting in zip(STYLE_NAMES, learnt, strict=True)}
    # As `unseen` has them: four of each style, one behind the other, each on the next colour.
    unseen = pictures.unseen(name)
    first = 4 * (list(CONCEPTS).index(name) % len(STYLE_NAMES))
    chosen = [0, 5, 10, 15] if kind == "colours" else range(first, first + 4)
    return {unseen[i].name: (unseen[i], STYLE_NAMES[i // 4], OTHERS[i % len(OTHERS)]) for i in chosen}


def verdict(said, true):
    return "left out" if said is None else "right" if said == true else "wrong"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=os.environ.get("PSEUDOWORD", "pseudoword"))
    parser.add_argument("--model", default="mini", help="as for the program")
    parser.add_argument("--only", nargs="+", metavar="CONCEPT")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if not (program := shutil.which(options.program)):
        fail(f"there is no program {options.program}")
    options.program = os.path.abspath(program)
    names = [name for name, concept in CONCEPTS.items() if concept.sort != "style" and name in (options.only or CONCEPTS)]
    fetch_held_out()
    pictures, counts, place = Pictures(), collections.defaultdict(collections.Counter), WORK / "describe"
    for name in names:
        for kind in SETS:
            known = pictures_of(pictures, name, kind)
            lay_out([setting._replace(name=file) for file, (setting, _, _) in known.items()], place, False)
            asked = [place, "--init", CONCEPTS[name].init, "--dry-run", "--json"]
            events = [json.loads(line) for line in run(options, "captions", asked).splitlines()]
            for event in (event for event in events if event["event"] == "caption"):
                said = {part["slot"]: part["words"].removesuffix(" background") for part in event["parts"]}
                _, style, colour = known[os.path.basename(event["name"]).removesuffix(".png")]
                counts[kind, "style"][verdict(said.get("medium"), style)] += 1
                counts[kind, "background"]["right" if said.get("background") == colour else verdict(said.get("background"), colour)] += 1
        print(token(name), {f"{kind}, {what}": dict(counted) for (kind, what), counted in counts.items()}, flush=True)
    print("\n| pictures | what | right | left out | wrong |\n| --- | --- | --- | --- | --- |")
    for (kind, what), counted in counts.items():
        shares = [f"{100 * counted[key] / counted.total():.0f} %" for key in ("right", "left out", "wrong")]
        print(f"| {kind} | {what} | {' | '.join(shares)} |")
