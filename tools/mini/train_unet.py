"""Trains U-Net and text encoder together on the cached latents.

Every batch follows from the seed and the samples seen before it, and so does the learning rate: a run that was stopped
goes on from its newest checkpoint as if nothing had happened. The rate stays at its peak, so that a run needs no end; what is
to be shipped is another run, --cool NAME, that takes the newest checkpoint of the run NAME and lowers the rate to nothing.
"""

import argparse
import copy
import json
import signal
import time

import numpy as np
import torch
from torch import nn

import captions
from common import COLOURS, HALF, STYLES, WORK, Progress, fail, held, objects, save_atomically
from latents import LATENTS
from muon import Muon
from words import TOKENIZER

POSITIONS = 77
WIDTH = 128
# What a run may not change on its way.
SETTINGS = (
    "batch", "optimizer", "rate", "muon_rate", "prediction", "floor", "flip", "ema", "warmup", "text_depth", "attention_at_16", "seed"
)  # fmt: skip


def build(vocabulary, text_depth=2, attention_at_16=False):
    """The two modules, shaped like Stable Diffusion 1.x and small."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    first_down, last_up = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D") if attention_at_16 else ("DownBlock2D", "UpBlock2D")
    unet = UNet2DConditionModel(
        sample_size=16,
        down_block_types=(first_down, "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", last_up),
        block_out_channels=(64, 96, 128),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=text_depth,
            num_attention_heads=4,
            max_position_embeddings=POSITIONS,
            projection_dim=WIDTH,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )
    return nn.ModuleDict({"unet": unet, "text": text})


def warm_start(model, folder, tokens):
    """Takes over an earlier model's weights; token rows by the token's string, the others keep their random start."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    model["unet"].load_state_dict(UNet2DConditionModel.from_pretrained(folder, subfolder="unet").float().state_dict())
    state = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder").float().state_dict()
    [key] = [key for key in state if key.endswith("token_embedding.weight")]
    earlier = json.load(open(f"{folder}/tokenizer/vocab.json"))
    rows = model["text"].state_dict()[key].clone()
    for token, index in tokens.items():
        if token in earlier:
            rows[index] = state[key][earlier[token]]
    model["text"].load_state_dict({**state, key: rows})


