"""Muon for the matrices of the blocks, Adam for the embedding and the norms."""
import numpy as np
import torch


def orthogonalise(g, steps=5):
    """Newton-Schulz iteration towards the nearest (semi-)orthogonal matrix. g: [n, rows, cols]."""
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    flip = x.shape[-2] > x.shape[-1]
    if flip:
        x = x.mT
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if flip else x


class Muon:
    """Momentum, orthogonalised (Jordan, 2024). Matrices of one shape are handled together."""

    def __init__(self, params, momentum=0.95, weight_decay=0.01):
        self.momentum, self.weight_decay = momentum, weight_decay
        by_shape = {}
        for p in params:
            by_shape.setdefault(p.shape, []).append(p)
        self.groups = list(by_shape.values())
        self.velocity = [torch.zeros(len(g), *g[0].shape) for g in self.groups]

    @torch.no_grad()
    def step(self, lr):
        for params, v in zip(self.groups, self.velocity):
            grad = torch.stack([p.grad for p in params])
            v.mul_(self.momentum).add_(grad)
            update = orthogonalise(grad + self.momentum * v)
            # 0.2 * sqrt(longer side) gives an update the size of a usual Adam update.
            scale = lr * 0.2 * max(params[0].shape) ** 0.5
            for p, u in zip(params, update):
                p.mul_(1 - lr * self.weight_decay).add_(u, alpha=-scale)

    def state_dict(self):
        return {"velocity": self.velocity}

    def load_state_dict(self, state):
        for mine, saved in zip(self.velocity, state["velocity"]):
            mine.copy_(saved)


class Optimiser:
    """The optimisers behind one `step`.

    The attention matrices learn several times slower than the feed-forward ones. Muon makes
    every direction of an update equally large; at the rate that suits the feed-forward layers
    it keeps the attention logits noisy, and looking back is never learned.
    """

    def __init__(self, model, ffn_lr=0.02, attention_lr=0.006, other_lr=4e-3):
        attention, ffn, others = [], [], []
        for name, p in model.named_parameters():
            if p.ndim != 2 or not name.startswith("blocks."):
                others.append(p)
            else:
                (attention if name.split(".")[2] in "qkvo" else ffn).append(p)
        self.adam = torch.optim.Adam(others, lr=other_lr, betas=(0.9, 0.95))
        self.muons = [Muon(attention), Muon(ffn)]
        self.lrs = [attention_lr, ffn_lr]
        self.other_lr = other_lr

    def step(self, scale):
        """One update with all learning rates multiplied by `scale`."""
        for group in self.adam.param_groups:
            group["lr"] = self.other_lr * scale
        self.adam.step()
        for muon, lr in zip(self.muons, self.lrs):
            muon.step(lr * scale)

    def state_dict(self):
        return {"adam": self.adam.state_dict(), "muons": [m.state_dict() for m in self.muons]}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        for muon, saved in zip(self.muons, state["muons"]):
            muon.load_state_dict(saved)


# (step, factor of the learning rates); straight lines between. A slow rise that leaves the
# built-in heads intact, a faster one once they are trained in, a flat middle, a fall to zero.
# The drop at 1,150 is the mark of a plan that was shortened while it ran.
POINTS = [(-1, 0.0), (149, 0.25), (299, 1.0), (960, 1.0), (1149, 0.8688), (1150, 0.6838), (1950, 0.0)]


def schedule(step):
    """Factor of the learning rates. Counted in steps, so a slow or busy machine changes nothing."""
    steps, factors = zip(*POINTS)
    return float(np.interp(step, steps, factors))
