"""lawtune: from Korean law to a tuned, honestly evaluated legal language model."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["LegalModel", "ModelManager", "UserError", "__version__"]


def __getattr__(name: str) -> Any:
    # Resolved on first use, so that `lawtune --help` does not pay seconds for importing torch.
    if name == "LegalModel":
        from lawtune.model.legal_model import LegalModel

        return LegalModel
    if name == "ModelManager":
        from lawtune.model.manager import ModelManager

        return ModelManager
    if name == "UserError":
        from lawtune.errors import UserError

        return UserError
    raise AttributeError(f"module 'lawtune' has no attribute {name!r}")
