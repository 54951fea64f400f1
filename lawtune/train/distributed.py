"""Several processes that train one model together: `torchrun … -m lawtune finetune …`.

Every process does the same work on the same data and settings, but each takes its share of every
step's examples; their gradients are summed, so all hold the same parameters at all times. The
first process (rank 0) alone writes and speaks. `Alone` answers in the same way for the only
process of a run, so the rest of the code need not ask which of the two it is.

Between processes go tensors and JSON, no pickle.
"""

import atexit
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from lawtune.errors import LostProcessError, StoppedError, UserError
from lawtune.train.batches import Step, cut_by_tokens

_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Alone:
    """The only process of a run: what all processes say is what it says."""

    rank, size, on_this_machine = 0, 1, 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def each(self, value: Any) -> list[Any]:
        """What every process gives here, by rank; JSON data. All must come to this call."""
        return [value]

    def add(self, tensor: torch.Tensor) -> None:
        """Replace a tensor, in place, by its sum over all processes."""

    def send(self, tensor: torch.Tensor, source: int) -> None:
        """Replace a tensor, in place, by that of the process `source`."""

    def highest(self, number: int) -> int:
        """The largest number that a process gives here."""
        return max(self.each(number))

    def wait(self) -> None:
        """Until every process has come here."""
        self.each(None)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A part that every process goes through: if it fails in one, it fails in all.

        Raises:
            UserError: what one of the processes raised, with its rank if not all agree.
        """
        failure = None
        try:
            yield
        except UserError as error:
            failure = error
        texts = self.each(failure and str(failure))
        if failure and len(set(texts)) == 1:
            raise failure
        told = [f"process {rank} of {self.size}: {text}" for rank, text in enumerate(texts) if text]
        if told:
            raise UserError("; ".join(told))

    def agree(self, facts: dict[str, Any]) -> None:
        """Make sure that every process was given the same.

        Raises:
            UserError: it was not; what differs is named.
        """
        everyone = self.each(facts)
        for rank, others in enumerate(everyone):
            differing = [key for key in everyone[0] if others.get(key) != everyone[0][key]]
            if differing:
                key = differing[0]
                raise UserError(
                    f"the processes of this run do not agree: {key} is {everyone[0][key]} in"
                    f" process 0, but {others.get(key)} in process {rank}"
                )


class Team(Alone):
    """This process as one of several."""

    def __init__(self):
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))

    def each(self, value: Any) -> list[Any]:
        """See `Alone.each`."""
        content = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        distributed.all_gather(sizes, torch.tensor([len(content)]))
        longest = max(size.item() for size in sizes)
        parts = [torch.empty(longest, dtype=torch.uint8) for _ in range(self.size)]
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(content)] = content
        distributed.all_gather(parts, padded)
        return [
            json.loads(bytes(part[: size.item()].tolist()))
            for part, size in zip(parts, sizes, strict=True)
        ]

    def add(self, tensor: torch.Tensor) -> None:
        """See `Alone.add`."""
        distributed.all_reduce(tensor)

    def send(self, tensor: torch.Tensor, source: int) -> None:
        """See `Alone.send`."""
        distributed.broadcast(tensor, source)


@contextmanager
def joined_team(device: str = "auto") -> Iterator[Alone]:
    """The processes that torchrun has started with this one, or this one alone.

    Errors that every process meets are marked as said by the first one.

    Args:
        device: `train.device`; but for `cpu`, each process takes a GPU of its own where there are
            any.

    Raises:
        UserError: this machine has fewer GPUs than processes.
        LostProcessError: another process ended before its time, so this one cannot go on.
    """
    if not all(name in os.environ for name in _LAUNCHED) or os.environ["WORLD_SIZE"] == "1":
        yield Alone()
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        place, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= there:
            raise UserError(
                f"torchrun has started more processes here than there are GPUs ({there}); start"
                " one for each, or set train.device to cpu"
            )
        torch.cuda.set_device(place)
    try:
        if not distributed.is_initialized():
            # What the processes say to one another lies in main memory, gradients on the GPU.
            distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
            # Kept for whatever runs next: a group cannot be founded twice at one address.
            atexit.register(distributed.destroy_process_group)
        yield Team()
    except (UserError, StoppedError) as error:
        error.said_elsewhere = os.environ["RANK"] != "0"
        raise
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        raise LostProcessError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: another process of this"
            " run has ended (its own message says why), so this one cannot go on. What was saved"
            " is whole: the same command with --resume goes on from there, with any number of"
            " processes"
        ) from None


def share_by_tokens(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Deal examples out to `size` processes, the longest first, each to whoever has the fewest
    tokens by then; indices by rank. A process may get none."""
    shares: list[list[int]] = [[] for _ in range(size)]
    tokens = [0] * size
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        least = tokens.index(min(tokens))
        shares[least].append(index)
        tokens[least] += lengths[index]
    return shares


def cut_shares(lengths: Sequence[int], size: int, micro_tokens: int) -> list[Step]:
    """The micro-batches of every process, by rank, as indices into the step's examples."""
    return [cut_by_tokens(share, lengths, micro_tokens) for share in share_by_tokens(lengths, size)]


def sum_gradients(team: Alone, parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every `.grad` by the sum over all processes, in one go; where a process has none (it
    had no example in this step), that counts as zero."""
    if team.size == 1:
        return
    wanted = list(parameters)
    flat = torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in wanted]
    )
    team.add(flat)
    for parameter, part in zip(wanted, flat.split([p.numel() for p in wanted]), strict=True):
        parameter.grad = part.view_as(parameter)


def spread(
    team: Alone, batches: Sequence[Any], compute: Callable[[Any], torch.Tensor]
) -> Iterator[torch.Tensor]:
    """What `compute` makes of each batch, in order and in every process, though each process
    computes but its share: the first of every `team.size` batches rank 0, the second rank 1, …"""
    for start in range(0, len(batches), team.size):
        several = batches[start : start + team.size]
        # A process without a batch in the last round repeats one: layers that are sharded over
        # the processes need all of them for every pass.
        result = compute(several[min(team.rank, len(several) - 1)])
        shapes = team.each([list(result.shape), str(result.dtype)])
        for source in range(len(several)):
            value = result
            if source != team.rank:
                shape, dtype = shapes[source]
                value = torch.empty(
                    shape, dtype=getattr(torch, dtype.split(".")[1]), device=result.device
                )
            value = value.contiguous()
            team.send(value, source)
            yield value


def _is_loss(error: RuntimeError) -> bool:
    """Whether an error of torch's says that another process has gone."""
    kinds = (distributed.DistBackendError, distributed.DistNetworkError, distributed.DistStoreError)
    # gloo has no class of its own for it.
    return isinstance(error, kinds) or "gloo/" in str(error)
