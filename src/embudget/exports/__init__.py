"""Writing models: the sentence-transformers folder that training leaves, and what other runtimes load."""

from embudget.exports.run import Exported, export

__all__ = ["Exported", "export"]
