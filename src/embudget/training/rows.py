"""AdamW for the input embedding that touches only the rows of the texts at hand, with the result of the dense one.

A step of 16 pairs sees some 400 of the table's 49,152 rows, yet dense AdamW goes over all of them: rows that do not
occur have no gradient but still move by their momentum, and decay. Both are known in advance, so that a row can catch
up when it is needed again. With m and v its moments after its last gradient in step t, it moves in the k steps after it
by

    w <- P(t, t+k) w - sum_{j=1..k} P(t+j, t+k) lr_{t+j} mhat_j / (sqrt(vhat_j) + eps)

    mhat_j = b1^j m / (1 - b1^(t+j))      vhat_j = b2^j v / (1 - b2^(t+j))      P(a, b) = prod_{a<i<=b} (1 - lr_i decay)

The sum is a scalar times m / sqrt(v), but for eps; it is cut where b1^j vanishes in float32, and eps is averaged over
its terms with their weights (exact where sqrt(vhat) is well above 1e-8). Rows that never occurred have m = 0 and only
decay; they do so when `catch_up_all` is called, which every reader of the table must do first. Weight decay is
therefore that of dense AdamW as well. Source: Kingma and Ba 2015; Loshchilov and Hutter 2019.

What it gains: on SmolLM2-135M cut to one block, whole steps of full fine-tuning take 2.0 times less at 16 pairs and 1.6
times less at 64 than with a dense gradient and update (`benchmarks/row_update.py --whole-step`,
`results/speed/row_step.json`, medians of 7 on one thread of a busy machine). The update by itself takes 9.4, 3.8 and
1.6 times less at 16, 128 and 1,024 pairs (`results/speed/row_update.json`).

Shapes: V rows of the table, R rows at hand, U distinct ages, J steps looked back.
"""

import math
from array import array
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

BETAS, EPS = (0.9, 0.999), 1e-8
"""AdamW's decay of the two moments, and what it adds to the root of the second; torch's defaults."""

BLOCK_ROWS = 256
"""Rows that go through an update together on a CPU, so that what it holds beside the table stays in the cache: on two
cores 9,000 rows of 576 numbers take 20 ms in blocks of 256 and 41 ms all at once, and far longer beside other work."""

MEMORY = 160
"""Steps after which a gradient has left the momentum: 0.9^160 = 5e-8, below float32's resolution."""


