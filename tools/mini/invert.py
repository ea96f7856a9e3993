"""Teaches a model folder words it never saw, with `pseudoword` itself, and measures what they mean to it afterwards.

A concept is a held-out object or a held-out style. Its word is learned by `pseudoword train` from four pictures as a user would
have them: the thing in the four known styles, or four known things in the new style, on white or on clutter (--background); without
captions. Measured are

- the loss on 16 other pictures of the concept (other backgrounds, every second one mirrored), before and after, with captions that
  say everything but the word, so that only the word can make a difference; as the program tells it, and weighted by min-SNR-5, which
  is the same measure for models of either prediction type and for variants with weights of their own;
- 16 pictures from `pseudoword generate` with the word in the captions of the model, each beside the picture of the same noise with
  the initialiser in its place. An object: is it the nearest of all trained and held-out objects (as in evaluate.py), and are style
  and background those of the prompt? A style: is the nearest picture, of known things in five styles, one in the new style, and
  are thing and background those of the prompt?

Each seed of each concept is a folder under WORK/invert/NAME, done when its result.json is there; what is there is not done again.
Variants (--extra, --init, --captions) get a NAME each. The report is made of all that was done with the same model:
summary.json, table.md and sheet.png (all concepts) and words.png (some, for the README).
"""

import argparse
import base64
import collections
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import captions
from common import COLOURS, HELD_OUT_STYLES, MODEL, SIDE, STYLES, WORK, Progress, fail, objects, write_json
from evaluate import corner_colour, ranks, references
from fetch import read, tarball
from render import clutter, compose, compose_on, draw, load

ROOT = WORK / "invert"


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
# Which of them the sheets show: chosen before any was seen, not the best.
SHOWN = {"sheet": (0, 1, 4, 5, 10, 11, 12, 14), "words": (1, 4, 11, 12, 9)}
NEAR_LOSS, NEAR_SHARE = 15, 60


class Setting(NamedTuple):
    """A picture to learn from or to measure on."""

    name: str
    picture: np.ndarray
    caption: str


