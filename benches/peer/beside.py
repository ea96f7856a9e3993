"""Our program, PyTorch and OpenVINO at the same steps on the processor, in turns: see README.md.

python random_model.py SD15 --full
python beside.py SD15 --program pseudoword
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import openvino
import torch
from peer import Peer

# Of branches on sizes, which do not change.
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)

# What OpenVINO computes in: without being told, it takes bf16 where the processor has instructions for it.
PRECISIONS = {"OpenVINO, f32": "f32", "OpenVINO, its own choice": None}


class Prediction(torch.nn.Module):
    """The U-Net with its inputs one after the other, as a converter wants them."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, latents, timestep, states):
        return self.unet(latents, timestep, encoder_hidden_states=states, return_dict=False)[0]


def openvino_steps(peer, place):
    """A guided denoising step for each precision: the same work as the peer's, with its U-Net in OpenVINO."""
    unet, path = peer.pipe.unet, place / "unet.xml"
    width, tokens = unet.config.cross_attention_dim, peer.tokenizers[0].model_max_length
    latents = torch.zeros(2, unet.config.in_channels, peer.side, peer.side)
    inputs = (latents, torch.tensor(500), torch.zeros(2, tokens, width))
    with torch.no_grad():
        model = openvino.convert_model(Prediction(unet), example_input=inputs)
    # Of fixed sizes, which is what it is fastest with; weights in f16, which is how it writes files if not told otherwise.
    model.reshape({model.input(i): list(tensor.shape) for i, tensor in enumerate(inputs)})
    openvino.save_model(model, path, compress_to_fp16=True)
    del model
    steps = {}
    for name, precision in PRECISIONS.items():
        wanted = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
        compiled = openvino.Core().compile_model(path, "CPU", {"PERFORMANCE_HINT": "LATENCY", **wanted})
        print(f"{name}: {compiled.get_property('INFERENCE_PRECISION_HINT').to_string()}", flush=True)
        steps[name] = denoise_step(peer, compiled)
    return steps


def denoise_step(peer, compiled):
    scheduler = peer.pipe.scheduler
    scheduler.set_timesteps(25)
    timestep = scheduler.timesteps[len(scheduler.timesteps) // 2]
    latents = peer.noise(1, peer.pipe.unet.config.in_channels, peer.side, peer.side)
    with torch.no_grad():
        states = peer.encode(peer.prompts(["", "a photo of a cat"]))["encoder_hidden_states"].numpy()

    def step():
        scheduler.set_timesteps(25)
        inputs = scheduler.scale_model_input(torch.cat([latents] * 2), timestep)
        predicted = compiled([inputs.numpy(), timestep.numpy(), states])[0]
        empty, full = torch.from_numpy(predicted).chunk(2)
        return scheduler.step(empty + 7.5 * (full - empty), timestep, latents).prev_sample

    return step


def seconds(work):
    """Of the clock, and of the processor: what others do on the machine lengthens the first much and the second little."""
    before = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - before[0], time.process_time() - before[1]


def ours(args, storage):
    command = [args.program, "bench", "--model", args.model, "--weights", storage, "--device", "cpu", "--batch", "1"]
    command += ["--resolution", str(args.resolution), "--seconds", str(args.seconds), "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return next(event for event in events if event["event"] == "bench")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="diffusers folder of Stable Diffusion 1.x or 2.x")
    parser.add_argument("--program", required=True, help="pseudoword")
    parser.add_argument("--resolution", type=int, default=256, help="side of the picture in pixels")
    parser.add_argument("--rounds", type=int, default=2, help="how often all are measured, in turns")
    parser.add_argument("--seconds", type=float, default=8, help="time limit of each piece of our work in a round")
    args = parser.parse_args()

    settings = {"dtype": "f32", "channels_last": False, "checkpointing": False, "cpu": True}
    peer = Peer(SimpleNamespace(model=args.model, resolution=args.resolution, **settings))
    times, loads = {}, []
    with tempfile.TemporaryDirectory() as place:
        # Before the rows are learned, which change the text encoder.
        work = {("denoising", "PyTorch"): peer.denoise_step()}
        work |= {("denoising", name): step for name, step in openvino_steps(peer, Path(place)).items()}
        work["training", "PyTorch"] = peer.train_step(1, 1)
        for step in work.values():
            step()
        for _ in range(args.rounds):
            for storage in ("f16", "q8"):
                loads.append(os.getloadavg()[0])
                report = ours(args, storage)
                for name, figures in (("denoising", report["denoise_step_s"]), ("training", report["train_step_s"]["1"])):
                    times.setdefault((name, f"ours, {storage}"), []).append((figures["min"], figures["median"], None))
            for name, step in work.items():
                loads.append(os.getloadavg()[0])
                rounds = [seconds(step) for _ in range(2)]
                clock, processor = zip(*rounds, strict=True)
                figures = min(clock), statistics.median(clock), min(processor)
                times.setdefault(name, []).append(figures)
    print(f"torch {torch.__version__.split('+')[0]}, OpenVINO {openvino.__version__.split('-')[0]}, ", end="")
    print(f"{args.resolution} x {args.resolution}, {os.cpu_count()} cores, ", end="")
    print(f"load averages of {min(loads):.1f} to {max(loads):.1f}")
    print(f"{'seconds of a step':44}{'shortest':>10}{'median':>10}{'processor':>11}")
    for (step, name), rounds in sorted(times.items()):
        clock, medians, processor = zip(*rounds, strict=True)
        cores = f"{min(processor):11.2f}" if processor[0] else ""
        print(f"{step:12}{name:32}{min(clock):10.2f}{statistics.median(medians):10.2f}{cores}")


if __name__ == "__main__":
    main()
