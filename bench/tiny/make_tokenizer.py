"""Write a small byte-level BPE tokenizer that loads offline: ``python make_tokenizer.py DIRECTORY``.

Run with a Python that has `transformers`. Only token counts matter to those who use it, so it is trained on a few
sentences; every byte is a token, so no text is unknown to it.
"""

import argparse
from pathlib import Path

from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

END = "<|end|>"
PAD = "<|pad|>"
VOCABULARY = 512
CONTEXT = 8192
SENTENCES = (
    "The gateway asks which replica already holds the beginning of the prompt.",
    "A short answer is better than a long one, and a cached one is faster.",
    "Requests with the same system prompt share the first blocks of the cache.",
    "When a server is busy the next request waits in a queue or goes elsewhere.",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train it; the same each time."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE,
    )


def directory_argument() -> Path:
    """Read where to write from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where to write")
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    return directory


if __name__ == "__main__":
    make_tokenizer().save_pretrained(directory_argument())
