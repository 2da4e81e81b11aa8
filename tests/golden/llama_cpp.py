"""llama.cpp as a second reference: its quantisers and its logits, through ctypes.

Development only. The prebuilt libraries come with the npm package `@node-llama-cpp/linux-x64`
(3.22.1, which holds llama.cpp v0.5.0); LLAMA_CPP_LIB names its folder `bins/linux-x64`.
The parameter structs of llama.h are passed by value; they are taken here as opaque bytes from the
library's own `*_default_params` and only the fields named below are set, at offsets that are checked
against their known defaults first.
"""
import ctypes as C
import glob
import os
import struct

import numpy as np

DIRECTORY = os.environ["LLAMA_CPP_LIB"]


def _library(pattern):
    (path,) = glob.glob(os.path.join(DIRECTORY, pattern))
    return C.CDLL(path, C.RTLD_GLOBAL)


_base = _library("libggml-base.so")
_ggml = _library("libggml.*.so")
_llama = _library("libllama.v*.so")


class _Opaque(C.Structure):
    """More bytes than any parameter struct: the callee reads its own struct from the front."""

    _fields_ = [("bytes", C.c_uint8 * 512)]

    def field(self, offset, fmt, default, value):
        (found,) = struct.unpack_from(fmt, self.bytes, offset)
        if found != default:
            raise RuntimeError(f"llama.h has changed: default at byte {offset} is {found}, expected {default}")
        struct.pack_into(fmt, self.bytes, offset, value)


class _Batch(C.Structure):
    _fields_ = [
        ("n_tokens", C.c_int32),
        ("token", C.POINTER(C.c_int32)),
        ("embd", C.POINTER(C.c_float)),
        ("pos", C.POINTER(C.c_int32)),
        ("n_seq_id", C.POINTER(C.c_int32)),
        ("seq_id", C.POINTER(C.POINTER(C.c_int32))),
        ("logits", C.POINTER(C.c_int8)),
    ]


_LOG = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)
_messages = []


@_LOG
def _log(level, text, _):
    if level >= 3:  # GGML_LOG_LEVEL_WARN
        _messages.append(text.decode(errors="replace"))


_llama.llama_log_set(_log, None)
_ggml.ggml_backend_load_all_from_path(DIRECTORY.encode())
_llama.llama_backend_init()
for _name in ("llama_model_default_params", "llama_context_default_params"):
    getattr(_llama, _name).restype = _Opaque
_llama.llama_model_load_from_file.restype = C.c_void_p
_llama.llama_model_load_from_file.argtypes = [C.c_char_p, _Opaque]
_llama.llama_init_from_model.restype = C.c_void_p
_llama.llama_init_from_model.argtypes = [C.c_void_p, _Opaque]
_llama.llama_batch_init.restype = _Batch
_llama.llama_batch_free.argtypes = [_Batch]
_llama.llama_decode.argtypes = [C.c_void_p, _Batch]
_llama.llama_get_logits_ith.restype = C.POINTER(C.c_float)
_llama.llama_get_logits_ith.argtypes = [C.c_void_p, C.c_int32]
_llama.llama_model_get_vocab.restype = C.c_void_p
_llama.llama_model_get_vocab.argtypes = [C.c_void_p]
_llama.llama_vocab_n_tokens.argtypes = [C.c_void_p]
_llama.llama_free.argtypes = [C.c_void_p]
_llama.llama_model_free.argtypes = [C.c_void_p]
_base.ggml_quantize_chunk.restype = C.c_size_t
_base.ggml_quantize_chunk.argtypes = [C.c_int, C.c_void_p, C.c_void_p] + [C.c_int64] * 3 + [C.c_void_p]
_base.ggml_row_size.restype = C.c_size_t
_base.ggml_row_size.argtypes = [C.c_int, C.c_int64]


def quantize(weights, ggml_type):
    """Rows of f32 -> uint8 [rows, row bytes], by llama.cpp's own quantiser (no importance matrix)."""
    weights = np.ascontiguousarray(weights, np.float32)
    rows, columns = weights.shape
    out = np.zeros((rows, _base.ggml_row_size(int(ggml_type), columns)), np.uint8)
    _base.ggml_quantize_chunk(
        int(ggml_type), weights.ctypes.data, out.ctypes.data, 0, rows, columns, None
    )
    return out


def logits(path, ids, positions, context=0):
    """Logits [len(positions), nVocab] of a prompt evaluated in one batch, cache f32, no flash attention.

    context: tokens of context, 0 for the model's own.
    """
    _messages.clear()
    model = _llama.llama_model_load_from_file(os.fsencode(path), _llama.llama_model_default_params())
    if not model:
        raise RuntimeError(f"llama.cpp does not load {path}: {''.join(_messages)}")
    params = _llama.llama_context_default_params()
    params.field(0, "<I", 512, context)
    params.field(28, "<i", 4, 1)  # n_threads: one, so that sums do not depend on the machine
    params.field(32, "<i", 4, 1)  # n_threads_batch
    params.field(52, "<i", -1, 0)  # flash_attn_type: disabled
    params.field(104, "<i", 1, 0)  # type_k: f32
    params.field(108, "<i", 1, 0)  # type_v: f32
    context = _llama.llama_init_from_model(model, params)
    if not context:
        raise RuntimeError(f"llama.cpp makes no context for {path}: {''.join(_messages)}")
    batch = _llama.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, id in enumerate(ids):
        batch.token[i] = id
        batch.pos[i] = i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = 1
    if _llama.llama_decode(context, batch) != 0:
        raise RuntimeError(f"llama.cpp cannot decode {path}: {''.join(_messages)}")
    n_vocab = _llama.llama_vocab_n_tokens(_llama.llama_model_get_vocab(model))
    rows = [np.ctypeslib.as_array(_llama.llama_get_logits_ith(context, p), (n_vocab,)).copy() for p in positions]
    _llama.llama_batch_free(batch)
    _llama.llama_free(context)
    _llama.llama_model_free(model)
    return np.stack(rows)
