"""A tokenizer for Korean legal text: byte-level BPE, so that no text is ever unknown."""

from collections.abc import Iterable
from typing import Any

RESERVED = tuple(f"<unused{index}>" for index in range(100))
"""Tokens without a meaning of their own, kept free for prompt markers and users' own uses."""

BOS, EOS, PAD = "<s>", "</s>", "<pad>"


def train_tokenizer(texts: Iterable[str], vocabulary: int, context: int) -> Any:
    """Train a byte-level BPE tokenizer of exactly `vocabulary` tokens (fewer if the text is small).

    Text is normalised to NFC (not NFKC, which would turn ① into 1) and digits stand apart, so that
    제750조 shares its pieces with every other article number.

    Returns:
        A transformers fast tokenizer; nothing is added to a text that it encodes.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[BOS, EOS, PAD, *RESERVED],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return as_fast_tokenizer(tokenizer, context)


def as_fast_tokenizer(tokenizer: Any, context: int) -> Any:
    """A trained `tokenizers.Tokenizer` as transformers knows it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
