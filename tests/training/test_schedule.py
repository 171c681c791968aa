import pytest

from embudget.training.schedule import cosine, wsd


@pytest.mark.parametrize(
    ("share", "factor"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0), (1.2, 0.0)]
)
def test_warm_up_then_cosine_to_zero(share: float, factor: float) -> None:
    assert cosine(share, warmup=0.1) == pytest.approx(factor)


def test_without_warm_up_it_starts_at_the_peak() -> None:
    assert cosine(0.0, warmup=0.0) == 1.0


@pytest.mark.parametrize(
    ("share", "factor"),
    [
        (0.0, 0.0),
        (0.05, 0.5),
        (0.1, 1.0),
        (0.5, 1.0),
        (0.8, 1.0),
        (0.85, 0.5),
        (0.95, 1 - 0.75**0.5),
        (1.0, 0.0),
        (1.2, 0.0),
    ],
)
def test_warm_up_then_constant_then_root_to_zero(share: float, factor: float) -> None:
    assert wsd(share, warmup=0.1, decay=0.2) == pytest.approx(factor)


def test_before_its_decay_a_rate_does_not_depend_on_the_budget() -> None:
    for flops in (0.02, 0.05, 0.3, 0.75):  # shares of the smaller budget, which decays from 0.8 on
        small = wsd(flops, warmup=0.1, decay=0.2)
        assert small == pytest.approx(wsd(flops / 4, warmup=0.1 / 4, decay=0.2))
    assert wsd(0.9, warmup=0.1, decay=0.2) < wsd(0.9 / 4, warmup=0.1 / 4, decay=0.2)
