"""Which equations of the loss over model size and data there are: seven forms of one law.

    L(N, D) = E + g(N, D)

    tied             g = A / N^a + B / D^a              one exponent for both, where runs are too few for two
    chinchilla       g = A / N^a + B / D^b              size and data fall short independently of each other
    multiplicative   g = A / (N^a D^b)                  more data help a large model as much as a small one, in ratio
    rectified        g = A / N^a + B / (D0^b + D^b)     pre-training counts as D0 tokens of fine-tuning
    dense_retrieval  g = ((A / N)^(a/b) + B / D)^b      the larger of the two shortages decides

and two that begin at the zero-shot loss L0 of each member, which then must be known (`embudget.laws.zero_shot`):

    zero_shot        L = F + (L0 - F) / (1 + (D/D0)^b)      F = E + A / N^a
    zero_shot_level  L = F + B / (B / (L0 - F) + D^b)

E is the asymptote. g has *coefficients* (A and B, which weigh size and data; every method has its own) and *exponents*
(a, b, D0, shared by the methods that are fitted together). All of them are positive. For fitting, N and D are centred,
that is divided by their geometric means over the measurements, so that a coefficient is a loss in nats at the centre;
`to_raw` undoes this, for the parameters that people read.

Shapes: R parameter vectors (starts or bootstrap draws) and n points. E and exponents are (R, 1), coefficients (R, n),
log N and log D (n,), the log zero-shot loss (n,) or (R, n), and what comes out is (R, n).

To add a form, write its class and enter it in `FormName` and `FORMS`; a parameter of a new name also needs a field in
`embudget.laws.coefficients` and a prior in `embudget.laws.solve`.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from embudget.laws.form import Additive, Array, Derivatives, Form, FormName, Values
from embudget.laws.zero_shot import ZeroShot, ZeroShotLevel

__all__ = ["FORMS", "Array", "Derivatives", "Form", "FormName", "Values"]


@final
class Tied(Additive):
    """L = E + A / N^a + B / D^a, the law of Hoffmann et al. with one exponent, so that five runs determine it.

    It is fitted by default only where there are too few cells for the law of Hoffmann et al. Published exponents
    of size and data are close to each other: 0.35 and 0.37 in the refit of Besiroglu et al. 2024 (arXiv 2404.10102).
    """

    name: ClassVar[FormName] = "tied"
    equation: ClassVar[str] = "L = E + A/N^a + B/D^a"
    exponents: ClassVar[tuple[str, ...]] = ("a",)
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """A / N^a + B / D^a."""
        (a,), (A, B) = exponents, coefficients
        return A * np.exp(-a * log_n) + B * np.exp(-a * log_d)

    def derivatives(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Derivatives:
        """See `Additive.derivatives`."""
        (a,), (A, B) = exponents, coefficients
        by_A, by_B = np.exp(-a * log_n), np.exp(-a * log_d)
        size, data = A * by_A, B * by_B
        return size + data, (-a * (log_n * size + log_d * data),), (by_A, by_B)

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, B and b, which is a."""
        (a,), (A, B) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n), "a": a, "B": B * np.exp(a * centre_d), "b": a}


@final
class Chinchilla(Additive):
    """L = E + A / N^a + B / D^b, the sum of a power of size and a power of data.

    Source: Hoffmann et al. 2022 (arXiv 2203.15556), approach 3.
    """

    name: ClassVar[FormName] = "chinchilla"
    equation: ClassVar[str] = "L = E + A/N^a + B/D^b"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """A / N^a + B / D^b."""
        (a, b), (A, B) = exponents, coefficients
        return A * np.exp(-a * log_n) + B * np.exp(-b * log_d)

    def derivatives(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Derivatives:
        """See `Additive.derivatives`."""
        (a, b), (A, B) = exponents, coefficients
        by_A, by_B = np.exp(-a * log_n), np.exp(-b * log_d)
        size, data = A * by_A, B * by_B
        return size + data, (-a * log_n * size, -b * log_d * data), (by_A, by_B)

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, B and b."""
        (a, b), (A, B) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n), "a": a, "B": B * np.exp(b * centre_d), "b": b}


@final
class Multiplicative(Additive):
    """L = E + A / (N^a D^b), the product of a power of size and a power of data.

    Source: Zhang et al. 2024 (arXiv 2402.17193), for fine-tuning.
    """

    name: ClassVar[FormName] = "multiplicative"
    equation: ClassVar[str] = "L = E + A/(N^a D^b)"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")
    coefficients: ClassVar[tuple[str, ...]] = ("A",)

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """A / (N^a D^b)."""
        (a, b), (A,) = exponents, coefficients
        return A * np.exp(-a * log_n - b * log_d)

    def derivatives(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Derivatives:
        """See `Additive.derivatives`."""
        (a, b), (A,) = exponents, coefficients
        by_A = np.exp(-a * log_n - b * log_d)
        g = A * by_A
        return g, (-a * log_n * g, -b * log_d * g), (by_A,)

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a and b."""
        (a, b), (A,) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n + b * centre_d), "a": a, "b": b}


