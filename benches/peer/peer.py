"""Times diffusers and PyTorch at the work that `pseudoword bench` times: see README.md.

python peer.py                         # the mini model, batches 1 and 4, a table
python peer.py --json                  # the same as one JSON object
python peer.py --model DIR --batch 1 --dtype f16
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import time
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore", category=FutureWarning)

import diffusers  # noqa: E402
import torch  # noqa: E402
from diffusers import DDPMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

# In f16: of the one in eight bits diffusers takes the values without their scales.
MINI = Path(__file__).resolve().parent.parent.parent / "tests" / "fixtures" / "mini-f16"
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
WARMUP = 3


class SplicedEmbedding(torch.nn.Module):
    """The frozen table with the learned rows behind it, so that only [K, D] numbers need a gradient."""

    def __init__(self, table, rows):
        super().__init__()
        self.table, self.rows = table, rows

    def forward(self, input_ids):
        return torch.nn.functional.embedding(input_ids, torch.cat([self.table, self.rows]))


class Peer:
    """One loaded checkpoint and the four pieces of work."""

    def __init__(self, args):
        self.device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
        self.dtype = DTYPES[args.dtype]
        self.is_sdxl = (Path(args.model) / "text_encoder_2").is_dir()
        if self.is_sdxl:
            self.pipe = StableDiffusionXLPipeline.from_pretrained(args.model, dtype=torch.float32)
            self.tokenizers = [self.pipe.tokenizer, self.pipe.tokenizer_2]
            self.encoders = [self.pipe.text_encoder, self.pipe.text_encoder_2]
        else:
            self.pipe = StableDiffusionPipeline.from_pretrained(args.model, dtype=torch.float32, safety_checker=None)
            self.tokenizers, self.encoders = [self.pipe.tokenizer], [self.pipe.text_encoder]
        for part in (*self.encoders, self.pipe.unet, self.pipe.vae):
            part.requires_grad_(False).eval().to(self.device)
        # As diffusers' textual_inversion.py under mixed precision: the frozen U-Net and VAE are stored narrow, the text
        # encoder (which holds the learned rows) stays f32 and computes under autocast.
        self.pipe.unet.to(self.dtype)
        self.pipe.vae.to(self.dtype)
        if args.channels_last:
            self.pipe.unet.to(memory_format=torch.channels_last)
            self.pipe.vae.to(memory_format=torch.channels_last)
        if args.checkpointing:
            # Checkpointing only works in training mode; there is no drop-out for that mode to switch on.
            self.pipe.unet.enable_gradient_checkpointing()
            self.pipe.unet.train()
        self.generator = torch.Generator().manual_seed(0)
        self.side = self.pipe.unet.config.sample_size
        if args.resolution:
            self.side = args.resolution // self.pipe.vae_scale_factor

    def noise(self, *shape):
        return torch.randn(shape, generator=self.generator).to(self.device, self.dtype)

    def autocast(self):
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device, self.dtype)

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def learned(self, vectors):
        """Rows behind the table of each text encoder, and the id of the first of them."""
        rows, first = [], []
        for encoder in self.encoders:
            embedding = encoder.get_input_embeddings()
            table = embedding.table if isinstance(embedding, SplicedEmbedding) else embedding.weight
            rows.append(table[:1].detach().repeat(vectors, 1).requires_grad_())
            first.append(table.shape[0])
            encoder.set_input_embeddings(SplicedEmbedding(table, rows[-1]))
        return rows, first

    def encode(self, input_ids):
        """What the U-Net is told of prompts, given as each text encoder takes them."""
        if not self.is_sdxl:
            return {"encoder_hidden_states": self.encoders[0](input_ids[0]).last_hidden_state.to(self.dtype)}
        outputs = [
            encoder(ids, output_hidden_states=True) for encoder, ids in zip(self.encoders, input_ids, strict=True)
        ]
        size = self.side * self.pipe.vae_scale_factor
        time_ids = torch.tensor([[size, size, 0, 0, size, size]] * len(input_ids[0]), device=self.device)
        return {
            "encoder_hidden_states": torch.cat([output.hidden_states[-2] for output in outputs], -1).to(self.dtype),
            "added_cond_kwargs": {"text_embeds": outputs[1].text_embeds.to(self.dtype), "time_ids": time_ids},
        }

    def train_step(self, batch, vectors):
        """A step of textual inversion on cached latents: encode, predict, compare, back to the rows, AdamW."""
        unet = self.pipe.unet
        scheduler = DDPMScheduler.from_config(self.pipe.scheduler.config)
        rows, first = self.learned(vectors)
        optimizer = torch.optim.AdamW(rows, lr=5e-3, weight_decay=0.0)
        input_ids = self.prompts(["a photo of a"] * batch, [range(id, id + vectors) for id in first])
        latents = self.noise(batch, unet.config.in_channels, self.side, self.side)

        def step():
            noise = torch.randn_like(latents)
            timestep = torch.randint(scheduler.config.num_train_timesteps, (batch,), device=self.device)
            noisy = scheduler.add_noise(latents, noise, timestep)
            with self.autocast():
                prediction = unet(noisy, timestep, **self.encode(input_ids)).sample
            velocity = scheduler.config.prediction_type == "v_prediction"
            target = scheduler.get_velocity(latents, noise, timestep) if velocity else noise
            loss = torch.nn.functional.mse_loss(prediction.float(), target.float())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            # Trainers read the loss at every step to show it.
            return loss.item()

        return step

    def prompts(self, texts, extra=((), ())):
        """Ids of some prompts for each text encoder, with its extra ids before their end, padded to its length."""
        return [self.prompt(tokenizer, texts, ids) for tokenizer, ids in zip(self.tokenizers, extra, strict=False)]

    def prompt(self, tokenizer, texts, extra):
        sequences = []
        for text in texts:
            ids = tokenizer(text).input_ids
            ids[-1:-1] = extra
            sequences.append(ids + [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(ids)))
        return torch.tensor(sequences, device=self.device)

    def denoise_step(self):
        """One step of guided sampling: the U-Net on the empty and the full prompt, guidance, the folder's scheduler."""
        unet, scheduler = self.pipe.unet, self.pipe.scheduler
        scheduler.set_timesteps(25, device=self.device)
        timestep = scheduler.timesteps[len(scheduler.timesteps) // 2]
        latents = self.noise(1, unet.config.in_channels, self.side, self.side)
        with torch.no_grad():
            conditions = self.encode(self.prompts(["", "a photo of a cat"]))

        @torch.inference_mode()
        def step():
            # PNDM remembers earlier steps and the sigma samplers count them: each repetition starts anew.
            scheduler.set_timesteps(25, device=self.device)
            inputs = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)
            empty, full = unet(inputs, timestep, **conditions).sample.chunk(2)
            return scheduler.step(empty + 7.5 * (full - empty), timestep, latents).prev_sample

        return step

    def vae_encode(self):
        size = self.side * self.pipe.vae_scale_factor
        pixels = self.noise(1, 3, size, size).clamp(-1, 1)
        return torch.inference_mode()(lambda: self.pipe.vae.encode(pixels).latent_dist.mean)

    def vae_decode(self):
        latents = self.noise(1, self.pipe.vae.config.latent_channels, self.side, self.side)
        return torch.inference_mode()(
            lambda: self.pipe.vae.decode(latents / self.pipe.vae.config.scaling_factor).sample
        )


