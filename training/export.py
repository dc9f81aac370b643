"""Write a checkpoint as a GGUF file (architecture qwen3, matrices Q8_0, norms F32)."""

import argparse
from pathlib import Path

import gguf
import numpy as np
import student
import vocabulary


def write(model: student.Student, cut: vocabulary.Vocabulary, path: Path, kind: str) -> None:
    """kind: "embedding" (LAST pooling, end token appended) or "reranker" (plain causal LM)."""
    config, ids = model.config, vocabulary.special_ids(cut)
    temporary = path.with_suffix(".part")
    out = gguf.GGUFWriter(temporary, "qwen3")
    out.add_name(f"qrank tiny {kind}")
    out.add_description(f"A very small {kind} in the qwen3 architecture, bundled with qrank")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    out.add_context_length(8192)
    out.add_embedding_length(config.dims)
    out.add_block_count(config.layers)
    out.add_feed_forward_length(config.hidden)
    out.add_head_count(config.heads)
    out.add_head_count_kv(config.heads)
    out.add_key_length(config.head_size)
    out.add_value_length(config.head_size)
    out.add_rope_freq_base(config.rope_base)
    out.add_layer_norm_rms_eps(config.eps)
    if kind == "embedding":
        out.add_pooling_type(gguf.PoolingType.LAST)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(cut["tokens"])
    out.add_token_types(cut["types"])
    out.add_token_merges(cut["merges"])
    out.add_bos_token_id(ids["<|endoftext|>"])
    out.add_pad_token_id(ids["<|endoftext|>"])
    out.add_eos_token_id(ids["<|endoftext|>" if kind == "embedding" else "<|im_end|>"])
    out.add_add_bos_token(False)
    if kind == "embedding":
        out.add_add_eos_token(True)
    for name, weight in model.state_dict().items():
        values = weight.float().cpu().numpy()
        if values.ndim == 1:
            out.add_tensor(name, values.astype(np.float32))
            continue
        packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        out.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    temporary.replace(path)


def main() -> None:
    """Convert one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="build folder with vocabulary.json")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("kind", choices=["embedding", "reranker"])
    parser.add_argument("out", type=Path, help=".gguf file to write")
    args = parser.parse_args()
    cut = vocabulary.load(args.build / "vocabulary.json")
    write(student.load(args.checkpoint), cut, args.out, args.kind)
    print(f"{args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