@final
class Rectified(Additive):
    """L = E + A / N^a + B / (D0^b + D^b), where the first tokens help little because pre-training counts as D0 of them.

    Source: Lin et al. 2024 (arXiv 2402.02314), L(D) = B / (D_l + D^b) + E for one model. Here it has the size's own
    term, as in the law of Hoffmann et al., and the pre-learned data size is a number of tokens, D_l = D0^b. D may be 0.
    """

    name: ClassVar[FormName] = "rectified"
    begins: ClassVar[bool] = True
    equation: ClassVar[str] = "L = E + A/N^a + B/(D0^b + D^b)"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b", "D0")
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """A / N^a + B / (D0^b + D^b)."""
        (a, b, start), (A, B) = exponents, coefficients
        return A * np.exp(-a * log_n) + B / (start**b + np.exp(b * log_d))

    def derivatives(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Derivatives:
        """See `Additive.derivatives`."""
        (a, b, start), (A, B) = exponents, coefficients
        log_start = np.log(start)
        learned, seen = np.exp(b * log_start), np.exp(b * log_d)
        by_A, by_B = np.exp(-a * log_n), 1 / (learned + seen)
        size, data = A * by_A, B * by_B
        with_zero = np.where(seen > 0, log_d, 0.0)  # D^b log D is 0 at D = 0
        by_log_b = -b * data * by_B * (learned * log_start + seen * with_zero)
        by_log_start = -b * data * by_B * learned
        return size + data, (-a * log_n * size, by_log_b, by_log_start), (by_A, by_B)

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, B, b and D0 (tokens)."""
        (a, b, start), (A, B) = exponents, coefficients
        tokens = start * np.exp(centre_d)
        return {"A": A * np.exp(a * centre_n), "a": a, "B": B * np.exp(b * centre_d), "b": b, "D0": tokens}


@final
class DenseRetrieval(Additive):
    """L = E + ((A / N)^(a/b) + B / D)^b, where the larger of the shortages of size and of data decides.

    With P = (A / N)^a and Q = (B / D)^b, the two terms of the law of Hoffmann et al., g = (P^(1/b) + Q^(1/b))^b is
    their norm of order 1/b. P^(1/b) overflows for small b, hence the logarithms.

    Source: the form of Kaplan et al. 2020 (arXiv 2001.08361, equation 1.5) with an asymptote, as Fang et al. 2024
    (arXiv 2403.18684) fit it to dense retrieval.
    """

    name: ClassVar[FormName] = "dense_retrieval"
    equation: ClassVar[str] = "L = E + ((A/N)^(a/b) + B/D)^b"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")
    linear: ClassVar[bool] = False

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """((A / N)^(a/b) + B / D)^b."""
        (a, b), (A, B) = exponents, coefficients
        return np.exp(b * np.logaddexp((np.log(A) - a * log_n) / b, (np.log(B) - b * log_d) / b))

    def derivatives(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Derivatives:
        """See `Additive.derivatives`."""
        (a, b), (A, B) = exponents, coefficients
        log_p, log_q = np.log(A) - a * log_n, np.log(B) - b * log_d
        log_g = b * np.logaddexp(log_p / b, log_q / b)
        g, of_p, of_q = np.exp(log_g), np.exp((log_p - log_g) / b), np.exp((log_q - log_g) / b)  # of_p + of_q = 1
        by_order = log_g - of_p * log_p - of_q * log_q
        return g, (-g * of_p * a * log_n, g * (by_order - of_q * b * log_d)), (g * of_p / A, g * of_q / B)

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """See `Form.from_raw`."""
        return (values["a"], values["b"]), (values["A"] ** values["a"], values["B"] ** values["b"])

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A (parameters), a, B (tokens) and b."""
        (a, b), (A, B) = exponents, coefficients
        return {"A": A ** (1 / a) * np.exp(centre_n), "a": a, "B": B ** (1 / b) * np.exp(centre_d), "b": b}


FORMS: Mapping[FormName, Form] = {
    form.name: form
    for form in (Tied(), Chinchilla(), Multiplicative(), Rectified(), DenseRetrieval(), ZeroShot(), ZeroShotLevel())
}
