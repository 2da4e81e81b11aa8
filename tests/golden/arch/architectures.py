"""The models: for each a transformers configuration, and its conversion to llama.cpp's keys and tensors."""
import math

import numpy as np
import transformers as hf
from gguf_file import adjacent_pairs

N_VOCAB = 96
CONTEXT = 128
BASE = dict(vocab_size=N_VOCAB, max_position_embeddings=CONTEXT, bos_token_id=N_VOCAB - 1, eos_token_id=N_VOCAB - 1)
# dim 64, 4 query and 2 KV heads of 16
LLAMA = dict(
    BASE, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=False,
)


def rope(theta=10000.0, **scaling):
    return dict(rope_theta=theta, rope_type="default") | scaling


class Weights:
    """A state dictionary in NumPy; what is not taken is noticed."""

    def __init__(self, model):
        self.values = {k: v.detach().numpy() for k, v in model.state_dict().items()}
        self.left = set(self.values)

    def __call__(self, name):
        self.left.discard(name)
        return self.values[name]

    def maybe(self, name):
        return self(name) if name in self.values else None


def llama_keys(file, c):
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    rotary = int(head * c.rope_parameters.get("partial_rotary_factor", 1.0)) if "rope_type" in c.rope_parameters else head
    for key, value in {
        "context_length": c.max_position_embeddings,
        "embedding_length": c.hidden_size,
        "block_count": c.num_hidden_layers,
        "feed_forward_length": c.intermediate_size,
        "attention.head_count": c.num_attention_heads,
        "attention.head_count_kv": c.num_key_value_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": c.rms_norm_eps,
        "rope.dimension_count": rotary,
    }.items():
        file.key(key, value)


def llama_tensors(file, c, w, norms, norm_offset=0.0, permute=False):
    """What the Llama-like have in common; `norms` maps llama.cpp's names of a layer's norms to transformers'."""
    file.tensor("token_embd.weight", w("model.embed_tokens.weight"))
    file.tensor("output_norm.weight", w("model.norm.weight") + norm_offset)
    head = w("lm_head.weight")
    if not c.tie_word_embeddings:
        file.tensor("output.weight", head)
    heads = {"q": c.num_attention_heads, "k": c.num_key_value_heads, "v": None}
    for l in range(c.num_hidden_layers):
        ours, theirs = f"blk.{l}.", f"model.layers.{l}."
        for name, norm in norms.items():
            file.tensor(f"{ours}{name}.weight", w(f"{theirs}{norm}.weight") + norm_offset)
        for kind, n in heads.items():
            for part in ("weight", "bias"):
                values = w.maybe(f"{theirs}self_attn.{kind}_proj.{part}")
                if values is not None:
                    values = adjacent_pairs(values, n) if permute and n else values
                    file.tensor(f"{ours}attn_{kind}.{part}", values)
        fused = w.maybe(f"{theirs}self_attn.qkv_proj.weight")
        if fused is not None:
            file.tensor(f"{ours}attn_qkv.weight", fused)
            file.tensor(f"{ours}ffn_up.weight", w(f"{theirs}mlp.gate_up_proj.weight"))
        else:
            file.tensor(f"{ours}ffn_gate.weight", w(f"{theirs}mlp.gate_proj.weight"))
            file.tensor(f"{ours}ffn_up.weight", w(f"{theirs}mlp.up_proj.weight"))
        file.tensor(f"{ours}attn_output.weight", w(f"{theirs}self_attn.o_proj.weight"))
        file.tensor(f"{ours}ffn_down.weight", w(f"{theirs}mlp.down_proj.weight"))


TWO_NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
FOUR_NORMS = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def llama(file, c, w):
    llama_keys(file, c)
    file.key("rope.freq_base", c.rope_parameters["rope_theta"])
    window = getattr(c, "sliding_window", None)
    if window:
        file.key("attention.sliding_window", window)
    llama_tensors(file, c, w, TWO_NORMS, permute=True)
    if c.rope_parameters["rope_type"] == "llama3":
        file.tensor("rope_freqs.weight", llama3_divisors(c))


