"""Write a tiny random Qwen3 model with its tokenizer, without any download: ``python make_model.py DIRECTORY``.

Run with a Python that has `torch` and `transformers`. What it says is nonsense; its prefix cache and its metrics, once
vLLM serves it, are the real thing.
"""

import torch
from make_tokenizer import CONTEXT, directory_argument, make_tokenizer
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SEED = 20240607


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Make two small layers of random weights, the same each time; every token that it says can be decoded."""
    torch.manual_seed(SEED)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.bfloat16,
    )
    return Qwen3ForCausalLM(config).to(torch.bfloat16)


if __name__ == "__main__":
    target = directory_argument()
    tiny_tokenizer = make_tokenizer()
    tiny_tokenizer.save_pretrained(target)
    make_model(tiny_tokenizer).save_pretrained(target)
