"""What words and pictures lose where the mini model's weights are in eight bits: f16 and q8 side by side.

    python tools/mini eight_bits                                     # losses, words and pictures, a minute a seed
    python tools/mini invert --name f16 --captions --only near --model tests/fixtures/mini-f16
    python tools/mini invert --name q8 --captions --only near
    python tools/mini eight_bits --words f16 q8                      # and what both runs of `invert` measured

For each seed a word is learned from `examples/peach` with both storages on the same choices, and pictures are made of the same noise.
A step is 4 samples: its loss in q8 is that of another word, too, since the words part a little with every step; so the mean of all steps is
the measure, and single steps are shown beside it. Of `invert` the same seeds of the same concepts are compared in pairs.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from common import HALF, REPOSITORY, WORK, fail

PROMPTS = ("a apple, noto style on a blue background", "a tiger, 3d style on a white background", "a guitar in flat style", "a <peach>, twemoji style")


def run(options, *arguments):
    line = [options.program, *map(str, arguments), "--model", str(options.model), "--device", options.device, "--offline"]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "RAYON_NUM_THREADS": str(options.threads)})
    if done.returncode:
        fail(f"{' '.join(line)}\nended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def learn(options, storage, seed, folder):
    """Losses of all steps, the loss on the fixed batch at the end, and the word's rows."""
    out = folder / storage
    settings = f"--token <peach> --init apple --steps {options.steps} --seed {seed} --weights {storage} --preview-every 0 --json --overwrite"
    said = run(options, "train", REPOSITORY / "examples" / "peach", *settings.split(), "--out", out)
    events = [json.loads(line) for line in said.splitlines()]
    fixed = [event["loss"] for event in events if event["event"] == "evaluation" and event["on"] == "training"][-1]
    losses = np.array([event["loss"] for event in events if event["event"] == "step"])
    [rows] = load_file(out / "learned_embeds.safetensors").values()
    return losses, fixed, rows.astype(np.float64)


def pictures(options, storage, seed, folder):
    made = folder / f"{storage}.png"
    word = folder / "f16" / "learned_embeds.safetensors"
    # The same word with both.
    said = run(options, "generate", *PROMPTS, "--embedding", word, "--seed", seed, "--weights", storage, "--out", made, "--quiet")
    return [np.asarray(Image.open(path).convert("RGB"), np.float64) for path in said.splitlines()]


def likeness(one, other):
    """In decibels."""
    return 10 * np.log10(255**2 / max(np.square(one - other).mean(), 1e-9))


def pairs(names):
    """What `invert` measured of the same concepts and seeds under two names."""
    folders = [WORK / "invert" / name for name in names]
    settings = [json.loads((folder / "settings.json").read_text()) for folder in folders]
    differ = [key for key in settings[0] if key != "model" and settings[0][key] != settings[1][key]]
    if differ:
        fail(f"{' and '.join(names)} differ in {', '.join(differ)}")
    for path in sorted(folders[0].glob("*/*/result.json")):
        other = folders[1] / path.relative_to(folders[0])
        if other.exists():
            yield [json.loads(file.read_text()) for file in (path, other)]


def measures(result):
    """Shares in percent."""
    learned, (before, after) = result["learned"], result["loss"]["unseen"]
    share = lambda part, whole: 100 * learned[part] / learned[whole] if learned.get(whole) else np.nan
    return {
        "loss on unseen pictures fell by": 100 * (1 - after / before),
        "nearest is the concept": share("nearest", "pictures"),
        "style, where the thing is right": share("style", "nearest"),
        "background": share("background", "pictures"),
    }


def with_error(values):
    values = np.array(values)[~np.isnan(values)]
    return f"{values.mean():.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def words_table(names):
    found = list(pairs(names))
    if not found:
        fail(f"{' and '.join(names)} have no concept and seed in common")
    concepts = sorted({one["concept"] for one, _ in found})
    print(f"\n{len(found)} pairs: {', '.join(concepts)}; means and their standard errors, in percent\n")
    print(f"| | {names[0]} | {names[1]} | difference of pairs |\n| --- | --- | --- | --- |")
    for concept in [*concepts, "all"]:
        chosen = [[measures(result) for result in pair] for pair in found if concept in (pair[0]["concept"], "all")]
        for key in chosen[0][0]:
            one, other = (np.array([pair[i][key] for pair in chosen]) for i in (0, 1))
            print(f"| {concept}: {key} | {with_error(one)} | {with_error(other)} | {with_error(other - one)} |")


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HALF, help="a diffusers folder in f16")
    parser.add_argument("--program", default=os.environ.get("PSEUDOWORD", "pseudoword"), help="default: $PSEUDOWORD, or pseudoword on the path")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--words", nargs=2, metavar=("F16", "Q8"), help="names of two variants of `invert`, whose words are compared, too")
    options = parser.parse_args(arguments)
    print(f"{options.steps} steps, off by, in percent; cosines of the rows; pictures in dB, the worst of {len(PROMPTS)}\n")
    print("| seed | mean of the losses | worst single step, median | fixed batch | cosines | pictures |\n| --- | --- | --- | --- | --- | --- |")
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as place:
            (losses, fixed, rows), (near, nearly, others) = (learn(options, storage, seed, Path(place)) for storage in ("f16", "q8"))
            shown = [pictures(options, storage, seed, Path(place)) for storage in ("f16", "q8")]
        off = 100 * abs(near / losses - 1)
        cosines = [a @ b / np.sqrt(a @ a * (b @ b)) for a, b in zip(rows, others)]
        alike = min(likeness(*pair) for pair in zip(*shown))
        cells = [seed, f"{100 * (near.mean() / losses.mean() - 1):+.3f}", f"{off.max():.2f}, {np.median(off):.2f}", f"{100 * (nearly / fixed - 1):+.3f}"]
        cells += [", ".join(f"{value:.5f}" for value in cosines), f"{alike:.1f}"]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if options.words:
        words_table(options.words)
