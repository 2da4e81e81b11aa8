"""A start that already knows how to look back.

Copying needs two heads in two layers: one that brings the previous token to each place, and
one that finds the place whose previous token is the current one. Gradient descent finds the
pair only after a long plateau in a model this small. So the pair is built in at the start and
then trained like everything else: training keeps and sharpens what helps.

Layer 0, first key/value group: every embedding has one common component. Keys and queries read
only that one, so their product depends on nothing but the distance (by the rotary positions);
the phase of the query puts its maximum at distance 1, 2, ...

Layers 1 and 2, first key/value group: the query reads a code of the current tokens, the key a
code of the tokens one place earlier, in the slowly rotating pairs. Values and output carry the
token to the output side.
"""
import torch

COMMON = 0  # index of the component that all embeddings share
COMMON_SIZE = 0.7  # against a length of 1 for the rest of an embedding
SHIFT_GAIN = 0.15
MATCH_GAIN = 3.5
COPY_GAIN = 0.15
TYPICAL_LENGTH = 2.3  # of the residual stream at the end, at the start of training
SLOWEST_TURN = 1 / 400  # radians per token: pairs slower than this match content


def orthonormal(rows, columns, generator):
    """Random matrix with orthonormal rows (or columns, whichever are fewer)."""
    q, _ = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns), generator=generator))
    return q if rows >= columns else q.T


@torch.no_grad()
def build_in_copying(model, counts, seed=0):
    """Overwrite a few slices of a freshly initialised model.

    `counts` holds how often each token occurs. The output starts with these frequencies, read
    from the common component. Otherwise the first steps learn them as one large vector in the
    residual stream, and that vector drowns the codes the copying heads compare.
    """
    cfg = model.cfg
    generator = torch.Generator().manual_seed(seed)
    turn = orthonormal(cfg.dim, cfg.dim, generator)
    model.out.weight.copy_(0.5 * model.emb.weight @ turn.T)
    log_frequency = torch.log(counts.float() + 3)
    common_at_end = COMMON_SIZE / TYPICAL_LENGTH * cfg.dim**0.5
    model.out.weight[:, COMMON] = (log_frequency - log_frequency.mean()) / common_at_end
    model.emb.weight[:, COMMON] = COMMON_SIZE
    shift_codes, code = _shift_heads(model, generator)
    for layer in (1, 2):
        _match_heads(model, layer, shift_codes, code, turn, generator)


def _common_after_norm(cfg):
    """Size of the common component behind the first norm."""
    return COMMON_SIZE / (1 + COMMON_SIZE**2) ** 0.5 * cfg.dim**0.5


def _shift_heads(model, generator):
    """Query heads of group 0 in layer 0 look 1, 2, ... tokens back."""
    cfg, block = model.cfg, model.blocks[0]
    hd, group = cfg.head_dim, cfg.heads // cfg.kv_heads
    freq = cfg.rope_base ** (-torch.arange(0, hd, 2).float() / hd)
    # Energy in the pairs that turn fast enough to tell neighbours apart.
    size = torch.sqrt(60 * (hd / 32) ** 0.5 * (freq > 0.1).float() / (freq > 0.1).sum() * 2.5)
    common = _common_after_norm(cfg)

    block.k.weight[:hd] = 0
    block.k.weight[0:hd:2, COMMON] = size / common
    code = orthonormal(hd, cfg.dim, generator)
    code[:, COMMON] = 0
    block.v.weight[:hd] = code
    outs = []
    for head in range(group):
        rows = slice(head * hd, (head + 1) * hd)
        phase = -freq * (head + 1)
        block.q.weight[rows] = 0
        block.q.weight[rows][0::2, COMMON] = size * phase.cos() / common
        block.q.weight[rows][1::2, COMMON] = size * phase.sin() / common
        out = orthonormal(cfg.dim, hd, generator)
        out[COMMON] = 0
        block.o.weight[:, rows] = SHIFT_GAIN * out
        outs.append(out)
    return outs, code


def _match_heads(model, layer, outs, code, turn, generator):
    """Query heads of group 0 attend to places whose earlier tokens are the current ones."""
    cfg, block = model.cfg, model.blocks[layer]
    hd, group = cfg.head_dim, cfg.heads // cfg.kv_heads
    freq = cfg.rope_base ** (-torch.arange(0, hd, 2).float() / hd)
    slow = (freq < SLOWEST_TURN).repeat_interleave(2).float()[:, None]
    # Key: code of the token one back, plus (mixed differently) of the token two back.
    mixes = [orthonormal(hd, hd, generator) for _ in outs]
    readers = [code] + [out.T for out in outs]
    gains = [MATCH_GAIN] + [MATCH_GAIN * 0.5 for _ in outs]
    query = sum(m @ r * g for m, r, g in zip(mixes, readers[:-1], gains[:-1]))
    key = sum(m @ r * g for m, r, g in zip(mixes, readers[1:], gains[1:]))
    block.k.weight[:hd] = slow * key
    value = orthonormal(hd, cfg.dim, generator)
    value[:, COMMON] = 0
    block.v.weight[:hd] = value
    write = turn @ value.T  # from the value to where the output matrix expects the token
    write[COMMON] = 0
    for head in range(group):
        rows = slice(head * hd, (head + 1) * hd)
        block.q.weight[rows] = slow * query
        block.o.weight[:, rows] = COPY_GAIN * write
