"""Symmetric InfoNCE over in-batch candidates, without computing padding.

For B pairs with unit embeddings q and p, and the scale s = 1 / temperature,

    S = s q p^T                                          (B, B)
    loss = (CE(S, diagonal) + CE(S^T, diagonal)) / 2     nats; ln B by chance

Sources: van den Oord et al. 2018; both directions and s = 40 as in "Repurposing Language Models into Embedding Models"
(NeurIPS 2024). The result equals sentence-transformers' `MultipleNegativesRankingLoss` with both directions and
`partition_mode="per_direction"`. What differs is the way there: queries and positives are sorted by length together
and embedded in chunks, each padded to its own longest text only. In bfloat16 scores would tie, so they are float32.

Shapes: B pairs, T = 2B texts, L tokens, E embedding size.
"""

from collections.abc import Iterable

import torch
from sentence_transformers.base.losses.gradcache import RandContext
from torch import Tensor, nn
from torch.nn import functional

from embudget.memory import CHUNK_TOKENS
from embudget.training.chunks import length_sorted_chunks
from embudget.training.meter import BudgetMeter


def info_nce(queries_BE: Tensor, positives_BE: Tensor, scale: float) -> Tensor:
    """Symmetric InfoNCE of unit embeddings, in nats, computed in float32."""
    scores_BB = scale * queries_BE.float() @ positives_BE.float().T
    diagonal = torch.arange(len(scores_BB), device=scores_BB.device)
    return (functional.cross_entropy(scores_BB, diagonal) + functional.cross_entropy(scores_BB.T, diagonal)) / 2


class ContrastiveLoss(nn.Module):
    """Symmetric InfoNCE for `SentenceTransformerTrainer`.

    Args:
        model: the sentence-transformers model; its embeddings are normalised here, whatever its modules do.
        scale: 1 / temperature.
        chunk_tokens: padded tokens embedded at a time.
        cached: whether to cache gradients (Gao et al. 2021): embed once without a graph, take the loss's gradient with
            respect to the embeddings, then embed again chunk by chunk with a graph. Memory is then that of one chunk,
            the price a second forward pass; the gradient is the same.
        meter: counts the padded tokens, where one is given.
    """

    def __init__(
        self,
        model: nn.Module,
        scale: float,
        chunk_tokens: int = CHUNK_TOKENS,
        cached: bool = False,
        meter: BudgetMeter | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.scale = scale
        self.chunk_tokens = chunk_tokens
        self.cached = cached
        self.meter = meter

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch, a scalar.

        Args:
            sentence_features: tokenised queries and positives, each with `input_ids` and `attention_mask` (B, L),
                padded on the right.
            labels: not used; the positive of a query is the one in the same row.
        """
        ids_TL, mask_TL = _stack(
            [(features["input_ids"], features["attention_mask"]) for features in sentence_features]
        )
        lengths = mask_TL.sum(dim=1).tolist()
        chunks = length_sorted_chunks(lengths, self.chunk_tokens)
        inputs = []
        for chunk in chunks:
            longest = max(1, lengths[chunk[0]])
            inputs.append({"input_ids": ids_TL[chunk, :longest], "attention_mask": mask_TL[chunk, :longest]})
            if self.meter is not None:
                self.meter.add_chunk(len(chunk), longest)
        order = torch.tensor([text for chunk in chunks for text in chunk], device=ids_TL.device).argsort()
        return self._cached(inputs, order) if self.cached else self._direct(inputs, order)

    def _embed(self, features: dict[str, Tensor]) -> Tensor:
        embeddings_TE: Tensor = self.model(dict(features))["sentence_embedding"]
        return functional.normalize(embeddings_TE.float(), dim=-1)

    def _loss(self, sorted_TE: Tensor, order: Tensor) -> Tensor:
        queries_BE, positives_BE = sorted_TE[order].chunk(2)
        return info_nce(queries_BE, positives_BE, self.scale)

    def _direct(self, inputs: list[dict[str, Tensor]], order: Tensor) -> Tensor:
        return self._loss(torch.cat([self._embed(features) for features in inputs]), order)

    def _cached(self, inputs: list[dict[str, Tensor]], order: Tensor) -> Tensor:
        embeddings, random_states = [], []
        with torch.no_grad():
            for features in inputs:
                random_states.append(RandContext(*features.values()))
                embeddings.append(self._embed(features))
        all_TE = torch.cat(embeddings).requires_grad_()
        loss = self._loss(all_TE, order)
        if not torch.is_grad_enabled():
            return loss
        (gradient_TE,) = torch.autograd.grad(loss, all_TE)
        gradients = gradient_TE.split([len(chunk) for chunk in embeddings])

        def replay(outer: Tensor) -> None:
            with torch.enable_grad():
                for features, random_state, gradient in zip(inputs, random_states, gradients, strict=True):
                    with random_state:
                        again = self._embed(features)
                    again.backward(gradient * outer)

        loss = loss.detach().requires_grad_()
        loss.register_hook(replay)
        return loss


def _stack(columns: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Join the columns' token ids and masks into one batch of texts, padded to the widest column."""
    width = max(ids.shape[1] for ids, _ in columns)
    ids_TL = torch.cat([functional.pad(ids, (0, width - ids.shape[1])) for ids, _ in columns])
    mask_TL = torch.cat([functional.pad(mask, (0, width - mask.shape[1])) for _, mask in columns])
    return ids_TL, mask_TL