class RowAdamW:
    """AdamW over the rows of one table.

    Args:
        table_VH: the parameter.
        weight_decay: decoupled, as in `torch.optim.AdamW`.
    """

    def __init__(self, table_VH: nn.Parameter, weight_decay: float) -> None:
        self.table_VH = table_VH
        self.weight_decay = weight_decay
        self.first_VH = torch.zeros_like(table_VH, requires_grad=False)
        self.second_VH = torch.zeros_like(table_VH, requires_grad=False)
        self._tables = self.first_VH, self.second_VH, self.table_VH
        self.seen_V = torch.zeros(len(table_VH), dtype=torch.int64)
        """Step up to which each row is up to date, on the CPU."""
        self.moved_V = torch.zeros(len(table_VH), dtype=torch.int64)
        """Step of each row's last gradient, 0 if it never had one; on the CPU."""
        self.rates = array("d", [0.0])
        """Learning rate of each step, the first step at index 1."""
        self._log_decay = array("d", [0.0])

    @torch.no_grad()
    def catch_up(self, rows_R: Tensor) -> None:
        """Bring rows to where dense AdamW has them now.

        Args:
            rows_R: distinct row numbers, on the CPU.
        """
        now = len(self.rates) - 1
        late_R = rows_R[self.seen_V[rows_R] < now]
        if not len(late_R):
            return
        found = self._coefficients(self.seen_V[late_R].numpy(), self.moved_V[late_R].numpy(), now)
        self.seen_V[late_R] = now
        device, dtype = self.table_VH.device, self.table_VH.dtype
        columns = [torch.from_numpy(values).to(device, dtype)[:, None] for values in found]
        for at, decay_R1, pull_R1, eps_R1 in _in_blocks(late_R.to(device), *columns):
            first_RH, second_RH, values_RH = (table.index_select(0, at) for table in self._tables)
            second_RH.sqrt_().add_(eps_R1)
            values_RH.mul_(decay_R1).addcdiv_(first_RH.mul_(pull_R1), second_RH, value=-1)
            self.table_VH.index_copy_(0, at, values_RH)

    def catch_up_all(self) -> None:
        """Bring the whole table to where dense AdamW has it now, for whoever reads it."""
        self.catch_up(torch.arange(len(self.table_VH)))

    @torch.no_grad()
    def step(self, rows_R: Tensor, gradient_RH: Tensor, rate: float) -> None:
        """One step; rows that are not named have no gradient in it.

        Args:
            rows_R: distinct row numbers, on the CPU, that have caught up.
            gradient_RH: their gradient.
            rate: the step's learning rate.
        """
        b1, b2 = BETAS
        self.rates.append(rate)
        self._log_decay.append(self._log_decay[-1] + self._log_kept(rate))
        now = len(self.rates) - 1
        device, dtype = self.table_VH.device, self.table_VH.dtype
        idle_R = torch.as_tensor(now - 1 - self.moved_V[rows_R], dtype=torch.float64)  # steps without a gradient

        aged = [(beta ** (idle_R + 1)).to(device, dtype)[:, None] for beta in BETAS]
        for at, gradients_RH, aged1_R1, aged2_R1 in _in_blocks(rows_R.to(device), gradient_RH, *aged):
            first_RH, second_RH, values_RH = (table.index_select(0, at) for table in self._tables)
            first_RH.mul_(aged1_R1).add_(gradients_RH, alpha=1 - b1)
            second_RH.mul_(aged2_R1).addcmul_(gradients_RH, gradients_RH, value=1 - b2)
            self.first_VH.index_copy_(0, at, first_RH)
            self.second_VH.index_copy_(0, at, second_RH)
            second_RH.div_(1 - b2**now).sqrt_().add_(EPS)
            values_RH.mul_(1 - rate * self.weight_decay).addcdiv_(first_RH, second_RH, value=-rate / (1 - b1**now))
            self.table_VH.index_copy_(0, at, values_RH)
        self.seen_V[rows_R] = now
        self.moved_V[rows_R] = now

    def _coefficients(self, seen_R: np.ndarray, moved_R: np.ndarray, now: int) -> tuple[np.ndarray, ...]:
        """For each row the decay since ``seen``, the factor on m / (sqrt(v) + eps'), and eps'."""
        b1, b2 = BETAS
        (seen_U, moved_U), place_R = np.unique(np.stack([seen_R, moved_R]), axis=1, return_inverse=True)
        rates, log_decay = np.frombuffer(self.rates), np.frombuffer(self._log_decay)  # views, however many steps
        decay_U = np.exp(log_decay[now] - log_decay[seen_U])

        steps_UJ = moved_U[:, None] + np.arange(1, MEMORY + 1)
        missed_UJ = (steps_UJ > seen_U[:, None]) & (steps_UJ <= now) & (moved_U[:, None] > 0)
        steps_UJ = np.minimum(steps_UJ, now)
        unbias_UJ = np.sqrt(1 - b2**steps_UJ)
        # a term of the sum is this times m / sqrt(v); eps counts more the longer ago v was fed
        weight_UJ = rates[steps_UJ] * np.exp(log_decay[now] - log_decay[steps_UJ]) * missed_UJ
        idle_J = np.arange(1, MEMORY + 1)
        weight_UJ *= (b1 / np.sqrt(b2)) ** idle_J * unbias_UJ / (1 - b1**steps_UJ)
        pull_U = weight_UJ.sum(axis=1)
        grown_U = (weight_UJ * unbias_UJ * b2 ** (-idle_J / 2)).sum(axis=1)
        eps_U = EPS * np.divide(grown_U, pull_U, out=np.ones_like(pull_U), where=pull_U > 0)
        return decay_U[place_R], pull_U[place_R], eps_U[place_R]

    def state(self) -> dict[str, Tensor]:
        """The table with all that belongs to it, not copied."""
        return {
            "table": self.table_VH.detach(),
            "first": self.first_VH, "second": self.second_VH, "seen": self.seen_V, "moved": self.moved_V,
            "rates": torch.from_numpy(np.array(self.rates)),
        }  # fmt: skip

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        with torch.no_grad():
            self.table_VH.copy_(state["table"])
        self.first_VH.copy_(state["first"])
        self.second_VH.copy_(state["second"])
        self.seen_V, self.moved_V = state["seen"].clone(), state["moved"].clone()
        self.rates, self._log_decay = array("d", state["rates"].tolist()), array("d", [0.0])
        for rate in self.rates[1:]:
            self._log_decay.append(self._log_decay[-1] + self._log_kept(rate))

    def _log_kept(self, rate: float) -> float:
        """Log of the share of its value that a row keeps in a step; a rate above 1 / weight decay counts as that."""
        return math.log(max(1.0 - rate * self.weight_decay, 1e-30))


def _in_blocks(rows_R: Tensor, *by_row: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut rows, and what belongs to them, into the blocks that go through an update together: one, except on a CPU."""
    size = BLOCK_ROWS if rows_R.device.type == "cpu" else max(1, len(rows_R))
    for start in range(0, len(rows_R), size):
        yield tuple(values[start : start + size] for values in (rows_R, *by_row))
