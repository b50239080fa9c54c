"""What a run calls on a model, and an adapter for BasicSR's own models."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch.optim import Optimizer

from ..options.signatures import takes
from .results import SetResult
from .validation import ValidatingModel


class TrainableModel(Protocol):
    """The methods that `basicsr train` and `basicsr test` call on a model."""

    optimizers: list[Optimizer]
    known_inputs: dict[str, Any] | None

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
    """A model of BasicSR's kind as a TrainableModel, with four limits.

    Its training states hold nothing of the run, it does not report whether it could save, it always finishes
    a validation, and it finds means only.

    Args:
        model: As BasicSR's `build_model` builds it.
    """

    known_inputs: dict[str, Any] | None = None

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
        # without metrics the attribute is missing
        found = dict(getattr(self.model, "metric_results", {}))
        return SetResult(dataloader.dataset.opt["name"], found, pictures=None, samples=[])


class OverridingModel(BasicSRModel):
    """One of our models whose subclass overrides `save` or `validation` with BasicSR's arguments.

    The subclass hands what it is called with to ours, which then gets the rest by attributes.

    Args:
        model: Built from the subclass.
    """

    @property
    def known_inputs(self) -> dict[str, Any] | None:
        """What the model knows of the inputs that it has measured."""
        return self.model.known_inputs

    @known_inputs.setter
    def known_inputs(self, known: dict[str, Any] | None) -> None:
        self.model.known_inputs = known

    def save(self, epoch: int, current_iter: int, run_state: dict[str, Any] | None = None) -> str | None:
        """Save with `run_state`, whether or not the subclass takes it."""
        self.model.run_state = run_state
        return self.model.save(epoch, current_iter)

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
        """Validate; the whole result, even if the subclass returns nothing."""
        self.model.validation_settings = interrupted, chooses_best
        self.model.last_result = None
        found = self.model.validation(dataloader, current_iter, tb_logger, save_img)
        if isinstance(found := found or self.model.last_result, SetResult):
            return found
        means = dict(getattr(self.model, "metric_results", {}))
        return SetResult(dataloader.dataset.opt["name"], means, pictures=None, samples=[])


def trainable(model: Any) -> TrainableModel:
    """A model as TrainableModel.

    Args:
        model: As BasicSR's `build_model` builds it: one of ours, of a plugin's, or of BasicSR's kind.
    """
    found: Any = model
    if not isinstance(model, ValidatingModel):
        found = BasicSRModel(model)
    elif not (takes(model.save, "run_state") and takes(model.validation, "interrupted")):
        found = OverridingModel(model)
    return found