class Batches:
    """Latents, token ids, timesteps and noise for the samples from `seen` on: a function of the seed and `seen` alone."""

    def __init__(self, size, seed, flip):
        from transformers import CLIPTokenizer

        self.latents = np.load(LATENTS, mmap_mode="r")
        self.names = list(objects()[0])
        assert len(self.names) == len(self.latents), "objects.txt has changed: run `latents` again"
        self.tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
        self.size, self.seed, self.flip = size, seed, flip

    def tokens(self, texts):
        padded = self.tokenizer(texts, padding="max_length", max_length=POSITIONS, truncation=True)
        return torch.tensor(padded["input_ids"])

    def draw(self, seen):
        rng = np.random.default_rng([self.seed, seen])
        count = len(self.names)
        # Spread evenly: within a batch no object twice (until there are more samples than objects).
        things = np.concatenate([rng.permutation(count) for _ in range(-(-self.size // count))])[: self.size]
        styles = rng.integers(len(STYLES), size=self.size)
        colours = np.where(rng.random(self.size) < 0.3, 0, rng.integers(len(COLOURS), size=self.size))
        flips = (rng.random(self.size) < self.flip).astype(int)
        texts = [
            captions.draw(rng, self.names[thing], captions.STYLE_NAMES[style], captions.COLOUR_NAMES[colour])
            for thing, style, colour in zip(things, styles, colours)
        ]
        latents = torch.from_numpy(self.latents[things, styles, colours, flips]).float()
        # One timestep in each of `size` equal parts of the range: less noise in the loss than drawing freely.
        parts = (np.arange(self.size) + rng.random(self.size)) / self.size
        times = torch.from_numpy((rng.permutation(parts) * 1000).astype(np.int64))
        noise = torch.from_numpy(rng.standard_normal(latents.shape, dtype=np.float32))
        return latents, self.tokens(texts), times, noise


def levels():
    """The cumulative alphas of Stable Diffusion's schedule."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


def min_snr(alphas):
    """Min-SNR-5 for the prediction of noise."""
    return (5 * (1 - alphas) / alphas).clamp(max=1)


def weights(alphas, prediction, floor):
    """Min-SNR-5 with mean 1, as a weight of what is predicted. Seen from the clean picture that weight is min(SNR, 5), next
    to nothing where only words can tell what is drawn; `floor` is the least that it may be."""
    snr = alphas / (1 - alphas)
    clean = snr.clamp(floor, 5)
    weight = clean / (snr if prediction == "epsilon" else snr + 1)
    return weight / weight.mean()


def errors(model, batch, alphas, prediction):
    """Each sample's mean square error of the predicted noise or velocity (Salimans and Ho 2022)."""
    latents, tokens, times, noise = batch
    alpha = alphas[times].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    hidden = model["text"](tokens).last_hidden_state
    predicted = model["unet"](noisy.contiguous(memory_format=torch.channels_last), times, hidden).sample
    return (predicted - target).square().mean((1, 2, 3))


@torch.no_grad()
def validate(model, alphas, prediction, count=8):
    """The min-SNR-5 loss of the noise on the same 384 draws for every run and setting, and its four quarters from little noise
    to much."""
    batches = Batches(48, seed=10**9, flip=0.1)
    drawn = [batches.draw(i) for i in range(count)]
    times = torch.cat([batch[2] for batch in drawn])
    each = min_snr(alphas)[times] * torch.cat([errors(model, batch, alphas, prediction) for batch in drawn])
    if prediction != "epsilon":
        each *= alphas[times]  # the noise that follows from a velocity is off by its error times the signal's share
    quarters = [each[times // 250 == quarter].mean().item() for quarter in range(4)]
    return each.mean().item(), [round(value, 5) for value in quarters]


@torch.no_grad()
def recall(model, batches, alphas, prediction, count=256):
    """The picture that one step makes of pure noise and a caption, as the share whose nearest training latent has the right
    object, and of those the right style: cheap, and it moves with the figures of `evaluate`."""
    rng = np.random.default_rng(12345)
    things, styles, colours = (rng.integers(n, size=count) for n in batches.latents.shape[:3])
    references = torch.from_numpy(np.ascontiguousarray(batches.latents[:, :, :, 0])).float()
    right = right_style = 0
    for part in np.array_split(np.arange(count), -(-count // 32)):
        texts = [
            captions.prompt(batches.names[things[i]], captions.STYLE_NAMES[styles[i]], captions.COLOUR_NAMES[colours[i]])
            for i in part
        ]
        noise = torch.from_numpy(rng.standard_normal((len(part), 4, 16, 16), dtype=np.float32))
        hidden = model["text"](batches.tokens(texts)).last_hidden_state
        step = torch.full((len(part),), 960)
        alpha = alphas[960]
        predicted = model["unet"](noise, step, hidden).sample
        if prediction == "epsilon":
            picture = (noise - (1 - alpha).sqrt() * predicted) / alpha.sqrt()
        else:
            picture = alpha.sqrt() * noise - (1 - alpha).sqrt() * predicted
        for i, found in zip(part, picture):
            distance = (references[:, :, colours[i]] - found).square().mean((2, 3, 4))
            thing, style = divmod(distance.argmin().item(), distance.shape[1])
            right += thing == things[i]
            right_style += thing == things[i] and style == styles[i]
    return right / count, right_style / max(1, right)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="unet", help="name of the run: its folder under MINI_WORK")
    parser.add_argument("--cool", metavar="RUN", help="begin from that run's newest checkpoint, with its settings, and lower the rate")
    parser.add_argument("--samples", type=int, default=900_000, help="samples of the whole run, or of the cool-down")
    parser.add_argument("--stop", type=int, help="stop after this many samples all the same")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate of AdamW")
    parser.add_argument("--muon-rate", type=float, default=1e-3, help="peak learning rate of Muon")
    parser.add_argument("--prediction", choices=("epsilon", "v_prediction"), default="v_prediction")
    parser.add_argument("--floor", type=float, default=1.0, help="least weight of the clean picture's error, at noisy steps")
    parser.add_argument("--flip", type=float, default=0.1, help="share of mirrored pictures")
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--warmup", type=int, default=5_000, help="samples until the peak learning rate")
    parser.add_argument("--text-depth", type=int, default=2)
    parser.add_argument("--attention-at-16", action="store_true")
    parser.add_argument("--start", nargs="?", const=str(HALF), help="a diffusers folder to take the weights from (tests/fixtures/mini-f16, if none is named)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5, help="time between checkpoints")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    folder = WORK / options.run
    checkpoint = folder / "checkpoint.pt"
    source = checkpoint if checkpoint.exists() else options.cool and WORK / options.cool / "checkpoint.pt"
    state = torch.load(source, weights_only=False) if source else None
    if state:
        options.cool = options.cool or state["options"].get("cool")
        options.start = state["options"]["start"]
        for key in SETTINGS:
            if options.cool:
                setattr(options, key, state["options"][key])
            elif getattr(options, key) != state["options"][key]:
                fail(f"{checkpoint} was made with {key} {state['options'][key]}: give the same, or another --run")
    torch.manual_seed(options.seed)
    tokens = json.loads((TOKENIZER / "vocab.json").read_text())
    model = build(len(tokens), options.text_depth, options.attention_at_16)
    if options.start and not state:
        warm_start(model, options.start, tokens)
    batches = Batches(options.batch, options.seed, options.flip)
    alphas = levels()
    weight = weights(alphas, options.prediction, options.floor)
    model["unet"].to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).requires_grad_(False)

    # Muon takes the weights that are matrices or kernels; what looks up, scales or shifts, and the two ends, stay with AdamW.
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        inner = parameter.ndim >= 2 and not any(part in name for part in ("embedding.weight", "conv_in", "conv_out"))
        (matrices if inner and options.optimizer == "muon" else others).append(parameter)
    optimizers = [torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.01)]
    peaks = [options.rate]
    if matrices:
        optimizers.append(Muon(matrices))
        peaks.append(options.muon_rate)

    seen = steps = 0
    cool = None
    if state:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        seen, steps, cool = state["seen"], state["steps"], state.get("cool")
        print(f"goes on at {seen} samples", flush=True)
    if options.cool and not cool:
        cool = {"cool_from": seen, "cool_over": options.samples}
    end = cool["cool_from"] + cool["cool_over"] if cool else options.samples
    end = min(end, options.stop if options.stop is not None else end)

    def save():
        state = {"model": model.state_dict(), "average": average.state_dict(), "seen": seen, "steps": steps, "cool": cool}
        save_atomically({**state, "optimizers": [o.state_dict() for o in optimizers], "options": vars(options)}, checkpoint)

    def report(losses, seconds):
        loss, quarters = validate(average, alphas, options.prediction)
        thing, style = recall(average, batches, alphas, options.prediction)
        record = {
            "seen": seen,
            "loss": float(np.mean(losses)) if losses else None,
            "validation": round(loss, 5),
            "quarters": quarters,
            "one-step object": thing,
            "one-step style": round(style, 4),
            "samples per second": round(len(losses) * options.batch / seconds, 2),
            "time": time.strftime("%m-%d %H:%M:%S"),
        }
        with open(folder / "log.jsonl", "a") as log:
            log.write(json.dumps(record) + "\n")
        print(f"saved {json.dumps(record)}", flush=True)

    each_error = torch.compile(errors) if options.compile else errors
    # Asked to end, it finishes the step and saves.
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    folder.mkdir(parents=True, exist_ok=True)
    if not checkpoint.exists():
        save()
        report([], 1)
    progress, saved_at, losses = Progress(end, seen), time.monotonic(), []
    while seen < end and not stopping:
        batch = batches.draw(seen)
        loss = (weight[batch[2]] * each_error(model, batch, alphas, options.prediction)).mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in zip(optimizers, peaks):
            for group in optimizer.param_groups:
                group["lr"] = peak * held(seen, options.warmup, **(cool or {}))
            optimizer.step()
            optimizer.zero_grad()
        seen, steps = seen + options.batch, steps + 1
        decay = min(options.ema, (steps + 1) / (steps + 10))
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        losses.append(loss.item())
        if progress.due():
            progress.show(seen, f"loss {np.mean(losses[-200:]):.4f} norm {norm:.2f}")
        seconds = time.monotonic() - saved_at
        if seconds > 60 * options.minutes or seen >= end or stopping:
            save()
            if not stopping:
                report(losses, seconds)
            saved_at, losses = time.monotonic(), []
