"""What the stages share: where things lie, the picture sets, progress lines, checkpoints that survive a kill."""

import json
import math
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
# Everything big: packages, pictures, checkpoints, logs, samples.
WORK = Path(os.environ.get("MINI_WORK", Path.home() / "mini-work"))
# The model as the program carries it, in eight bits; and in f16, as it was trained, which diffusers opens, too.
MODEL = REPOSITORY / "models" / "mini"
HALF = REPOSITORY / "tests" / "fixtures" / "mini-f16"
SIDE = 64

# The word for each style in captions; npm package, version and integrity of its pictures. Training data: no ShareAlike here.
STYLES = {
    "noto": ("@iconify-json/noto", "1.2.9", "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw=="),
    "twemoji": ("@iconify-json/twemoji", "1.2.5", "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw=="),
    "flat": ("@iconify-json/fluent-emoji-flat", "1.2.6", "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw=="),
    "3d": ("@iconify-json/fluent-emoji", "1.2.7", "sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA=="),
}
# Styles that nothing is ever trained on, for new words to learn (invert.py).
HELD_OUT_STYLES = {
    "noto-v1": ("@iconify-json/noto-v1", "1.2.5", "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA=="),
    "fxemoji": ("@iconify-json/fxemoji", "1.2.2", "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ=="),
}
CATEGORIES = ("Activities", "Animals & Nature", "Food & Drink", "Objects", "Travel & Places")

COLOURS = {
    "white": (255, 255, 255),
    "blue": (90, 150, 240),
    "green": (120, 200, 120),
    "pink": (250, 170, 200),
    "yellow": (250, 225, 110),
    "black": (25, 25, 30),
    "purple": (160, 120, 210),
    "gray": (150, 150, 155),
    "red": (225, 75, 70),
}


def objects():
    """The words for objects, each with its icon's name: those trained on and those held out of all training."""
    trained, held_out = {}, {}
    for line in (HERE / "objects.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, icon, *mark = (part.strip() for part in line.split("|"))
            (held_out if mark == ["held out"] else trained)[name] = icon
    return trained, held_out


class Progress:
    """A line now and then: how far, how fast, how long still."""

    def __init__(self, total, start=0, every=15.0):
        self.total, self.start, self.every = total, start, every
        self.begun = self.last = time.monotonic()

    def due(self):
        return time.monotonic() - self.last >= self.every

    def show(self, done, text=""):
        self.last = time.monotonic()
        rate = (done - self.start) / max(self.last - self.begun, 1e-9)
        left = (self.total - done) / rate if rate > 0 else math.inf
        eta = f"{left / 60:.0f} min left" if math.isfinite(left) else "-"
        print(f"{time.strftime('%H:%M:%S')} {done}/{self.total} {rate:.1f}/s {eta} {text}", flush=True)


def cosine(seen, total, peak, last, warmup):
    """The learning rate after `seen` of `total` samples; nothing but samples decides it, so a run can stop and go on anywhere."""
    if seen < warmup:
        return peak * (seen + 1) / warmup
    return last + (peak - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, (seen - warmup) / max(1, total - warmup))))


def held(seen, warmup, cool_from=None, cool_over=1):
    """The share of the peak learning rate for a run that may end at any time: it rises, stays, and once a cool-down has
    begun (at `cool_from` samples, for `cool_over`) falls to nothing as one minus a square root."""
    share = min(1.0, (seen + 1) / max(1, warmup))
    if cool_from is not None:
        share *= 1 - min(1.0, (seen - cool_from) / cool_over) ** 0.5
    return share


def save_atomically(state, path):
    """Written beside and renamed, so that a kill leaves the old checkpoint or the new one, never half of one."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def fail(message):
    sys.exit(f"mini: {message}")
