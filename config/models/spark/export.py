"""Writes a trained checkpoint as a GGUF file, Q8_0 (norms and the smallest matrix F32).

    export.py --vocabulary ANY_GEMMA4.gguf --checkpoint DIR/checkpoint.pt --out spark.gguf [--f32]

Tokenizer and chat template are copied from the first file as they are.
"""
import argparse

import gguf
import numpy as np
import torch

import model

F32, Q8_0 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0
LAYER = {
    "post_attn": "post_attention_norm", "post_ffn": "post_ffw_norm", "post_ple": "post_norm",
    "q_norm": "attn_q_norm", "q.weight": "attn_q", "k.weight": "attn_k", "v.weight": "attn_v",
    "o.weight": "attn_output", "gate.weight": "ffn_gate", "up.weight": "ffn_up",
    "down.weight": "ffn_down", "ple_gate.weight": "inp_gate", "ple_proj.weight": "proj",
    "scale": "layer_output_scale",
}
WHOLE = {"embed.weight": "token_embd", "ple_embed.weight": "per_layer_token_embd",
         "ple_context.weight": "per_layer_model_proj", "ple_context_norm": "per_layer_proj_norm",
         "norm": "output_norm"}


def tensors(net):
    """(name in GGUF, F32 array); norms in front of products have no weights in training."""
    s = net.s
    for name, p in net.named_parameters():
        value = p.detach().float().numpy()
        if name.startswith("layers."):
            _, i, rest = name.split(".", 2)
            yield f"blk.{i}.{LAYER[rest]}.weight", value
        else:
            yield WHOLE[name] + ".weight", value
    for i, layer in enumerate(net.layers):
        for norm in "attn_norm", "ffn_norm":
            yield f"blk.{i}.{norm}.weight", np.ones(s["d"], np.float32)
        if layer.owns:
            yield f"blk.{i}.attn_k_norm.weight", np.ones(layer.head, np.float32)
    half = s["head_g"] // 2  # pairs that do not turn have an endless wavelength
    factors = np.full(half, 1e30, np.float32)
    factors[:int(half * s["rotated_g"])] = 1
    yield "rope_freqs.weight", factors


def add_shape(w, s):
    arch = "gemma4."
    sliding = [i not in s["global_layers"] for i in range(s["layers"])]
    tail = s["layers"] - s["shared"]
    w.add_name("Spark")
    w.add_description("A demonstration model of Tollgate, trained from scratch on generated tasks")
    w.add_license("apache-2.0")
    w.add_float32("general.sampling.temp", 0)
    w.add_bool("tollgate.thinking", False)  # no task has thoughts
    for key, value in (("block_count", s["layers"]), ("context_length", s["context"]),
                       ("embedding_length", s["d"]), ("attention.head_count", s["heads"]),
                       ("attention.head_count_kv", 1), ("attention.key_length", s["head_g"]),
                       ("attention.value_length", s["head_g"]),
                       ("attention.key_length_swa", s["head_s"]),
                       ("attention.value_length_swa", s["head_s"]),
                       ("rope.dimension_count", s["head_g"]),
                       ("rope.dimension_count_swa", s["head_s"]),
                       ("attention.sliding_window", s["window"]),
                       ("attention.shared_kv_layers", s["shared"]),
                       ("embedding_length_per_layer_input", s["ple"])):
        w.add_uint32(arch + key, value)
    for key, value in (("rope.freq_base", s["base_g"]), ("rope.freq_base_swa", s["base_s"]),
                       ("attention.layer_norm_rms_epsilon", s["eps"]),
                       ("final_logit_softcapping", s["softcap"])):
        w.add_float32(arch + key, value)
    w.add_array(arch + "feed_forward_length",
                [s["ff"] if i < tail else s["ff_tail"] for i in range(s["layers"])])
    w.add_array(arch + "attention.sliding_window_pattern", sliding)


def copy_tokenizer(w, path):
    for name, field in gguf.GGUFReader(path).fields.items():
        if name.startswith("tokenizer."):
            sub = field.types[1] if len(field.types) > 1 else None
            w.add_key_value(name, field.contents(), field.types[0], sub_type=sub)


def load(path):
    """The model of a GGUF file that this script wrote, its weights dequantised."""
    net = model.Spark()
    names = {v + ".weight": k for k, v in WHOLE.items()}
    for i in range(net.s["layers"]):
        names |= {f"blk.{i}.{v}.weight": f"layers.{i}.{k}" for k, v in LAYER.items()}
    state = {}
    for t in gguf.GGUFReader(path).tensors:
        if t.name in names:
            value = gguf.quants.dequantize(t.data, t.tensor_type)
            state[names[t.name]] = torch.from_numpy(value.copy())
    net.load_state_dict(state)
    return net


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in "vocabulary", "checkpoint", "out":
        p.add_argument("--" + name, required=True)
    p.add_argument("--f32", action="store_true", help="nothing quantised: for comparisons")
    args = p.parse_args()
    net = model.Spark()
    with torch.no_grad():
        for p, m in zip(net.parameters(), torch.load(args.checkpoint)["master"]):
            p.copy_(m)
    w = gguf.GGUFWriter(args.out, "gemma4")
    add_shape(w, net.s)
    copy_tokenizer(w, args.vocabulary)
    w.add_quantization_version(2)
    w.add_file_type(gguf.LlamaFileType.ALL_F32 if args.f32 else gguf.LlamaFileType.MOSTLY_Q8_0)
    for name, value in tensors(net):
        if value.ndim == 2 and not args.f32 and name != "per_layer_model_proj.weight":
            w.add_tensor(name, gguf.quants.quantize(value, Q8_0), raw_dtype=Q8_0)
        else:
            w.add_tensor(name, value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main()
