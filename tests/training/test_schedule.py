import pytest

from embudget.training.schedule import cosine


@pytest.mark.parametrize(
    ("share", "factor"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0), (1.2, 0.0)]
)
def test_warm_up_then_cosine_to_zero(share: float, factor: float) -> None:
    assert cosine(share, warmup=0.1) == pytest.approx(factor)


def test_without_warm_up_it_starts_at_the_peak() -> None:
    assert cosine(0.0, warmup=0.0) == 1.0
