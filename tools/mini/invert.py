"""Teaches a model folder words it never saw, with `pseudoword` itself, and measures what they mean to it afterwards.

A concept is a held-out object or a held-out style. Its word is learned by `pseudoword train` from four pictures as a user would
have them: the thing in the four known styles, or four known things in the new style, on white or on clutter (--background); without
captions. With all there is (--background all --captions) one sees what the model can do at most. Measured are

- the loss on 16 other pictures of the concept (other backgrounds, every second one mirrored), before and after, with captions that
  say everything but the word, so that only the word can make a difference; as the program tells it, and weighted by min-SNR-5, which
  is the same measure for models of either prediction type and for variants with weights of their own;
- 16 pictures from `pseudoword generate` with the word in the captions of the model, each beside the picture of the same noise with
  the initialiser in its place. An object: is it the nearest of all trained and held-out objects (as in evaluate.py), and are style
  and background those of the prompt? A style: is the nearest picture, of known things in five styles, one in the new style, and
  are thing and background those of the prompt?

Each seed of each concept is a folder under WORK/invert/NAME, done when its result.json is there; what is there is not done again.
Variants (--extra, --init, --captions) get a NAME each. The report is made of all that was done with the same model:
summary.json, table.md and sheet.png (all concepts) and words.png (some, for the README), beside.png (two variants, --beside).
"""

import argparse
import collections
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from PIL import Image

import captions
from common import MODEL, WORK, Progress, fail, write_json
from concepts import ASKED_FOR, CONCEPTS, SCENES, Pictures, fetch_held_out, token
from sheets import beside_sheet, contact_sheet, fall, rows, show, tables, words_sheet

ROOT = WORK / "invert"


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
    refuse_mixture(options, plan)
    seconds = next(event["secs"] for event in events if event["event"] == "done")
    # The program counts the letters of a file to start from as if they were words (--init, 2026-11-22): hence a name this short.
    shutil.copy(folder / "run" / "learned_embeds.safetensors", folder / "w")
    both = (options.init or CONCEPTS[name].init, "w")
    losses["unseen, min-SNR-5"] = [weighted_loss(options, name, seed, folder, init, plan["vectors"]) for init in both]
    (folder / "w").unlink()
    return {"loss": losses, "plan": plan, "train seconds": round(seconds, 1)}


def refuse_mixture(options, plan):
    """What is usual for the model may be otherwise in another version of the program."""
    for path in sorted(options.folder.glob("*/*/result.json")):
        before = json.loads(path.read_text())["plan"]
        if changed := [f"{key} was {before.get(key)!r}, is {plan[key]!r}" for key in plan if key != "init" and before.get(key) != plan[key]]:
            fail(f"{options.folder} has words that were learned otherwise ({', '.join(changed)}): give another --name, or delete it")


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
    if options.beside:
        beside_sheet(pictures, groups, (options.beside, options.name), out / "beside.png")
    print(tables(summary))
    print(f"{out}: summary.json, table.md, sheet.png, words.png{', beside.png' if options.beside else ''}")


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
    behind = "what is behind the things that are learned from; all: everything there is of a concept instead of four pictures"
    parser.add_argument("--background", choices=["white", "clutter", "all"], default="white", help=behind)
    parser.add_argument("--steps", type=int, help="instead of the program's default")
    parser.add_argument("--extra", default="", help='more flags for `pseudoword train`: --extra="--vectors 1 --recipe direction"')
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="only write tables and sheets again")
    parser.add_argument("--shown", nargs="+", default=["peach", "tangerine", "fxemoji"], metavar="CONCEPT", help="in words.png")
    parser.add_argument("--beside", metavar="VARIANT", help="another variant, whose words stand beside those of this one in beside.png")
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
