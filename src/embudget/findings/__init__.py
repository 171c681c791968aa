"""The findings of the paper, each looked for in the laws, cells or runs of a study.

finding    a verdict, and how the draws decide it        measured   what was measured of each kind of method
switch     1: the frontier over the methods              best_size  2: the best size against the budget
freezing   3 and 4: frozen blocks, the active fraction   bias_only  5: bias-only tuning
ranks      6: the rank of LoRA                           straight   7: the best loss against the budget
explain    the seven of them that laws can answer
agreement  8: held-out loss and downstream scores, which takes runs that were scored; by rank_agreement
"""

from embudget.findings.agreement import Agreement, agree
from embudget.findings.explain import explain
from embudget.findings.finding import Claim, Finding, Verdict

__all__ = ["Agreement", "Claim", "Finding", "Verdict", "agree", "explain"]
