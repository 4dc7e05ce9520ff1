#!/usr/bin/env python3
"""`nin` in PyTorch, eager, channels last; on a GPU without TF32."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import turns

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "fixtures"))
from make import NIN, NetworkInNetwork


def main():
    flags = turns.parser(__doc__)
    flags.add_argument("--export", metavar="FILE", help="write the network as ONNX instead of running it")
    args = flags.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device("cpu" if args.device == "cpu" else "cuda")

    net = NetworkInNetwork(NIN)
    net.load_state_dict(load_file(args.weights))
    batch = load_file(args.images)
    images, labels = batch["images"][:args.batch], batch["labels"][:args.batch].long()
    if args.export:
        torch.onnx.export(net.eval(), (images,), args.export, input_names=["images"], external_data=False,
                          verbose=False)
        return

    net = net.to(device, memory_format=torch.channels_last)
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    labels = labels.to(device)
    last = []

    @torch.inference_mode()
    def forward():
        last[:] = net(images).flatten().tolist()

    optimizer = torch.optim.Adam(net.parameters(), lr=turns.LEARNING_RATE, fused=True)

    def train():
        logits = net(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        last[:] = [*logits.detach().flatten().tolist(), loss.item()]

    adapter = f"CPU, {args.threads} threads" if device.type == "cpu" else torch.cuda.get_device_name()
    version = torch.__version__.split("+")[0]
    turns.take_turns("PyTorch", version, adapter, args, train if args.train else forward, lambda: last)


if __name__ == "__main__":
    main()
