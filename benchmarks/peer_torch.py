"""The peer: the same net in PyTorch, channels-last, fused SGD. Reads a job as JSON, writes seconds a step as JSON.

Runs in an interpreter of its own that has PyTorch; it imports nothing of caffelite.
"""

import json
import sys
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import nn

WARM_UP = 5


def pair(fields, name, default):
    value = fields.get(name, default)
    value = value[0] if isinstance(value, list) else value
    return (fields.get(f"{name}_h", value), fields.get(f"{name}_w", value))


class Net(nn.Module):
    """Walks the layers by blob names, as the prototxt says."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.parts = nn.ModuleDict()
        for layer in layers:
            part = self.part(layer, layer["fields"])
            if part is not None:
                self.parts[layer["name"].replace(".", "_")] = part

    def part(self, layer, fields):
        shapes = layer["params"]
        if layer["type"] == "Convolution":
            out, per_group, *kernel = shapes[0]
            group = fields.get("group", 1)
            return nn.Conv2d(per_group * group, out, kernel, pair(fields, "stride", 1), pair(fields, "pad", 0),
                             groups=group, bias=len(shapes) > 1)  # fmt: skip
        if layer["type"] == "InnerProduct":
            return nn.Linear(shapes[0][1], shapes[0][0], bias=len(shapes) > 1)
        if layer["type"] == "BatchNorm":
            return nn.BatchNorm2d(shapes[0][0])  # its affine part is the Scale layer that follows
        if layer["type"] == "LRN":
            return nn.LocalResponseNorm(
                fields.get("local_size", 5), fields.get("alpha", 1.0), fields.get("beta", 0.75)
            )
        if layer["type"] == "Dropout":
            return nn.Dropout(fields.get("dropout_ratio", 0.5))
        return None

    def forward(self, data, label):
        blobs, loss = {"data": data, "label": label}, None
        for layer in self.layers:
            x = [blobs[name] for name in layer["bottoms"]]
            if layer["type"] == "Input":
                continue
            if layer["type"] == "SoftmaxWithLoss":
                loss = F.cross_entropy(x[0], x[1].long()) + (0 if loss is None else loss)
                continue
            for name, value in zip(layer["tops"], self.run(layer, x), strict=False):
                blobs[name] = value
        return loss if loss is not None else blobs[self.layers[-1]["tops"][0]]

    def run(self, layer, x):
        kind, fields = layer["type"], layer["fields"]
        part = dict(self.parts).get(layer["name"].replace(".", "_"))
        if kind == "Split":
            return [x[0]] * len(layer["tops"])
        if kind == "Scale":
            return x  # inside the batch norm
        if kind == "InnerProduct":
            return [part(x[0].flatten(1))]
        if part is not None:
            return [part(x[0])]
        if kind == "ReLU":
            return [F.relu(x[0], inplace=True)]
        if kind == "Pooling":
            return [self.pool(fields, x[0])]
        if kind == "Eltwise":
            return [x[0] + x[1]]
        if kind == "Concat":
            return [torch.cat(x, 1)]
        if kind == "Softmax":
            return [F.softmax(x[0], 1)]
        raise SystemExit(f"no PyTorch counterpart for {kind}")

    @staticmethod
    def pool(fields, x):
        average = fields.get("pool", 0) == 1
        if fields.get("global_pooling"):
            return x.mean((2, 3), keepdim=True) if average else x.amax((2, 3), keepdim=True)
        window = pair(fields, "kernel_size", 1), pair(fields, "stride", 1), pair(fields, "pad", 0)
        if average:
            return F.avg_pool2d(x, *window, ceil_mode=True)
        return F.max_pool2d(x, *window, ceil_mode=True)


def main():
    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    device = job.get("device", "cpu")
    torch.backends.cudnn.benchmark = True
    net = Net(job["layers"]).to(device=device, memory_format=torch.channels_last)
    shapes = {name: shape for layer in job["layers"] if layer["type"] == "Input"
              for name, shape in zip(layer["tops"], layer["shapes"], strict=True)}  # fmt: skip
    data = torch.randn(shapes["data"]).to(device=device, memory_format=torch.channels_last)
    label = torch.randint(0, 10, shapes.get("label", [data.shape[0]])).to(device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    step = training(net, data, label, job) if job["what"] == "train" else inference(net, data, label, job)
    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(job["iterations"]):
        wait()
        began = perf_counter()
        step()
        wait()
        seconds.append(perf_counter() - began)
    print(json.dumps(seconds))


def training(net, data, label, job):
    optimizer = torch.optim.SGD(net.parameters(), 1e-4, momentum=0.9, weight_decay=5e-4, fused=True)
    mixed = job["precision"] == "bf16"

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(data.device.type, torch.bfloat16, enabled=mixed):
            loss = net(data, label)
        loss.backward()
        optimizer.step()

    return step


def inference(net, data, label, job):
    net.eval()
    mixed = job["precision"] == "bf16"

    @torch.inference_mode()
    def step():
        with torch.autocast(data.device.type, torch.bfloat16, enabled=mixed):
            net(data, label)

    return step


main()
