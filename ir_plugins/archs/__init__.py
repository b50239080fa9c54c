"""Networks, registered by hand: this list is the table of contents; and what networks declare.

May import blocks, ops, options and runtime.
"""

from .ast_arch import AST
from .restormer_arch import Restormer
from .semanir_arch import SemanIR, SemanIRUNet

__all__ = ["AST", "Restormer", "SemanIR", "SemanIRUNet"]
