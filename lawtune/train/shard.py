"""Layers that are too large for one process, spread over all of them (FSDP2)."""

import warnings

import torch
from torch import nn

from lawtune.errors import UserError
from lawtune.train.distributed import Alone
from lawtune.train.prefix import find_layers


def shard_layers(model: nn.Module, device: torch.device, team: Alone) -> None:
    """Spread the frozen weights of the layers over the processes of `team`, each of which then
    holds its part and puts a layer together when it is its turn; bring the rest to `device`.

    Embeddings, the vocabulary projection and all that trains stay whole in every process: they are
    used in more places than a layer is, and gradients are summed like those of any other run.

    Raises:
        UserError: there is but one process, or no list of layers.
    """
    from torch.distributed import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    layers = find_layers(model)
    if team.size == 1 or not layers:
        why = "there is only one process" if layers else "this model has no list of layers"
        raise UserError(
            f"train.shard spreads a model's layers over several processes, but {why}; start it"
            " with `torchrun --nproc-per-node N -m lawtune finetune …`, or leave it off"
        )
    # A warning to those who change the trunk's output in place, which nobody here does.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
    mesh = init_device_mesh(device.type, (team.size,))
    whole = {parameter for parameter in model.parameters() if parameter.requires_grad}
    for layer in layers:
        fully_shard(layer, mesh=mesh, ignored_params=whole)
    # The trunk has no weights to spread; as the layers' root it knows which one comes next.
    trunk = (model.get_base_model() if hasattr(model, "get_base_model") else model).base_model
    fully_shard(trunk, mesh=mesh, ignored_params=set(trunk.parameters()))
    model.to(device)
