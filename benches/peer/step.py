"""One training step on the same choices in pseudoword and in PyTorch: loss, gradient, memory and time of both.

    python random_model.py SDXL --sdxl
    python step.py SDXL --program pseudoword              # 256 x 256 pixels on the processor, blocks recomputed
    python eight_bits.py Q8 WIDE
    python step.py Q8 --program pseudoword --wide WIDE    # weights in eight bits, and for PyTorch the same numbers in f32

The program runs first and ends before PyTorch begins, which widens all weights to f32: of SDXL that takes 18 GB. Ends with 1 if
loss or gradient differ by more than a ten-thousandth: the gradient in length, and each of its numbers by so much of the largest.
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch  # noqa: E402
from diffusers import DDPMScheduler, UNet2DConditionModel  # noqa: E402
from peer import SplicedEmbedding, peak_rss_mb  # noqa: E402
from safetensors.torch import load, save_file  # noqa: E402
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer  # noqa: E402

TOKEN, CAPTION, INIT = "<thing>", "a photo of a <thing> on a hill", "ball apple"
VECTORS = 2
CLOSE = 1e-4
# Bytes of a run's state before its safetensors: a signature and a hash.
STATE_HEAD = 40
ENCODERS = [
    (CLIPTextModel, "text_encoder", "tokenizer"),
    (CLIPTextModelWithProjection, "text_encoder_2", "tokenizer_2"),
]


def choices(side, is_sdxl):
    """Everything that a step draws. Numbers on a grid of 1/32 are the same in any precision."""
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.round(torch.randn(*shape, generator=generator) * 32) / 32  # noqa: E731
    size = 8.0 * side
    sizes = {"time_ids": torch.tensor([[300.0, 400.0, 0.0, 50.0, size, size]])} if is_sdxl else {}
    return {
        "latents": draw(1, 4, side, side),
        "image": torch.zeros(1, 1, dtype=torch.int64),
        "noise": draw(1, 1, 4, side, side),
        "timestep": torch.tensor([[431]]),
        **sizes,
    }


def ours(program, model, drawn, resolution):
    with tempfile.TemporaryDirectory() as place:
        replay = Path(place) / "replay.safetensors"
        save_file(drawn, replay, {"captions": json.dumps([[CAPTION]]), "token": TOKEN})
        run = f"--vectors {VECTORS} --steps 1 --batch-size 1 --resolution {resolution} --preview-every 0 --eval-every 0"
        command = [program, "train", "--model", model, "--token", TOKEN, "--init", INIT, "--replay", replay]
        command += [*run.split(), "--device", "cpu", "--checkpointing", "on", "--out", Path(place) / "run", "--json"]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        mean = load((Path(place) / "run" / "state").read_bytes()[STATE_HEAD:])["mean"]
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    step = next(event for event in events if event["event"] == "step")
    # At least what this process has, which it was begun from.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    # AdamW's mean after one step is the gradient, times something.
    gradient = mean / mean.norm() * step["grad_norm"]
    return {"loss": step["loss"], "gradient": step["grad_norm"], "peak": peak, "seconds": step["secs"], "numbers": gradient}


def told(model):
    """What the text encoders make of the caption, and the rows that are learned."""
    is_sdxl = (model / "text_encoder_2").is_dir()
    states, all_rows, pooled = [], [], None
    before, after = CAPTION.split(TOKEN)
    for kind, part, words in ENCODERS[: 1 + is_sdxl]:
        tokenizer = CLIPTokenizer.from_pretrained(model / words)
        encoder = kind.from_pretrained(model / part, dtype=torch.float32).eval().requires_grad_(False)
        table = encoder.get_input_embeddings().weight
        plain = lambda text: tokenizer(text).input_ids[1:-1]  # noqa: B023, E731
        rows = table[torch.tensor(plain(INIT))].clone().requires_grad_()
        assert len(rows) == VECTORS, f"{INIT!r} are other words here"
        encoder.set_input_embeddings(SplicedEmbedding(table, rows))
        new = range(len(table), len(table) + VECTORS)
        ids = [tokenizer.bos_token_id, *plain(before), *new, *plain(after), tokenizer.eos_token_id]
        end = len(ids) - 1
        ids += [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(ids))
        output = encoder(torch.tensor([ids]), output_hidden_states=True)
        states.append(output.hidden_states[-2] if is_sdxl else output.last_hidden_state)
        all_rows.append(rows)
        if part == "text_encoder_2":
            # At the end token, where transformers may take another.
            pooled = encoder.text_projection(output.last_hidden_state[:, end])
    return torch.cat(states, -1), pooled, all_rows


def theirs(model, drawn):
    states, pooled, rows = told(model)
    unet = UNet2DConditionModel.from_pretrained(model / "unet", torch_dtype=torch.float32)
    unet.requires_grad_(False).enable_gradient_checkpointing()
    # Checkpointing only works in training mode; there is no drop-out for that mode to switch on.
    unet.train()
    scheduler = DDPMScheduler.from_pretrained(model / "scheduler")
    begun = time.perf_counter()
    noise, timestep = drawn["noise"][0], drawn["timestep"][0]
    noisy = scheduler.add_noise(drawn["latents"], noise, timestep)
    added = {"text_embeds": pooled, "time_ids": drawn["time_ids"]} if pooled is not None else None
    prediction = unet(noisy, timestep, encoder_hidden_states=states, added_cond_kwargs=added).sample
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(drawn["latents"], noise, timestep) if velocity else noise
    loss = torch.nn.functional.mse_loss(prediction, target)
    loss.backward()
    seconds = time.perf_counter() - begun
    # A row is that of all text encoders, one behind the other.
    gradient = torch.cat([row.grad for row in rows], 1).flatten()
    return {"loss": loss.item(), "gradient": gradient.norm().item(), "peak": peak_rss_mb(), "seconds": seconds, "numbers": gradient}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="diffusers folder of Stable Diffusion 1.x, 2.x or SDXL")
    parser.add_argument("--program", required=True, help="pseudoword")
    parser.add_argument("--wide", type=Path, help="the same model for PyTorch, where the folder is one that it does not open")
    parser.add_argument("--resolution", type=int, default=256, help="side of the picture in pixels")
    args = parser.parse_args()
    drawn = choices(args.resolution // 8, (args.model / "text_encoder_2").is_dir())
    mine = ours(args.program, args.model, drawn, args.resolution)
    print(f"load average before PyTorch begins {os.getloadavg()[0]:.2f}", flush=True)
    other = theirs(args.wide or args.model, drawn)
    print(f"{'':26}{'ours':>12}{'PyTorch':>12}")
    for name, key, digits in [
        ("loss", "loss", 8),
        ("length of the gradient", "gradient", 8),
        ("peak memory, MB", "peak", 0),
        ("seconds of the step", "seconds", 1),
    ]:
        print(f"{name:26}{mine[key]:12.{digits}f}{other[key]:12.{digits}f}")
    off = ((mine["numbers"] - other["numbers"]).abs().max() / other["numbers"].abs().max()).item()
    print(f"{'farthest number of it':26}{off:12.1e}")
    far = [abs(mine[key] / other[key] - 1) for key in ("loss", "gradient")]
    print(f"loss and length differ by {far[0]:.1e} and {far[1]:.1e}")
    raise SystemExit(max(off, *far) > CLOSE)


if __name__ == "__main__":
    main()
