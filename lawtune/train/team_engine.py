"""A step's work cut by process and by memory."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch

from lawtune.data.encode import Window
from lawtune.train.batches import cut_by_tokens
from lawtune.train.checkpoint import trainable
from lawtune.train.distributed import Alone, cut_shares, spread, sum_gradients
from lawtune.train.loss import (
    EVALUATION_TOKENS,
    PROJECTED_TOKENS,
    LossEngine,
    NonFiniteError,
    StepLoss,
)

LEAST_TOKENS = 64
"""Below this, lowering costs time and saves nothing: the model itself is what is large."""


@dataclass(frozen=True)
class Cut:
    """How much is computed at once: `micro_batch_tokens` through the layers, padding included, and
    `projected_tokens` on the vocabulary."""

    micro_batch_tokens: int
    projected_tokens: int = PROJECTED_TOKENS

    @property
    def evaluation_tokens(self) -> int:
        """What goes through the layers at once where no gradient is wanted."""
        return min(EVALUATION_TOKENS, 4 * self.micro_batch_tokens)

    def halved(self, times: int) -> "Cut":
        """Half of both, `times` over, as far as `LEAST_TOKENS`."""
        return Cut(
            max(self.micro_batch_tokens >> times, min(self.micro_batch_tokens, LEAST_TOKENS)),
            max(self.projected_tokens >> times, min(self.projected_tokens, LEAST_TOKENS)),
        )


class TeamEngine:
    """The loop's engine (`lawtune.train.loop.Engine`) for one process or several.

    The examples of a step, however they come cut, are dealt out by tokens, computed in
    micro-batches as large as `cut` allows, and the gradients and losses summed: the result does
    not depend on how many processes there are, but for rounding.

    Args:
        lockstep: every process takes as many passes as the others, for layers that are sharded
            over the processes are put together for each.
    """

    def __init__(self, engine: LossEngine, team: Alone, cut: Cut, lockstep: bool = False):
        self.engine, self.team, self.lockstep = engine, team, lockstep
        self.cut_to(cut)

    def cut_to(self, cut: Cut) -> None:
        """Compute no more at once than `cut`, from now on."""
        self.cut = cut
        self.engine.project_at_most(cut.projected_tokens)

    def accumulate(
        self, micro_batches: Sequence[Sequence[Window]], weight: float = 1.0
    ) -> StepLoss:
        """See `Engine`. The gradient and the loss are those of the whole step, in every process;
        what stood in `.grad` before is added to.

        Raises:
            NonFiniteError: in every process, with the examples of all.
        """
        windows = [window for batch in micro_batches for window in batch]
        lengths = [len(window.ids) for window in windows]
        shares = cut_shares(lengths, self.team.size, self.cut.micro_batch_tokens)
        first = sum(len(share) for share in shares[: self.team.rank])
        mine = shares[self.team.rank]
        batches = [[windows[index] for index in batch] for share in shares for batch in share]
        loss, names = 0.0, []
        parameters = list(trainable(self.engine.model).values())
        earlier = [parameter.grad for parameter in parameters]
        self.engine.model.zero_grad(set_to_none=True)
        try:
            mine_of_all = slice(first, first + len(mine))
            loss = self.engine.accumulate(batches, weight, mine_of_all).loss
        except NonFiniteError as error:
            names = error.names
        if self.lockstep:
            shortest = min(windows, key=lambda window: len(window.ids))
            for _ in range(max(len(share) for share in shares) - len(mine)):
                self.engine.stand_in(shortest)
        told = torch.tensor([loss, len(names)], dtype=torch.float64)
        self.team.add(told)
        if told[1] > 0:
            raise NonFiniteError("loss", [name for part in self.team.each(names) for name in part])
        sum_gradients(self.team, parameters)
        for parameter, before in zip(parameters, earlier, strict=True):
            if before is not None:
                parameter.grad = before if parameter.grad is None else before + parameter.grad
        self.engine.let_go()
        return StepLoss(told[0].item(), sum(window.targets for window in windows))

    def own_answers(self, windows: Sequence[Window], end_id: int) -> list[Window]:
        """See `LossEngine.own_answers`; the first process's, in every process."""
        own = self.engine.own_answers(windows, end_id) if self.team.is_main else []
        said = self.team.each([astuple(window) for window in own])[0]
        return [Window(tuple(ids), start, name, tuple(marks)) for ids, start, name, marks in said]

    def mean_loss(self, windows: Sequence[Window]) -> float:
        """The mean loss per target token over `windows` (nats), all dropout off."""
        batches = self._batches(windows, self.cut.evaluation_tokens)
        parts = [part.item() for part in spread(self.team, batches, self._loss_sum)]
        self.engine.let_go()
        return sum(parts) / sum(window.targets for window in windows)

    def _loss_sum(self, batch: Sequence[Window]) -> torch.Tensor:
        loss = self.engine.mean_loss(batch) * sum(window.targets for window in batch)
        return torch.tensor(loss, dtype=torch.float64)

    @staticmethod
    def _batches(windows: Sequence[Window], tokens: int) -> list[list[Window]]:
        lengths = [len(window.ids) for window in windows]
        cut = cut_by_tokens(range(len(windows)), lengths, tokens)
        return [[windows[index] for index in batch] for batch in cut]