def measure(peer, work, reps, seconds):
    """Seconds per call after a warm-up: `reps` calls, fewer (but 3) if they do not fit into `seconds`.

    Where one call takes longer than `seconds`, one is enough for the warm-up and one for the figure.
    """

    def timed():
        before = time.perf_counter()
        work()
        peer.synchronize()
        return time.perf_counter() - before

    for _ in range(WARMUP):
        if timed() > seconds:
            break
    times = []
    while len(times) < reps and (len(times) < 3 or sum(times) < seconds):
        times.append(timed())
        if times[-1] > seconds:
            break
    return {
        "median": statistics.median(times),
        "min": min(times),
        "max": max(times),
        "reps": len(times),
        # The process's peak so far, which is why the small jobs come first.
        "peak_rss_mb": peak_rss_mb(),
    }


def peak_rss_mb():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def run(args):
    peer = Peer(args)
    version = torch.__version__.split("+")[0]
    report = {
        "peer": f"torch {version} + diffusers {diffusers.__version__}",
        "model": str(args.model),
        "device": torch.cuda.get_device_name() if peer.device == "cuda" else "cpu",
        "dtype": args.dtype,
        "threads": torch.get_num_threads(),
        "vectors": args.vectors,
        "loaded_rss_mb": peak_rss_mb(),
        # Other work on the machine makes these figures worthless: let the reader see it.
        "load_1m": round(os.getloadavg()[0], 2),
        "vae_encode_s": measure(peer, peer.vae_encode(), args.reps, args.seconds),
        "vae_decode_s": measure(peer, peer.vae_decode(), args.reps, args.seconds),
        "denoise_step_s": measure(peer, peer.denoise_step(), args.reps, args.seconds),
        "train_step_s": {
            str(batch): measure(peer, peer.train_step(batch, args.vectors), args.reps, args.seconds)
            for batch in sorted(args.batch)
        },
    }
    report["peak_rss_mb"] = peak_rss_mb()
    if peer.device == "cuda":
        report["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return report


def show(report):
    print(f"{report['peer']}, {report['device']}, {report['dtype']}, {report['threads']} threads, {report['model']}")
    rows = [("VAE encode", report["vae_encode_s"]), ("VAE decode", report["vae_decode_s"])]
    rows.append(("denoising step (guided)", report["denoise_step_s"]))
    rows += [(f"training step, batch {batch}", figures) for batch, figures in report["train_step_s"].items()]
    print(f"{'':26}{'median':>10}{'min':>10}{'max':>10}   reps")
    for name, figures in rows:
        times = "".join(f"{figures[key] * 1000:8.1f}ms" for key in ("median", "min", "max"))
        print(f"{name:26}{times}   {figures['reps']}")
    gpu = f", GPU {report['peak_gpu_mb']} MB" if "peak_gpu_mb" in report else ""
    print(f"peak memory {report['peak_rss_mb']} MB{gpu}; load average at the start {report['load_1m']}")


def compare(report, ours):
    """Prints our figures of the same work beside the peer's: below 1 we are faster, or smaller."""
    pairs = [(key, ours.get(key), report.get(key)) for key in ("vae_encode_s", "vae_decode_s", "denoise_step_s")]
    for batch, figures in report["train_step_s"].items():
        pairs.append((f"train_step_s.{batch}", ours.get("train_step_s", {}).get(batch), figures))
    print(f"{'':26}{'ours':>10}{'peer':>10}{'ratio':>8}")
    for name, mine, theirs in pairs:
        if mine and theirs:
            print(f"{name:26}{mine['median']:9.3f}s{theirs['median']:9.3f}s{mine['median'] / theirs['median']:8.2f}")
    for name, key in (("peak memory of the process", "peak_rss_mb"), ("peak memory of the GPU", "peak_gpu_mb")):
        if ours.get(key) and report.get(key):
            print(f"{name:26}{ours[key]:8.0f}MB{report[key]:8.0f}MB{ours[key] / report[key]:8.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MINI, help="diffusers folder (default: tests/fixtures/mini-f16)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="training batches (default: 1 4)")
    parser.add_argument("--vectors", type=int, default=1, help="learned rows (default: 1)")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of the frozen U-Net and VAE")
    parser.add_argument("--resolution", type=int, help="side of the pictures in pixels (default: the model's own)")
    parser.add_argument("--ours", type=Path, help="what `pseudoword bench --json` printed: the ratios are printed, too")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--reps", type=int, default=20, help="timed calls of each piece of work")
    parser.add_argument("--seconds", type=float, default=60, help="time limit of each piece of work")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU even with a GPU")
    parser.add_argument("--channels-last", action="store_true", help="NHWC weights in U-Net and VAE")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing in the U-Net")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args()
    if (args.model / "pseudoword.json").exists():
        # diffusers opens such a folder, passes the scales over, and takes the eight bits for the weights themselves.
        parser.error(f"{args.model} has weights in eight bits: eight_bits.py writes a folder that diffusers reads")

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    if args.threads:
        torch.set_num_threads(args.threads)
    report = run(args)
    print(json.dumps(report)) if args.json else show(report)
    if args.ours:
        lines = [json.loads(line) for line in args.ours.read_text().splitlines() if line.startswith("{")]
        compare(report, next(line for line in lines if line.get("event") == "bench"))


if __name__ == "__main__":
    main()