def llama3_divisors(c):
    """By what Llama 3.1 divides each frequency: 1 for short waves, the factor for long ones, a ramp between."""
    s, head = c.rope_parameters, c.hidden_size // c.num_attention_heads
    waves = 2 * math.pi * s["rope_theta"] ** (np.arange(0, head, 2) / head)
    original, low, high = s["original_max_position_embeddings"], s["low_freq_factor"], s["high_freq_factor"]
    ramp = (original / waves - low) / (high - low)
    between = 1 / ((1 - ramp) / s["factor"] + ramp)
    divisors = np.where(waves < original / high, 1.0, np.where(waves > original / low, s["factor"], between))
    assert len({*np.sign(divisors - 1), *np.sign(divisors - s["factor"])}) == 3, "all three parts are wanted"
    return divisors


def qwen(file, c, w):
    llama_keys(file, c)
    file.key("rope.freq_base", c.rope_parameters["rope_theta"])
    if c.rope_parameters["rope_type"] == "yarn":
        file.key("rope.scaling.type", "yarn")
        file.key("rope.scaling.factor", c.rope_parameters["factor"])
        file.key("rope.scaling.original_context_length", c.rope_parameters["original_max_position_embeddings"])
    norms = TWO_NORMS | (HEAD_NORMS if file.arch == "qwen3" else {})
    llama_tensors(file, c, w, norms)


def gemma(file, c, w):
    llama_keys(file, c)
    file.key("attention.sliding_window", c.sliding_window)
    norms = FOUR_NORMS
    if file.arch == "gemma2":
        file.key("attn_logit_softcapping", c.attn_logit_softcapping)
        file.key("final_logit_softcapping", c.final_logit_softcapping)
    else:
        whole, local = c.rope_parameters["full_attention"], c.rope_parameters["sliding_attention"]
        file.key("rope.freq_base", whole["rope_theta"])
        file.key("rope.freq_base_swa", local["rope_theta"])
        if whole["rope_type"] == "linear":
            file.key("rope.scaling.type", "linear")
            file.key("rope.scaling.factor", whole["factor"])
        norms = norms | HEAD_NORMS
    llama_tensors(file, c, w, norms, norm_offset=1.0)


def phi3(file, c, w):
    llama_keys(file, c)
    s = c.rope_parameters
    file.key("rope.freq_base", s["rope_theta"])
    # llama.cpp's converter writes a zero where there is no window
    file.key("attention.sliding_window", c.sliding_window or 0)
    if s["rope_type"] == "longrope":
        original = s["original_max_position_embeddings"]
        file.key("rope.scaling.original_context_length", original)
        factor = math.sqrt(1 + math.log(c.max_position_embeddings / original) / math.log(original))
        file.key("rope.scaling.attn_factor", factor)
        file.tensor("rope_factors_long.weight", s["long_factor"])
        file.tensor("rope_factors_short.weight", s["short_factor"])
    llama_tensors(file, c, w, TWO_NORMS)


def gpt_keys(file, context, dim, layers, ffn, heads, eps, **more):
    for key, value in {
        "context_length": context, "embedding_length": dim, "block_count": layers,
        "feed_forward_length": ffn, "attention.head_count": heads, "attention.layer_norm_epsilon": eps,
    }.items():
        file.key(key, value)
    for key, value in more.items():
        file.key(key.replace("__", "."), value)


def copy(file, w, names, transpose=()):
    """Weights and biases under llama.cpp's names; `transpose` names those stored [in, out]."""
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            values = w.maybe(f"{theirs}.{part}")
            if values is not None:
                file.tensor(f"{ours}.{part}", values.T if ours.split(".")[-1] in transpose else values)


