"""The model that pre-training starts from."""

from typing import Any

import torch

from lawtune.config import ArchitectureConfig
from lawtune.errors import UserError


def build_model(config: ArchitectureConfig, tokenizer: Any) -> torch.nn.Module:
    """A GPT-2 with random weights for a tokenizer, without dropout (few passes over the text).

    Raises:
        UserError: the width cannot be shared out among the heads.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    if config.width % config.heads:
        raise UserError(
            f"model.width ({config.width}) must be a multiple of model.heads ({config.heads})"
        )
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            # What GPT-2's own `gelu_new` computes, in one pass over memory in place of six.
            activation_function="gelu_pytorch_tanh",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
