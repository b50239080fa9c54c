"""What a run asks of a model, and how BasicSR's own models answer."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch.optim import Optimizer

from .results import SetResult
from .validation import ValidatingModel


class TrainableModel(Protocol):
    """What `basicsr train` and `basicsr test` ask of a model."""

    optimizers: list[Optimizer]

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None: ...
    def feed_data(self, data: dict[str, Any]) -> None: ...
    def optimize_parameters(self, current_iter: int) -> None: ...
    def get_current_learning_rate(self) -> list[float]: ...
    def get_current_log(self) -> Mapping[str, float]: ...
    def resume_training(self, resume_state: dict[str, Any]) -> None: ...

    def save(self, epoch: int, current_iter: int, run_state: dict[str, Any] | None = None) -> str | None:
        """See `SavingModel.save`."""
        ...

    def validation(
        self,
        dataloader: Any,
        current_iter: int | str,
        tb_logger: Any,
        save_img: bool = False,
        *,
        interrupted: Callable[[], bool] | None = None,
        chooses_best: bool = True,
    ) -> SetResult:
        """See `ValidatingModel.validation`."""
        ...


class BasicSRModel:
    """A model of BasicSR's kind behind TrainableModel; what it cannot do is left out.

    It keeps nothing of the run in its training states, does not say whether it could save, finishes a
    validation once it has begun, and finds means only.

    Args:
        model: Built by BasicSR's `build_model`.
    """

    def __init__(self, model: Any):
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def save(self, epoch: int, current_iter: int, run_state: dict[str, Any] | None = None) -> None:
        """Save as BasicSR does, without `run_state`."""
        self.model.save(epoch, current_iter)

    def validation(
        self,
        dataloader: Any,
        current_iter: int | str,
        tb_logger: Any,
        save_img: bool = False,
        *,
        interrupted: Callable[[], bool] | None = None,
        chooses_best: bool = True,
    ) -> SetResult:
        """Validate as BasicSR does, without `interrupted` and `chooses_best`."""
        self.model.validation(dataloader, current_iter, tb_logger, save_img)
        # the attribute is missing where no metrics are asked for
        found = dict(getattr(self.model, "metric_results", {}))
        return SetResult(dataloader.dataset.opt["name"], found, pictures=None, samples=[])


def trainable(model: Any) -> TrainableModel:
    """A model as TrainableModel.

    Args:
        model: Built by BasicSR's `build_model`: one of ours, or of BasicSR's kind.
    """
    found: Any = model if isinstance(model, ValidatingModel) else BasicSRModel(model)
    return found
