"""Writes the small models of make_arch_golden.py as GGUF files, with a tokenizer of single characters."""
import gguf
import numpy as np


class File:
    """A GGUF file under way: `arch.key` values and tensors by their llama.cpp names, all F32."""

    def __init__(self, path, arch, config):
        self.arch = arch
        self.writer = gguf.GGUFWriter(path, arch)
        for key, value in config.items():
            self.key(key, value)

    def key(self, name, value):
        name = f"{self.arch}.{name}"
        if isinstance(value, bool):
            self.writer.add_bool(name, value)
        elif isinstance(value, int):
            self.writer.add_uint32(name, value)
        elif isinstance(value, float):
            self.writer.add_float32(name, value)
        else:
            self.writer.add_string(name, value)

    def tensor(self, name, values):
        values = np.asarray(values, np.float32)
        self.writer.add_tensor(name, np.ascontiguousarray(values))

    def tokenizer(self, n_vocab):
        """The printable characters, a merge of two of them, filler and an end token."""
        tokens = [chr(c) for c in range(33, 127)]
        tokens = (tokens + ["th"] + [f"[{i}]" for i in range(n_vocab)])[: n_vocab - 1] + ["<|endoftext|>"]
        w = self.writer
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("default")
        w.add_token_list(tokens)
        w.add_token_types([1] * (n_vocab - 1) + [3])
        w.add_token_merges(["t h"])
        w.add_bos_token_id(n_vocab - 1)
        w.add_eos_token_id(n_vocab - 1)
        w.add_add_bos_token(False)

    def close(self):
        w = self.writer
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()


def adjacent_pairs(weight, n_heads):
    """Rows of a query or key matrix (or its bias), reordered from half-split to adjacent rotary pairs, as llama.cpp's Llama files have them."""
    rows, *rest = weight.shape
    return weight.reshape(n_heads, 2, rows // n_heads // 2, *rest).swapaxes(1, 2).reshape(weight.shape)