def gpt2(file, c, w):
    gpt_keys(file, c.n_positions, c.n_embd, c.n_layer, c.n_inner, c.n_head, c.layer_norm_epsilon)
    copy(file, w, {"token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f"})
    w("lm_head.weight")  # tied
    for l in range(c.n_layer):
        ours, theirs = f"blk.{l}.", f"transformer.h.{l}."
        copy(file, w, {
            f"{ours}attn_norm": f"{theirs}ln_1", f"{ours}ffn_norm": f"{theirs}ln_2",
            f"{ours}attn_qkv": f"{theirs}attn.c_attn", f"{ours}attn_output": f"{theirs}attn.c_proj",
            f"{ours}ffn_up": f"{theirs}mlp.c_fc", f"{ours}ffn_down": f"{theirs}mlp.c_proj",
        }, transpose=("attn_qkv", "attn_output", "ffn_up", "ffn_down"))


def gptj(file, c, w):
    gpt_keys(
        file, c.n_positions, c.n_embd, c.n_layer, c.n_inner, c.n_head, c.layer_norm_epsilon,
        rope__dimension_count=c.rotary_dim,
    )
    copy(file, w, {"token_embd": "transformer.wte", "output_norm": "transformer.ln_f", "output": "lm_head"})
    for l in range(c.n_layer):
        ours, theirs = f"blk.{l}.", f"transformer.h.{l}."
        copy(file, w, {
            f"{ours}attn_norm": f"{theirs}ln_1", f"{ours}attn_q": f"{theirs}attn.q_proj",
            f"{ours}attn_k": f"{theirs}attn.k_proj", f"{ours}attn_v": f"{theirs}attn.v_proj",
            f"{ours}attn_output": f"{theirs}attn.out_proj", f"{ours}ffn_up": f"{theirs}mlp.fc_in",
            f"{ours}ffn_down": f"{theirs}mlp.fc_out",
        })


def mpt(file, c, w):
    a = c.attn_config
    ffn = w.values["transformer.blocks.0.ffn.up_proj.weight"].shape[0]
    gpt_keys(
        file, c.max_seq_len, c.d_model, c.n_layers, ffn, c.n_heads, c.layer_norm_epsilon,
        attention__max_alibi_bias=float(a.alibi_bias_max),
    )
    if a.clip_qkv:
        file.key("attention.clamp_kqv", float(a.clip_qkv))
    copy(file, w, {"token_embd": "transformer.wte", "output_norm": "transformer.norm_f"})
    w("lm_head.weight")  # tied
    for l in range(c.n_layers):
        ours, theirs = f"blk.{l}.", f"transformer.blocks.{l}."
        copy(file, w, {
            f"{ours}attn_norm": f"{theirs}norm_1", f"{ours}ffn_norm": f"{theirs}norm_2",
            f"{ours}attn_qkv": f"{theirs}attn.Wqkv", f"{ours}attn_output": f"{theirs}attn.out_proj",
            f"{ours}ffn_up": f"{theirs}ffn.up_proj", f"{ours}ffn_down": f"{theirs}ffn.down_proj",
        })


def gptneox(file, c, w):
    head = c.hidden_size // c.num_attention_heads
    gpt_keys(
        file, c.max_position_embeddings, c.hidden_size, c.num_hidden_layers, c.intermediate_size,
        c.num_attention_heads, c.layer_norm_eps,
        rope__dimension_count=int(head * c.rope_parameters["partial_rotary_factor"]),
        use_parallel_residual=c.use_parallel_residual,
    )
    copy(file, w, {"token_embd": "gpt_neox.embed_in", "output_norm": "gpt_neox.final_layer_norm", "output": "embed_out" if "embed_out.weight" in w.values else "lm_head"})
    for l in range(c.num_hidden_layers):
        ours, theirs = f"blk.{l}.", f"gpt_neox.layers.{l}."
        copy(file, w, {
            f"{ours}attn_norm": f"{theirs}input_layernorm", f"{ours}ffn_norm": f"{theirs}post_attention_layernorm",
            f"{ours}attn_output": f"{theirs}attention.dense", f"{ours}ffn_up": f"{theirs}mlp.dense_h_to_4h",
            f"{ours}ffn_down": f"{theirs}mlp.dense_4h_to_h",
        })
        for part in ("weight", "bias"):
            # per head q, k, v -> all q, all k, all v
            fused = w(f"{theirs}attention.query_key_value.{part}")
            parts = fused.reshape(c.num_attention_heads, 3, head, -1).swapaxes(0, 1)
            file.tensor(f"{ours}attn_qkv.{part}", parts.reshape(fused.shape))


