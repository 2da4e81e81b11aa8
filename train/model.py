"""A small Llama-style decoder, laid out exactly as the GGUF architecture `llama` expects it."""
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class ModelConfig:
    """Sizes of the model. Every matrix width is a multiple of 32, the block size of Q8_0."""

    vocab: int = 2048
    dim: int = 192
    layers: int = 5
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 32
    ffn: int = 512
    context: int = 1024
    # A large base leaves about half of the pairs of each head nearly unrotated over
    # 1,024 tokens. Those pairs can match content at any distance; the fast pairs
    # still tell neighbours apart.
    rope_base: float = 500000.0
    norm_eps: float = 1e-5

    def to_dict(self):
        return asdict(self)


def rope_tables(cfg, length):
    """Cosines and sines, each [length, head_dim / 2]."""
    exponent = torch.arange(0, cfg.head_dim, 2).float() / cfg.head_dim
    angle = torch.outer(torch.arange(length).float(), cfg.rope_base ** -exponent)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """Rotary positions on interleaved pairs. x: [batch, time, heads, head_dim]."""
    pairs = x.unflatten(-1, (-1, 2))
    even, odd = pairs[..., 0], pairs[..., 1]
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class RMSNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Block(nn.Module):
    """Attention with grouped queries, then a SwiGLU feed-forward layer."""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        q_width, kv_width = cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
        self.attn_norm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.q = nn.Linear(cfg.dim, q_width, bias=False)
        self.k = nn.Linear(cfg.dim, kv_width, bias=False)
        self.v = nn.Linear(cfg.dim, kv_width, bias=False)
        self.o = nn.Linear(q_width, cfg.dim, bias=False)
        self.ffn_norm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.gate = nn.Linear(cfg.dim, cfg.ffn, bias=False)
        self.up = nn.Linear(cfg.dim, cfg.ffn, bias=False)
        self.down = nn.Linear(cfg.ffn, cfg.dim, bias=False)

    def attention(self, x, cos, sin):
        cfg = self.cfg
        batch, time, _ = x.shape
        q = rotate(self.q(x).view(batch, time, cfg.heads, cfg.head_dim), cos, sin)
        k = rotate(self.k(x).view(batch, time, cfg.kv_heads, cfg.head_dim), cos, sin)
        v = self.v(x).view(batch, time, cfg.kv_heads, cfg.head_dim)
        group = cfg.heads // cfg.kv_heads  # query head i reads key/value head i // group
        k, v = (t.repeat_interleave(group, dim=2) for t in (k, v))
        q, k = q.to(v.dtype), k.to(v.dtype)
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        return self.o(y.transpose(1, 2).reshape(batch, time, -1))

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attn_norm(x), cos, sin)
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    """The decoder. The output matrix is separate from the embedding."""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.emb = nn.Embedding(cfg.vocab, cfg.dim)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.layers))
        self.norm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.out = nn.Linear(cfg.dim, cfg.vocab, bias=False)
        cos, sin = rope_tables(cfg, cfg.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.init_weights()

    def init_weights(self):
        """Scale by 1/sqrt(fan in), so that attention logits start at a useful size.

        A fixed 0.02 makes the logits of a narrow model almost zero: attention then starts
        as a plain average and it takes very long to learn to look at one place.
        The matrices that write to the residual stream start at zero.
        """
        nn.init.normal_(self.emb.weight, std=self.cfg.dim ** -0.5)
        for name, p in self.named_parameters():
            if p.ndim == 2 and name != "emb.weight":
                nn.init.normal_(p, std=p.shape[1] ** -0.5)
            if name.endswith((".o.weight", ".down.weight")):
                nn.init.zeros_(p)
        nn.init.normal_(self.out.weight, std=0.5 * self.cfg.dim ** -0.5)

    def forward(self, ids):
        """Logits [batch, time, vocab]."""
        x = self.emb(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.out(self.norm(x))

    def token_losses(self, ids, targets):
        """Cross entropy of every target, in nats, [batch, time]."""
        logits = self(ids).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
