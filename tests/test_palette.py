"""Colours, markers and dashes: kinds differ in all three, and shades of one kind in lightness."""

from itertools import pairwise

from embudget.palette import KIND_STROKES, ink, shade, strokes


def lightness(color: str) -> float:
    """Lightness of a colour on a grey copier, 0 to 1 (ITU-R BT.601)."""
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_no_two_kinds_share_a_colour_a_marker_or_a_dash() -> None:
    for field in ("color", "marker", "dash", "symbol", "plotly_dash"):
        assert len({getattr(stroke, field) for stroke in KIND_STROKES.values()}) == len(KIND_STROKES)


def test_no_two_methods_of_a_study_look_alike() -> None:
    methods = [
        "full",
        "bias",
        *(f"freeze:{n}" for n in (0.25, 0.5, 0.75)),
        *(f"lora:{n}" for n in (2, 8, 32, 128, 512)),
    ]
    found = strokes(methods)
    assert len({(stroke.color, stroke.marker) for stroke in found.values()}) == len(methods)
    assert list(found) == ["full", "freeze:0.25", "freeze:0.5", "freeze:0.75", "bias", *methods[5:]]


def test_methods_of_a_kind_get_darker_with_their_number_so_that_a_grey_copy_tells_them_apart() -> None:
    found = strokes(["lora:128", "lora:8", "lora:32", "lora:16"])
    shades = [lightness(found[f"lora:{rank}"].color) for rank in (8, 16, 32, 128)]
    assert all(before - after > 0.05 for before, after in pairwise(shades))


def test_a_single_method_has_the_plain_colour_of_its_kind() -> None:
    assert strokes(["lora:8", "full"])["lora:8"].color == KIND_STROKES["lora"].color


def test_options_of_a_method_make_it_another() -> None:
    found = strokes(["lora:8", "lora:8:alpha=32"])
    assert found["lora:8"].color != found["lora:8:alpha=32"].color


def test_shades_keep_within_the_range_and_text_is_darker_than_its_line() -> None:
    assert shade("#000000", 1.0) == "#000000"
    assert shade("#ffffff", 0.0) == "#ffffff"
    assert all(lightness(ink(stroke.color)) < 0.5 for stroke in KIND_STROKES.values())
