"""Which arms fit into the memory of the device, by the estimate of `embudget.memory`?"""

from collections.abc import Sequence

from embudget.errors import InfeasibleError
from embudget.memory import USABLE_SHARE, parse_bytes, training_bytes, ways_to_fit, written
from embudget.methods import parse_method
from embudget.spending.allocation import Arm
from embudget.study import Study
from embudget.suite import find_shape


def arm_bytes(arm: Arm, study: Study, batch_size: int, *, bf16: bool) -> float:
    """Bytes of the device that training an arm takes, estimated."""
    return training_bytes(
        parse_method(arm.method), find_shape(arm.model), batch_size, max(study.max_length),
        negatives=max(study.negatives), bf16=bf16,
    )  # fmt: skip


def arms_that_fit(
    arms: Sequence[Arm], study: Study, batch_size: int, device_memory: str | float, *, bf16: bool
) -> tuple[Arm, ...]:
    """The arms whose training is estimated to fit into 90 % of the device's memory.

    Args:
        arms: members with methods.
        study: how texts are read.
        batch_size: pairs a step.
        device_memory: as 24GB, 80GiB or a number of bytes.
        bf16: whether runs train in bf16.

    Raises:
        InfeasibleError: none fits; the least memory that would do is named.
        ConfigError: the memory cannot be read.
    """
    there = parse_bytes(device_memory)
    needed = {arm: arm_bytes(arm, study, batch_size, bf16=bf16) for arm in arms}
    found = tuple(arm for arm in arms if needed[arm] <= USABLE_SHARE * there)
    if not found:
        least = min(arms, key=lambda arm: needed[arm])
        raise InfeasibleError(
            f"no member fits into the memory of the device, {written(there)}: the least that would do is "
            f"{written(needed[least] / USABLE_SHARE * 1.005)}, for {least.model} {least.method}: "
            + ways_to_fit(
                parse_method(least.method),
                find_shape(least.model),
                batch_size,
                max(study.max_length),
                USABLE_SHARE * there,
                negatives=max(study.negatives),
                bf16=bf16,
            )
        )
    return found
