"""Teaches the mini model a thing and a style together, from the same pictures, and measures each word in prompts of its own.

Each set is a thing that the model never saw, and one of its styles, whose word starts from another (styles that it never saw do not come out
on it at all). There are pictures of two sorts:

- bare: the thing as that style draws it, four times (on four backgrounds, every second one mirrored), without captions;
- told: the thing in the four styles and four known things in that style, with captions that say where each word stands.

Learned are both words together, and beside that each alone, from the same bare pictures, or from those told pictures that have it. Then
pictures are made, with the same noise for every way of learning: the thing's word in the four known styles (is it the nearest of all
objects, and is the style that of the prompt?), the style's word on known things (is the nearest picture one in that style, and of the
thing of the prompt?), and both words in one prompt. What is nearest is found as `invert` does.

Results are kept in WORK/together/NAME; what is there is not done again. The table is printed, and written to table.md there.
"""

import argparse
import json
import os
import shlex
import shutil
from pathlib import Path

import captions
from common import MODEL, WORK, Progress, fail, write_json
from concepts import ASKED_FOR, CONCEPTS, SCENES, Pictures, fetch_held_out, token
from invert import lay_out, run
from sheets import share, show

ROOT = WORK / "together"
# Thing, style, and the style that the style's word starts from.
SETS = {"peach": ("twemoji", "3d"), "taxi": ("noto", "flat"), "wolf": ("3d", "twemoji")}
WAYS = ("both", "thing", "style")


def learn(options, pictures, thing, style, sort, way, folder):
    """The files of the words that were learned, by `thing` and `style`."""
    lay_out(pictures.together(thing, style, sort, way), folder / "learnt-from", sort == "told")
    words = {"thing": (token(thing), CONCEPTS[thing].init, "object"), "style": (token(style), SETS[thing][1], "style")}
    first, init, kind = words["style" if way == "style" else "thing"]
    arguments = [folder / "learnt-from", "--token", first, "--init", init, "--kind", kind]
    if way == "both":
        arguments += ["--second-token", token(style), "--second-init", SETS[thing][1], *options.flags]
    arguments += ["--seed", options.seed, "--out", folder / "run", "--overwrite", "--eval-every", 0, "--preview-every", 0, "--save-every", 0]
    files = run(options, "train", [*arguments, "--quality", "off", "--quiet"]).splitlines()
    return dict(zip(("thing", "style") if way == "both" else (way,), files, strict=True))


def use(options, pictures, thing, style, words, folder):
    """What came of the prompts: counts by `thing`, `style` and, where both words were learned, `pair`."""
    scenes = list(range(0, 16, 16 // options.pictures))
    prompts = {
        "thing": lambda i: captions.prompt(token(thing), *SCENES[i]),
        "style": lambda i: captions.prompt(ASKED_FOR[i], token(style), SCENES[i][1]),
        "pair": lambda i: captions.prompt(token(thing), token(style), SCENES[i][1]),
    }
    found = {}
    for asked in (*words, *(("pair",) if len(words) == 2 else ())):
        made = {}
        for start in range(0, len(scenes), 4):
            now = scenes[start : start + 4]
            needed = words.values() if asked == "pair" else [words[asked]]
            embeddings = [argument for file in needed for argument in ("--embedding", file)]
            out = folder / "pictures" / f"{asked}-{start:02}.png"
            arguments = [*map(prompts[asked], now), *embeddings, "--seed", 1000 * options.seed + start, "--out", out, "--quiet"]
            made |= zip(now, map(show, run(options, "generate", arguments).splitlines()), strict=True)
        as_style = pictures.judge_style(thing if asked == "pair" else None, style, made)
        found[asked] = pictures.judge(thing, thing, made) if asked == "thing" else as_style
    return found


def table(results):
    heads = ["set", "pictures", "learned", "the thing", "its prompt's style", "background", "the style", "its prompt's thing", "background", "both: the thing", "in the style"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for result in results:
        cells = [f"{result['thing']}, {result['style']} from {SETS[result['thing']][1]}", result["sort"], {"both": "together"}.get(result["way"], f"the {result['way']} alone")]
        for asked, parts in (
            ("thing", (("nearest", "pictures"), ("style", "named"), ("background", "pictures"))),
            ("style", (("nearest", "pictures"), ("thing", "pictures"), ("background", "pictures"))),
            ("pair", (("thing", "pictures"), ("nearest", "pictures"))),
        ):
            found = result["found"].get(asked)
            cells += [share(found.get(part, 0), found.get(whole, 0)) if found else "" for part, whole in parts]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(MODEL), help="a diffusers folder")
    parser.add_argument("--program", default=os.environ.get("PSEUDOWORD", "pseudoword"), help="default: $PSEUDOWORD, or pseudoword on the path")
    parser.add_argument("--name", default="default", help="of the variant: the folder of its results")
    parser.add_argument("--only", nargs="+", default=list(SETS), choices=list(SETS), metavar="THING", help=f"of {', '.join(SETS)}")
    parser.add_argument("--sorts", nargs="+", default=["bare", "told"], choices=["bare", "told"], help="of pictures")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, help="both together, or one alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=16, choices=(4, 8, 16), help="for each word")
    parser.add_argument("--extra", default="", help='more flags for `pseudoword train` where both are learned: --extra="--alone 0.5"')
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    program = shutil.which(options.program)
    if not program:
        fail(f"there is no program {options.program}: build it with `cargo build --release`, and give --program target/release/pseudoword")
    options.program, options.model = os.path.abspath(program), os.path.abspath(options.model)
    options.flags = shlex.split(options.extra)
    fetch_held_out()
    pictures, folder = Pictures(), ROOT / options.name
    settings = {"flags": options.flags, "pictures": options.pictures, "seed": options.seed}
    path = folder / "settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        fail(f"{folder} has results of other settings: give another --name, or delete it")
    write_json(path, settings)
    asked = [(thing, sort, way) for thing in options.only for sort in options.sorts for way in options.ways]
    left = [(thing, sort, way) for thing, sort, way in asked if not (folder / thing / sort / way / "result.json").exists()]
    progress = Progress(len(left))
    for done, (thing, sort, way) in enumerate(left, 1):
        style, here = SETS[thing][0], folder / thing / sort / way
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir(parents=True)
        words = learn(options, pictures, thing, style, sort, way, here)
        found = use(options, pictures, thing, style, words, here)
        write_json(here / "result.json", {"thing": thing, "style": style, "sort": sort, "way": way, "found": found})
        progress.show(done, f"{thing}, {sort}, {way}: {found}")
    done = [folder / thing / sort / way / "result.json" for thing in SETS for sort in ("bare", "told") for way in WAYS]
    text = table([json.loads(path.read_text()) for path in done if path.exists()])
    Path(folder / "table.md").write_text(text)
    print(text)
