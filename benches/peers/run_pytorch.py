#!/usr/bin/env python3
"""A network in PyTorch, eager, channels last; on a GPU without TF32, or by torchvulkan on a Vulkan adapter."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import turns

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "fixtures"))
from make import NIN, NetworkInNetwork


def network(name):
    """Without dropout, for one channel and ten classes; ResNet-18 with the stem for small pictures."""
    if name == "nin":
        return NetworkInNetwork(NIN)
    import torchvision

    net = getattr(torchvision.models, name)(num_classes=10)
    if name == "vgg11":
        net.features[0] = torch.nn.Conv2d(1, 64, 3, padding=1)
        net.classifier[2] = net.classifier[5] = torch.nn.Identity()
    else:
        net.conv1 = torch.nn.Conv2d(1, 64, 3, padding=1, bias=False)
        net.maxpool = torch.nn.Identity()
    return net


def main():
    flags = turns.parser(__doc__)
    flags.add_argument("--vulkan", action="store_true", help="by torchvulkan, on the first adapter that it finds")
    flags.add_argument("--export", metavar="FILE", help="write the network as ONNX instead of running it")
    args = flags.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if args.vulkan:
        import torchvulkan
    device = torch.device("vulkan" if args.vulkan else "cpu" if args.device == "cpu" else "cuda")

    net = network(args.model)
    net.load_state_dict(load_file(args.weights), strict=args.model != "resnet18")
    batch = load_file(args.images)
    images, labels = batch["images"][:args.batch], batch["labels"][:args.batch].long()
    if args.export:
        torch.onnx.export(net.eval(), (images,), args.export, input_names=["images"], external_data=False,
                          verbose=False)
        return

    # torchvulkan knows one order of dimensions and no fused optimizer.
    order = torch.contiguous_format if args.vulkan else torch.channels_last
    net = net.to(device, memory_format=order).train(args.train)
    images = images.to(device).contiguous(memory_format=order)
    labels = labels.to(device)
    last = []

    @torch.inference_mode()
    def forward():
        last[:] = net(images).flatten().tolist()

    optimizer = torch.optim.Adam(net.parameters(), lr=turns.LEARNING_RATE, fused=not args.vulkan)

    def train():
        logits = net(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()
        last[:] = [*logits.detach().flatten().tolist(), loss.item()]

    adapter = f"CPU, {args.threads} threads" if device.type == "cpu" else getattr(torch, device.type).get_device_name()
    name, version = "PyTorch", torch.__version__.split("+")[0]
    if args.vulkan:
        name, version = "torchvulkan", f"{torchvulkan.__version__} (PyTorch {version})"
    turns.take_turns(name, version, adapter, args, train if args.train else forward, lambda: last)


if __name__ == "__main__":
    main()
