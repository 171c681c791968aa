"""YAML with numbers as people write them."""

import yaml


class PlainDumper(yaml.SafeDumper):
    """Writes 2.5e+13 as people do, not as 25000000000000.0."""


def _float(dumper: PlainDumper, value: float) -> yaml.ScalarNode:
    mantissa, exponent, power = f"{value:.6g}".partition("e")
    point = "" if "." in mantissa else ".0"  # without a point YAML 1.1 reads a text
    return dumper.represent_scalar("tag:yaml.org,2002:float", f"{mantissa}{point}{exponent}{power}")


PlainDumper.add_representer(float, _float)