def falcon(file, c, w):
    n_kv = c.num_kv_heads if c.new_decoder_architecture else 1
    gpt_keys(
        file, c.max_position_embeddings, c.hidden_size, c.num_hidden_layers, c.ffn_hidden_size,
        c.num_attention_heads, c.layer_norm_epsilon, attention__head_count_kv=n_kv, tensor_data_layout="jploski",
    )
    copy(file, w, {"token_embd": "transformer.word_embeddings", "output_norm": "transformer.ln_f", "output": "lm_head"})
    head, per_kv = c.hidden_size // c.num_attention_heads, c.num_attention_heads // n_kv
    for l in range(c.num_hidden_layers):
        ours, theirs = f"blk.{l}.", f"transformer.h.{l}."
        norms = {"attn_norm": "ln_mlp", "attn_norm_2": "ln_attn"} if c.new_decoder_architecture else {"attn_norm": "input_layernorm"}
        copy(file, w, {f"{ours}{name}": f"{theirs}{norm}" for name, norm in norms.items()} | {
            f"{ours}attn_output": f"{theirs}self_attention.dense", f"{ours}ffn_up": f"{theirs}mlp.dense_h_to_4h",
            f"{ours}ffn_down": f"{theirs}mlp.dense_4h_to_h",
        })
        # per KV head its queries, key and value -> all q, all k, all v
        fused = w(f"{theirs}self_attention.query_key_value.weight").reshape(n_kv, per_kv + 2, head, -1)
        parts = [fused[:, :per_kv], fused[:, per_kv], fused[:, per_kv + 1]]
        file.tensor(f"{ours}attn_qkv.weight", np.concatenate([p.reshape(-1, c.hidden_size) for p in parts]))


GEMMA = dict(
    BASE, hidden_size=32, intermediate_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    query_pre_attn_scalar=16, sliding_window=12, tie_word_embeddings=True, rms_norm_eps=1e-6,
)
PHI3 = dict(LLAMA, pad_token_id=0)
LONGROPE = dict(
    rope_type="longrope", long_factor=[1.0, 1.5, 2.2, 3.5, 5.0, 8.0], short_factor=[1.0, 1.05, 1.1, 1.3, 1.4, 1.7],
    partial_rotary_factor=0.75,
)
LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)
GPT2 = dict(vocab_size=N_VOCAB, n_positions=CONTEXT, n_embd=64, n_layer=2, n_head=4, n_inner=96)
NEOX = dict(
    BASE, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
    rope_parameters=rope(partial_rotary_factor=0.25), tie_word_embeddings=False,
)
FALCON = dict(
    BASE, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, ffn_hidden_size=96, alibi=False,
    bias=False, parallel_attn=True, rope_parameters=rope(), tie_word_embeddings=False,
)


def mpt_config(heads, clip):
    return hf.MptConfig(
        vocab_size=N_VOCAB, max_seq_len=CONTEXT, d_model=16 * heads, n_heads=heads, n_layers=2, no_bias=True,
        attn_config=dict(clip_qkv=clip, alibi=True),
    )


