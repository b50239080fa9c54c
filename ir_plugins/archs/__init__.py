"""Networks, registered by hand: this list is the table of contents."""

from .semanir_arch import SemanIR, SemanIRUNet

__all__ = ["SemanIR", "SemanIRUNet"]
