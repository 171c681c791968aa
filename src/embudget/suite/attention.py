"""Does a token see those after it? The attention of a model as its configuration has it, and turning it around.

Decoders are pre-trained with causal attention, but embed well with attention in both directions too. transformers reads
the kind from the configuration (`is_causal`, in Gemma 3 `use_bidirectional_attention`), so that it survives saving and
loading by whatever program. A few models ignore the field, some of them only where no text of a batch is padded. What
counts is what a model does: it is run on two texts that differ in their last token, with and without padding.
"""

from collections.abc import Mapping
from typing import Any, Literal

from embudget.errors import ModelError
from embudget.suite.architecture import Architecture

Attention = Literal["causal", "bidirectional"]
"""Whether a token sees only those before it, or all of its text."""

_DIFFERENT = 1e-5
"""Relative difference of states above which a later token was seen; float32 rounds to 1e-7."""


def own_attention(config: Mapping[str, Any], description: Architecture) -> Attention:
    """The attention that a configuration asks for.

    Example:
        >>> from embudget.suite.architectures import ARCHITECTURES
        >>> own_attention({"is_causal": False}, ARCHITECTURES["llama"])
        'bidirectional'
    """
    switch = description.attention_switch
    turned = bool(switch) and all(config.get(field) is value for field, value in switch.items())
    return "causal" if description.causal != turned else "bidirectional"


def set_attention(model: Any, description: Architecture, attention: Attention | None, name: str) -> None:  # noqa: ANN401
    """Give a model the attention that a run asks for, in a way that is saved with it.

    Args:
        model: what AutoModel has loaded.
        description: what it is made of.
        attention: causal or bidirectional; None leaves the model as it is.
        name: of the member, for the message.

    Raises:
        ModelError: transformers has no such attention for this architecture, or ignores the field that asks for it.
    """
    if attention is None or attention == own_attention(vars(model.config), description):
        return
    own = "causal" if description.causal else "bidirectional"
    for field, value in description.attention_switch.items():
        setattr(model.config, field, value if attention != own else not value)
    if "is_causal" not in description.attention_switch:  # modules took it from the configuration when they were made
        for module in model.modules():
            if isinstance(getattr(module, "is_causal", None), bool):
                module.is_causal = attention == "causal"
    if not description.attention_switch or not _obeys(model, attention):
        raise ModelError(
            f"{name}: attention cannot be {attention}, because transformers ignores it for {description.model_type}: "
            f"leave it {own}"
        )


def _obeys(model: Any, attention: Attention) -> bool:  # noqa: ANN401 - transformers is untyped
    """Whether an earlier state depends on a later token if and only if attention is bidirectional."""
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    ids_TL = torch.tensor([[3, 4, 5, 6], [3, 4, 5, 7]], device=model.device) % rows
    padded_TL = torch.nn.functional.pad(ids_TL, (0, 2))
    mask_TL = torch.nn.functional.pad(torch.ones_like(ids_TL), (0, 2))
    training = model.training
    model.eval()
    with torch.no_grad():
        states = [
            model(input_ids=ids_TL).last_hidden_state,
            model(input_ids=padded_TL, attention_mask=mask_TL).last_hidden_state,
        ]
    model.train(training)
    sees = [bool((one[0, :3] - one[1, :3]).abs().max() > _DIFFERENT * one.abs().max()) for one in states]
    return sees == [attention == "bidirectional"] * 2