# name: (general.architecture, conversion, transformers class, configuration, what else a case needs)
# The context to load with where the choice of rotary factors hangs on it; `llama_cpp` False where it computes
# something else: it has no GPT-J, and doesn't give a Llama file a window.
MODELS = {
    "llama": ("llama", llama, hf.LlamaForCausalLM, hf.LlamaConfig(**LLAMA, rope_parameters=rope()), {}),
    "llama3-rope": ("llama", llama, hf.LlamaForCausalLM, hf.LlamaConfig(**LLAMA | {"tie_word_embeddings": True}, rope_parameters=rope(**LLAMA3)), {}),
    "mistral-window": ("llama", llama, hf.MistralForCausalLM, hf.MistralConfig(**LLAMA, head_dim=32, sliding_window=12, rope_parameters=rope(1e6)), {"llama_cpp": False}),
    "qwen2": ("qwen2", qwen, hf.Qwen2ForCausalLM, hf.Qwen2Config(**LLAMA | {"tie_word_embeddings": True}, rope_parameters=rope(1e6)), {}),
    "qwen2-yarn": ("qwen2", qwen, hf.Qwen2ForCausalLM, hf.Qwen2Config(**LLAMA, rope_parameters=rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)), {}),
    "qwen3": ("qwen3", qwen, hf.Qwen3ForCausalLM, hf.Qwen3Config(**LLAMA, head_dim=32, rope_parameters=rope(1e6)), {}),
    "gemma2": ("gemma2", gemma, hf.Gemma2ForCausalLM, hf.Gemma2Config(**GEMMA, num_hidden_layers=4, attn_logit_softcapping=3.0, final_logit_softcapping=5.0, rope_parameters=rope()), {}),
    "gemma3": ("gemma3", gemma, hf.Gemma3ForCausalLM, hf.Gemma3TextConfig(**GEMMA, num_hidden_layers=7, rope_parameters={"full_attention": rope(1e6, rope_type="linear", factor=8.0), "sliding_attention": rope(1e4)}), {}),
    "phi3": ("phi3", phi3, hf.Phi3ForCausalLM, hf.Phi3Config(**PHI3, sliding_window=None, rope_parameters=rope()), {}),
    "phi3-short": ("phi3", phi3, hf.Phi3ForCausalLM, hf.Phi3Config(**PHI3 | {"max_position_embeddings": 512, "original_max_position_embeddings": 256}, sliding_window=None, rope_parameters=rope(**LONGROPE, original_max_position_embeddings=256)), {"context": 256}),
    "phi3-long": ("phi3", phi3, hf.Phi3ForCausalLM, hf.Phi3Config(**PHI3 | {"max_position_embeddings": 512, "original_max_position_embeddings": 32}, sliding_window=None, rope_parameters=rope(**LONGROPE, original_max_position_embeddings=32)), {"context": 512}),
    "gpt2": ("gpt2", gpt2, hf.GPT2LMHeadModel, hf.GPT2Config(**GPT2), {}),
    "gptj": ("gptj", gptj, hf.GPTJForCausalLM, hf.GPTJConfig(**GPT2, rotary_dim=8), {"llama_cpp": False}),
    "mpt": ("mpt", mpt, hf.MptForCausalLM, mpt_config(4, 1.0), {}),
    "mpt-6-heads": ("mpt", mpt, hf.MptForCausalLM, mpt_config(6, None), {}),
    "gptneox": ("gptneox", gptneox, hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(**NEOX, use_parallel_residual=True), {}),
    "gptneox-sequential": ("gptneox", gptneox, hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(**NEOX, use_parallel_residual=False), {}),
    "falcon-7b": ("falcon", falcon, hf.FalconForCausalLM, hf.FalconConfig(**FALCON, multi_query=True, new_decoder_architecture=False), {}),
    "falcon-40b": ("falcon", falcon, hf.FalconForCausalLM, hf.FalconConfig(**FALCON, num_kv_heads=2, new_decoder_architecture=True), {}),
}
