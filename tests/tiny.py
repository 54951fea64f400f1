"""Tiny models and tokenizers built in code: what the tests tune instead of a real base.

Nothing is downloaded and nothing is random but by seed. A model has about 30,000 parameters.
"""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

SENTENCES = (
    "고의 또는 과실로 인한 위법행위로 타인에게 손해를 가한 자는 그 손해를 배상할 책임이 있다.",
    "임대인은 임차인이 계약의 갱신을 요구할 경우 정당한 사유 없이 거절하지 못한다.",
    "사용자는 근로자에게 1주일에 평균 1회 이상의 유급휴일을 주어야 한다.",
    "민법 제750조의 불법행위에 관한 대법원 2020. 1. 1. 선고 2019다12345 판결",
)
"""What the tokenizer's merges are learnt from, and ready text for tests."""


def make_tokenizer(reserved: int = 12, merges: int = 100) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: `</s>` is BOS and EOS as KoGPT-2 has it, `<pad>` apart.

    Args:
        reserved: how many `<unusedN>` tokens it has (lawtune's templates want nine or more).
        merges: merges learnt from `SENTENCES`; with 0, every byte is a token.
    """
    specials = ["<s>", "</s>", "<pad>", "<unk>"] + [f"<unused{i}>" for i in range(reserved)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=len(specials) + 256 + merges,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in specials],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def make_gpt2(
    tokenizer: Any, layers: int = 2, width: int = 32, context: int = 128, seed: int = 0
) -> GPT2LMHeadModel:
    """A random GPT-2 (Conv1D layers, tied `lm_head`) over the tokenizer's vocabulary, float32.

    Weights are larger than GPT-2's own initialisation, so that logits differ visibly.
    """
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=context,
        n_embd=width,
        n_layer=layers,
        n_head=2,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return GPT2LMHeadModel(config).eval()


def make_llama(
    tokenizer: Any,
    layers: int = 2,
    width: int = 32,
    context: int = 128,
    tied: bool = False,
    seed: int = 0,
) -> LlamaForCausalLM:
    """A random Llama (Linear layers, rotary positions, grouped heads), float32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=context,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval()


def save_base(folder: Path, model: Any, tokenizer: Any) -> Path:
    """Save model (safetensors) and tokenizer as a local Hugging Face folder; return it."""
    folder = Path(folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_adapter_folder(
    folder: Path,
    base_folder: Path,
    target_modules: str | tuple[str, ...] = ("lm_head",),
    seed: int = 1,
) -> Path:
    """A whole adapter folder as training leaves it: r = 4, alpha = 12, B ≠ 0, with manifest.

    Marker rows are added where the base's tokenizer has no reserved tokens.
    """
    from lawtune.config import FinetuneConfig, LoraConfig
    from lawtune.files import write_json
    from lawtune.model.adapter import add_marker_rows, save_adapter, write_manifest
    from lawtune.model.load import load_base
    from lawtune.model.lora import attach_lora
    from lawtune.options import to_dict
    from lawtune.prompt import make_template, missing_markers

    base = load_base(str(base_folder))
    template = make_template("lawtune", base.tokenizer)
    missing = missing_markers(template, base.tokenizer)
    added = add_marker_rows(base.model, base.tokenizer, missing)
    lora = LoraConfig(r=4, alpha=12, dropout=0.1, target_modules=target_modules)
    model = randomise(attach_lora(base.model, lora), seed)
    save_adapter(folder, model, base.tokenizer, template, added)
    described = {"config": to_dict(FinetuneConfig(base=str(base_folder), lora=lora))}
    described |= {"base": base.identity.to_json(), "data": {}, "versions": {}, "metrics": {}}
    write_json(folder / "training_config.json", described)
    write_manifest(folder)
    return folder


def randomise(model: Any, seed: int = 1) -> Any:
    """Give a fresh adapter values by seed, B too, so that it has an effect; return the model."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" in name:
            parameter.data.normal_(std=0.2, generator=generator)
    return model


def with_lora(model: Any, targets: list[str], dropout: float = 0.0) -> PeftModel:
    """The model with LoRA on `targets`, its B not zero, so that the adapter shows."""
    config = LoraConfig(r=4, lora_alpha=6, lora_dropout=dropout, target_modules=targets)
    model = get_peft_model(model, config)
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model
