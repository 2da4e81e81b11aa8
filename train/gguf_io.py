"""Write a model as GGUF (architecture `llama`, F32 or Q8_0) and read it back."""
import json

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from data import END
from model import Model, ModelConfig

FILE_TYPE = {"f32": 0, "q8_0": 7}
NAMES = {
    "attn_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}


def gguf_name(name):
    """Name of a parameter in GGUF."""
    if not name.startswith("blocks."):
        return {"emb.weight": "token_embd.weight", "norm.weight": "output_norm.weight",
                "out.weight": "output.weight"}[name]
    _, layer, part, _ = name.split(".")
    return f"blk.{layer}.{NAMES[part]}.weight"


def _write_sizes(writer, cfg, kind):
    writer.add_context_length(cfg.context)
    writer.add_embedding_length(cfg.dim)
    writer.add_block_count(cfg.layers)
    writer.add_feed_forward_length(cfg.ffn)
    writer.add_head_count(cfg.heads)
    writer.add_head_count_kv(cfg.kv_heads)
    writer.add_key_length(cfg.head_dim)
    writer.add_value_length(cfg.head_dim)
    writer.add_layer_norm_rms_eps(cfg.norm_eps)
    writer.add_rope_freq_base(cfg.rope_base)
    writer.add_rope_dimension_count(cfg.head_dim)
    writer.add_vocab_size(cfg.vocab)
    writer.add_file_type(FILE_TYPE[kind])


def _write_tokenizer(writer, tokenizer):
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    end = tokenizer.token_to_id(END)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in vocab])
    writer.add_token_types([3 if i == end else 1 for _, i in vocab])  # 3 control, 1 normal
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)


def save_model(path, model, tokenizer, name, kind, extra=None):
    """kind: f32 or q8_0 (matrices only; the norms stay F32). extra: more metadata, texts or lists of texts or numbers."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    for key, value in (extra or {}).items():
        writer.add_string(key, value) if isinstance(value, str) else writer.add_array(key, value)
    _write_sizes(writer, model.cfg, kind)
    _write_tokenizer(writer, tokenizer)
    for key, p in model.state_dict().items():
        x = p.detach().float().numpy()
        if kind == "q8_0" and x.ndim == 2:
            writer.add_tensor(gguf_name(key), gguf.quants.quantize(x, Kind.Q8_0), raw_dtype=Kind.Q8_0)
        else:
            writer.add_tensor(gguf_name(key), x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _read_tokenizer(field):
    tokens = field("tokenizer.ggml.tokens")
    merges = [tuple(m.split(" ")) for m in field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([tokens[field("tokenizer.ggml.eos_token_id")]])
    return tokenizer


def load_model(path):
    """(model, tokenizer) of a GGUF file; quantised matrices are dequantised to float32."""
    reader = gguf.GGUFReader(str(path))

    def field(key):
        return reader.get_field(key).contents()

    cfg = ModelConfig(
        vocab=len(field("tokenizer.ggml.tokens")), dim=field("llama.embedding_length"),
        layers=field("llama.block_count"), heads=field("llama.attention.head_count"),
        kv_heads=field("llama.attention.head_count_kv"), head_dim=field("llama.rope.dimension_count"),
        ffn=field("llama.feed_forward_length"), context=field("llama.context_length"),
        rope_base=field("llama.rope.freq_base"), norm_eps=field("llama.attention.layer_norm_rms_epsilon"))
    model = Model(cfg)
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    model.load_state_dict({
        key: torch.from_numpy(np.array(tensors[gguf_name(key)], np.float32)).view_as(p)
        for key, p in model.state_dict().items()})
    return model.eval(), _read_tokenizer(field)
