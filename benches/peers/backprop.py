"""One step of backprop in PyTorch: 784-2000-10 with a rectified layer, batch 100, Adam, cross-entropy:

    python3 benches/peers/backprop.py

prints milliseconds a step (the shuffle's look-up included), on as many threads as torch takes and on one, to set beside
`cargo bench -p hebbian-classifier`. `fused` is Adam in one kernel, which is not torch's default.
"""

import time

import torch


def step_seconds(fused, steps=50, repeats=5):
    torch.manual_seed(0)
    inputs = torch.rand(20000, 784) * (torch.rand(20000, 784) < 0.19)
    labels = torch.randint(0, 10, (20000,))
    model = torch.nn.Sequential(torch.nn.Linear(784, 2000), torch.nn.ReLU(), torch.nn.Linear(2000, 10))
    loss = torch.nn.CrossEntropyLoss()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=fused)
    best = float("inf")
    for _ in range(repeats):
        order = torch.randperm(len(inputs))
        begin = time.perf_counter()
        for chosen in order[: 100 * steps].split(100):
            adam.zero_grad()
            loss(model(inputs[chosen]), labels[chosen]).backward()
            adam.step()
        best = min(best, (time.perf_counter() - begin) / steps)
    return best


if __name__ == "__main__":
    for threads in sorted({torch.get_num_threads(), 1}, reverse=True):
        torch.set_num_threads(threads)
        on = "" if threads > 1 else ", one thread"
        for fused in (False, True):
            adam = "fused Adam" if fused else "Adam"
            print(f"backprop, {adam}, PyTorch{on}\t{1e3 * step_seconds(fused):.4f} ms", flush=True)
