"""Builds the tokenizer: CLIP's own merges, cut down to those that the captions and all candidate names use.

Words of the closure split exactly as CLIP splits them, because the best pair at every step is kept, in the same order.
The first 1,024 merges stay too, so that other words do not fall to single letters.
"""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import regex

from captions import all_words
from common import WORK, fail, objects, write_json
from render import PICTURES

MERGES = ("open-clip-torch", "3.3.0", "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a")
TOKENIZER = WORK / "tokenizer"
ALWAYS = 1024
PIECES = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
START, END = "<|startoftext|>", "<|endoftext|>"


def clip_merges():
    """CLIP's 48,894 merges, from the package that carries them under the MIT licence."""
    name, version, sha256 = MERGES
    folder = WORK / "packages"
    wheel = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{name}=={version}", "--dest", folder]
        subprocess.run(command, check=True)
    packed = zipfile.ZipFile(wheel).read("open_clip/bpe_simple_vocab_16e6.txt.gz")
    if hashlib.sha256(packed).hexdigest() != sha256:
        fail(f"{wheel}: not the merges expected")
    lines = io.TextIOWrapper(gzip.open(io.BytesIO(packed)), "utf-8").read().split("\n")
    return [tuple(line.split()) for line in lines[1:48895]]


def byte_characters():
    """The character that stands for each byte, in the order of CLIP's vocabulary: printable ones first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def closure(texts, merges):
    """The ranks of the merges that these texts use."""
    rank = {pair: index for index, pair in enumerate(merges)}
    characters = byte_characters()
    used = set(range(ALWAYS))
    for piece in {piece for text in texts for piece in PIECES.findall(text.lower())}:
        parts = [characters[byte] for byte in piece.encode()]
        parts[-1] += "</w>"
        while pairs := [pair for pair in zip(parts, parts[1:]) if pair in rank]:
            best = min(pairs, key=rank.get)
            used.add(rank[best])
            merged, i = [], 0
            while i < len(parts):
                both = tuple(parts[i : i + 2]) == best
                merged.append("".join(best) if both else parts[i])
                i += 2 if both else 1
            parts = merged
    return used


def main(_arguments):
    icons = [str(name).replace("-", " ") for name in np.load(PICTURES)["icons"]]
    trained, held_out = objects()
    merges = clip_merges()
    kept = [merges[i] for i in sorted(closure(all_words([*trained, *held_out, *icons]), merges))]
    single = list(byte_characters().values())
    vocabulary = [*single, *(character + "</w>" for character in single), *("".join(pair) for pair in kept), START, END]
    TOKENIZER.mkdir(parents=True, exist_ok=True)
    ids = {token: index for index, token in enumerate(vocabulary)}
    (TOKENIZER / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False))
    (TOKENIZER / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in kept) + "\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    write_json(TOKENIZER / "special_tokens_map.json", special)
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "add_prefix_space": False}
    write_json(TOKENIZER / "tokenizer_config.json", {**settings, **special})
    print(f"{len(vocabulary)} ids, {len(kept)} merges: {TOKENIZER}")