def fetch_held_out():
    """Kept apart from `fetch` and STYLES: nothing that trains looks for these."""
    for package, version, integrity in HELD_OUT_STYLES.values():
        path = tarball(package, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            command = ["npm", "pack", "--silent", f"{package}@{version}"]
            subprocess.run(command, cwd=path.parent, check=True, stdout=sys.stderr)
        found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
        if found != integrity:
            fail(f"{path}: expected {integrity}, found {found}")


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

    def learnt_from(self, name, background):
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
        key = name if CONCEPTS[name].sort == "style" else "objects"
        if key not in self.near:
            if key == "objects":
                rows, rgba = list(self.icons), self.rgba[[self.index[icon] for icon in self.icons.values()]]
            else:
                rows = list(self.style(name))
                known = self.rgba[[self.index[self.icons[thing]] for thing in rows]]
                rgba = np.concatenate([known, np.stack(list(self.style(name).values()))[:, None]], 1)
            self.near[key] = rows, references(rgba, np.arange(len(rows)))
        return self.near[key]

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


def run(options, command, arguments, folder=None):
    """Runs the program, in a folder if one is given, for what it writes to standard output."""
    line = [options.program, command, *map(str, arguments), "--model", options.model, "--device", options.device, "--offline"]
    # Its threads are idle rather than fast when something else works on the same cores.
    environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=folder)
    if done.returncode:
        fail(f"{shlex.join(line)}\nended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def lay_out(settings, folder, with_captions):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, picture, caption in settings:
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(folder / f"{name}.png")
        if with_captions:
            (folder / f"{name}.txt").write_text(caption + "\n")


def learn(options, name, seed, folder):
    """Trains the word. Gives the losses before and after, and what the program planned."""
    concept = folder.parent
    arguments = [concept / "learnt-from", "--unseen", concept / "unseen", "--token", token(name), "--init", options.init or CONCEPTS[name].init]
    arguments += ["--kind", "style" if CONCEPTS[name].sort == "style" else "object", "--seed", seed, "--out", folder / "run", "--overwrite"]
    # Only what does not change the word: looking at it less often, and better in the end.
    arguments += ["--eval-every", 0, "--eval-size", 64, "--preview-every", 0, "--save-every", 0, "--json", *options.flags]
    events = [json.loads(line) for line in run(options, "train", arguments).splitlines()]
    losses = {
        on: [[event["initial"], event["loss"]] for event in events if event["event"] == "evaluation" and event["on"] == on][-1]
        for on in ("training", "unseen")
    }
    plan = next(event for event in events if event["event"] == "plan")
    plan = {key: plan[key] for key in ("init", "vectors", "steps", "recipe", "lr", "samples_per_step")}
    seconds = next(event["secs"] for event in events if event["event"] == "done")
    # The program counts the letters of a file to start from as if they were words (--init, 2026-11-22): hence a name this short.
    shutil.copy(folder / "run" / "learned_embeds.safetensors", folder / "w")
    both = (options.init or CONCEPTS[name].init, "w")
    losses["unseen, min-SNR-5"] = [weighted_loss(options, name, seed, folder, init, plan["vectors"]) for init in both]
    (folder / "w").unlink()
    return {"loss": losses, "plan": plan, "train seconds": round(seconds, 1)}


def weighted_loss(options, name, seed, folder, init, vectors):
    """The loss on the unseen pictures with a word as it is: what a run that would learn from them says before its first step."""
    out = folder / "weighed"
    arguments = [folder.parent / "unseen", "--token", token(name), "--init", init, "--vectors", vectors, "--seed", seed, "--out", out]
    arguments += ["--steps", 1, "--snr-gamma", 5, "--eval-every", 0, "--eval-size", 64, "--preview-every", 0, "--overwrite", "--json"]
    events = [json.loads(line) for line in run(options, "train", arguments, folder).splitlines()]
    shutil.rmtree(out)
    return next(event["initial"] for event in events if event["event"] == "evaluation")


def use(options, name, seed, folder):
    """Makes pictures with the word and with its initialiser in its place. Gives their files by scene."""
    init = options.init or CONCEPTS[name].init
    made = {"initial": {}, "learned": {}}
    scenes = list(range(0, 16, 16 // options.pictures))
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    for start in range(0, len(scenes), 4):
        # One model is loaded for eight pictures; the prompts of a call share their noise.
        asked = [(kind, scene) for kind in made for scene in scenes[start : start + 4]]
        prompts = []
        for kind, scene in asked:
            word, (style, colour) = (init if kind == "initial" else token(name)), SCENES[scene]
            is_style = CONCEPTS[name].sort == "style"
            prompts.append(captions.prompt(ASKED_FOR[scene], word, colour) if is_style else captions.prompt(word, style, colour))
        out = folder / "pictures" / f"{start:02}.png"
        word = folder / "run" / "learned_embeds.safetensors"
        saved = run(options, "generate", [*prompts, "--embedding", word, "--seed", 1000 * seed + start, "--out", out, "--quiet"])
        for (kind, scene), path in zip(asked, saved.splitlines(), strict=True):
            made[kind][scene] = str(Path(path).relative_to(folder))
    return made


def show(path):
    return np.asarray(Image.open(path).convert("RGB")) / np.float32(255)


def measure(options, pictures, name, seed):
    folder = options.folder / token(name)[1:-1] / str(seed)
    if (folder / "result.json").exists():
        return
    lay_out(pictures.learnt_from(name, options.background), folder.parent / "learnt-from", options.captions)
    lay_out(pictures.unseen(name), folder.parent / "unseen", True)
    begun = time.monotonic()
    result = {"concept": name, "sort": CONCEPTS[name].sort, "init": options.init or CONCEPTS[name].init, "seed": seed}
    result["background"] = options.background
    result |= learn(options, name, seed, folder)
    result["files"] = use(options, name, seed, folder)
    for kind, files in result["files"].items():
        word = result["init"] if kind == "initial" else name
        result[kind] = pictures.judge(name, word, {scene: show(folder / path) for scene, path in files.items()})
    result["seconds"] = round(time.monotonic() - begun, 1)
    write_json(folder / "result.json", result)


def fall(result, on="unseen"):
    before, after = result["loss"][on]
    return 100 * (1 - after / before)


def share(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else "-"


def spread(values, digits=1):
    """The mean, and least and most where there are several."""
    text = f"{np.mean(values):.{digits}f} %"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rows(groups):
    """A dictionary for each variant and concept, seeds pooled."""
    for (variant, name), results in groups.items():
        total = {
            kind: collections.Counter({key: sum(result[kind].get(key, 0) for result in results) for key in results[0][kind]})
            for kind in ("initial", "learned")
        }
        losses = np.array([result["loss"]["unseen"] for result in results])
        yield {
            "variant": variant,
            "concept": name,
            "sort": results[0]["sort"],
            "init": results[0]["init"],
            "seeds": len(results),
            "plan": results[0]["plan"],
            "unseen loss": losses.mean(0).round(5).tolist(),
            "unseen loss fell by": [round(fall(result), 1) for result in results],
            "unseen min-SNR-5 loss fell by": [round(fall(result, "unseen, min-SNR-5"), 1) for result in results],
            "training loss fell by": [round(fall(result, "training"), 1) for result in results],
            **{kind: dict(counts) for kind, counts in total.items()},
            "seconds": round(float(np.mean([result["seconds"] for result in results])), 1),
        }


def tables(summary):
    """Markdown: objects, then styles."""
    both = lambda row, part, whole="pictures": " -> ".join(share(row[kind].get(part, 0), row[kind].get(whole, 0)) for kind in ("initial", "learned"))
    lines = []
    for is_style in (False, True):
        chosen = [row for row in summary if (row["sort"] == "style") == is_style]
        if not chosen:
            continue
        others = ["nearest is in the style", "thing", "both"] if is_style else ["nearest is the concept", "style, where the thing is right"]
        heads = ["variant", "concept", "from", "seeds", "unseen loss", "fell by", "min-SNR-5 fell by", *others, "background"]
        lines += ["", f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
        for row in chosen:
            loss = "{:.4f} -> {:.4f}".format(*row["unseen loss"])
            label = row["concept"] if is_style else f"{row['concept']} ({row['sort']})"
            found = [both(row, part) for part in ("nearest", "thing", "both")] if is_style else [both(row, "nearest"), both(row, "style", "named")]
            falls = [spread(row[f"unseen {kind}loss fell by"]) for kind in ("", "min-SNR-5 ")]
            cells = [row["variant"], label, row["init"], row["seeds"], loss, *falls, *found, both(row, "background")]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += overview(summary)
    near = collections.defaultdict(list)
    for row in summary:
        if row["sort"] == "near":
            near[row["variant"]].append(row)
    lines.append("")
    for variant, found in near.items():
        lower = [sum(np.mean(row[f"unseen {kind}loss fell by"]) >= NEAR_LOSS for row in found) for kind in ("", "min-SNR-5 ")]
        nearest = sum(100 * row["learned"]["nearest"] >= NEAR_SHARE * row["learned"]["pictures"] for row in found)
        lines.append(
            f"{variant}: of {len(found)} near objects, {lower[0]} with the loss down by {NEAR_LOSS} % or more (min-SNR-5: {lower[1]}), "
            f"{nearest} nearest in {NEAR_SHARE} % of their pictures or more."
        )
    return "\n".join(lines).strip() + "\n"


def overview(summary):
    """A row for each variant and sort of concept: means over concepts, and the range of the concepts' own."""
    groups = collections.defaultdict(list)
    for row in summary:
        groups[row["variant"], row["sort"]].append(row["learned"])
    heads = ["variant", "sort", "concepts", "nearest", "style or thing kept", "background kept"]
    lines = ["", f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for (variant, sort), found in sorted(groups.items()):
        kept = ("thing", "pictures") if sort == "style" else ("style", "named")
        ratios = [[100 * row.get(part, 0) / row[whole] for row in found if row.get(whole)] for part, whole in (("nearest", "pictures"), kept, ("background", "pictures"))]
        cells = [spread(values, 0) if values else "-" for values in ratios]
        lines.append(f"| {' | '.join(map(str, [variant, sort, len(found), *cells]))} |")
    return lines


def paste(page, picture, left, top, side):
    # Smooth, as a page shows it: these are 64 pixels wide.
    picture = Image.fromarray((picture * 255).round().astype(np.uint8))
    page.paste(picture.resize((side, side), Image.Resampling.BICUBIC), (left, top))


def contact_sheet(pictures, groups, path):
    """A row for each variant and concept: what it learned from, the initialiser's pictures, the word's. First seed."""
    shown, step, label = SHOWN["sheet"], SIDE + 2, 170
    starts = [label, label + 4 * step + 12, label + (4 + len(shown)) * step + 24]
    page = Image.new("RGB", (starts[2] + len(shown) * step, 24 + len(groups) * step), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for left, head in zip(starts, ("learned from", "with the initialiser", "with the word")):
        pen.text((left, 4), head, "black", font)
    for number, ((variant, name), results) in enumerate(groups.items()):
        top, result = 24 + number * step, results[0]
        pen.text((4, top + 4), f"{name}\nfrom {result['init']}\n{variant}", "black", font)
        for i, setting in enumerate(pictures.learnt_from(name, result["background"])):
            paste(page, setting.picture, starts[0] + i * step, top, SIDE)
        for left, kind in zip(starts[1:], ("initial", "learned")):
            for i, scene in enumerate(shown):
                if str(scene) in result["files"][kind]:
                    paste(page, show(result["folder"] / result["files"][kind][str(scene)]), left + i * step, top, SIDE)
    page.save(path)


def words_sheet(pictures, groups, names, variant, path):
    """A few concepts, large, for the README: four pictures, and new ones with the word. First seed."""
    names = [name for name in names if (variant, name) in groups]
    if not names:
        return
    shown, side, gap, line = SHOWN["words"], 128, 12, 22
    block, left = side + 4, 20
    first = left + block + 56
    height = side + line + 34
    page = Image.new("RGB", (first + len(shown) * (side + gap) + left - gap, 16 + len(names) * height), "white")
    pen, font, small = ImageDraw.Draw(page), ImageFont.load_default(17), ImageFont.load_default(13)
    for number, name in enumerate(names):
        top, result = 12 + number * height, groups[variant, name][0]
        pen.text((left, top), "learned from", "black", font)
        is_style = result["sort"] == "style"
        pen.text((first, top), f"a thing, {token(name)} style" if is_style else f"a {token(name)}", "black", font)
        top += line + 4
        for i, setting in enumerate(pictures.learnt_from(name, result["background"])):
            half = side // 2
            paste(page, setting.picture, left + i % 2 * (half + 4), top + i // 2 * (half + 4) - 2, half)
        middle, arrow = top + side // 2, left + block + 12
        pen.line((arrow, middle, arrow + 28, middle), "gray", 3)
        pen.polygon([(arrow + 28, middle - 7), (arrow + 28, middle + 7), (arrow + 38, middle)], "gray")
        for i, scene in enumerate(shown):
            file = result["files"]["learned"].get(str(scene))
            if file:
                style, colour = SCENES[scene]
                left_edge, text = first + i * (side + gap), f"{ASKED_FOR[scene] if is_style else style}, {colour}"
                paste(page, show(result["folder"] / file), left_edge, top, side)
                pen.text((left_edge + side / 2, top + side + 4), text, "dimgray", small, anchor="ma")
    page.save(path)


def report(options, pictures):
    """Everything done with this model, whatever its variant."""
    groups = collections.defaultdict(list)
    for settings in sorted(ROOT.glob("*/settings.json")):
        if json.loads(settings.read_text())["model"] == options.settings["model"]:
            for path in settings.parent.glob("*/*/result.json"):
                result = json.loads(path.read_text())
                groups[settings.parent.name, result["concept"]].append({**result, "folder": path.parent})
    order = list(CONCEPTS)
    # The variants of a concept one below the other.
    groups = {key: sorted(groups[key], key=lambda result: result["seed"]) for key in sorted(groups, key=lambda key: (order.index(key[1]), key[0]))}
    if not groups:
        fail(f"nothing was done with {options.model} yet")
    summary = list(rows(groups))
    out = Path(options.out)
    write_json(out / "summary.json", {**options.settings, "time": time.strftime("%Y-%m-%d %H:%M"), "rows": summary})
    (out / "table.md").write_text(tables(summary))
    contact_sheet(pictures, groups, out / "sheet.png")
    words_sheet(pictures, groups, options.shown, options.name, out / "words.png")
    print(tables(summary))
    print(f"{out}: summary.json, table.md, sheet.png, words.png")


def fingerprint(model):
    """Of the weights that words depend on, so that figures of two models are never mixed."""
    digest = hashlib.sha256()
    for part in ("text_encoder", "unet", "vae"):
        for path in sorted((Path(model) / part).glob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(MODEL), help="a diffusers folder")
    parser.add_argument("--program", default=os.environ.get("PSEUDOWORD", "pseudoword"), help="default: $PSEUDOWORD, or pseudoword on the path")
    parser.add_argument("--name", default="default", help="of the variant: the folder of its results")
    parser.add_argument("--only", nargs="+", default=list(CONCEPTS), metavar="CONCEPT", help=f"of {', '.join(CONCEPTS)}; or near, far, style")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=16, choices=(4, 8, 16), help="for each word and seed")
    told = "learn from captions that name the style, or the thing, instead of the program's templates"
    parser.add_argument("--captions", action="store_true", help=told)
    parser.add_argument("--init", help="a word to start from, instead of each concept's own")
    parser.add_argument("--background", choices=["white", "clutter"], default="white", help="what is behind the things that are learned from")
    parser.add_argument("--steps", type=int, help="instead of the program's default")
    parser.add_argument("--extra", default="", help='more flags for `pseudoword train`: --extra="--vectors 1 --recipe direction"')
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="only write tables and sheets again")
    parser.add_argument("--shown", nargs="+", default=["peach", "tangerine", "fxemoji"], metavar="CONCEPT", help="in words.png")
    parser.add_argument("--out", default=str(ROOT), help="where tables and sheets go")
    options = parser.parse_args(arguments)
    wanted = [name for name, concept in CONCEPTS.items() if name in options.only or concept.sort in options.only]
    if unknown := set(options.only) - set(CONCEPTS) - {concept.sort for concept in CONCEPTS.values()}:
        fail(f"no such concept: {', '.join(sorted(unknown))}; there are {', '.join(CONCEPTS)}")
    program = shutil.which(options.program)
    if not program:
        fail(f"there is no program {options.program}: build it with `cargo build --release`, and give --program target/release/pseudoword")
    if not (Path(options.model) / "unet").is_dir():
        fail(f"{options.model} is no diffusers folder")
    # Absolute: the program is started in other folders.
    options.program, options.model = os.path.abspath(program), os.path.abspath(options.model)
    options.flags = shlex.split(options.extra) + (["--steps", str(options.steps)] if options.steps else [])
    options.folder = ROOT / options.name
    fetch_held_out()
    pictures = Pictures()

    options.settings = {"model": fingerprint(options.model)}
    if not options.report:
        settings = {
            **options.settings,
            "captions": options.captions,
            "background": options.background,
            "init": options.init,
            "flags": options.flags,
            "pictures": options.pictures,
        }
        path = options.folder / "settings.json"
        if path.exists() and (before := json.loads(path.read_text())) != settings:
            changed = ", ".join(f"{key} was {before.get(key)!r}, is {settings[key]!r}" for key in settings if before.get(key) != settings[key])
            fail(f"{options.folder} has results of other settings ({changed}): give another --name, or delete it")
        write_json(path, settings)
        # Seeds outside: with what there is so far, every concept can be looked at.
        asked = [(seed, name) for seed in range(options.seeds) for name in wanted]
        left = [(seed, name) for seed, name in asked if not (options.folder / token(name)[1:-1] / str(seed) / "result.json").exists()]
        progress = Progress(len(left))
        for done, (seed, name) in enumerate(left, 1):
            measure(options, pictures, name, seed)
            result = json.loads((options.folder / token(name)[1:-1] / str(seed) / "result.json").read_text())
            nearest, count = result["learned"]["nearest"], result["learned"]["pictures"]
            progress.show(done, f"{name}, seed {seed}: unseen loss {-fall(result):+.1f} %, nearest {nearest}/{count}, {result['seconds']:.0f} s")
    report(options, pictures)
