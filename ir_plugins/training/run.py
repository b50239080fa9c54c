"""A training run: its iterations, and the logs, checkpoints and validations in between."""

import contextlib
import datetime
import signal
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

from basicsr.data.prefetch_dataloader import CUDAPrefetcher
from basicsr.utils import AvgTimer, MessageLogger, get_root_logger

from ..data.checks import cut_off
from ..data.patch_plan import PatchStage
from ..models.interface import TrainableModel
from ..options.reading import Options
from ..reports.live import LiveReport
from ..runtime.distributed import from_first_rank, gathered, on_any_rank
from ..runtime.errors import Stopped, UserError
from ..runtime.interruption import Interruption
from ..runtime.randomness import random_state, restore_random_state
from .order import Place, PlannedStep, TrainOrder
from .workers import batches_of


class Run:
    """The loop of `basicsr train`.

    Args:
        opt: Options of the run.
        model: The model.
        val_loaders: A loader of each validation set.
        tb_logger: A SummaryWriter; None: no TensorBoard.
        state: The training state that `model` continues from; None for a new run.
        interruption: It notes signals.
    """

    def __init__(
        self,
        opt: Options,
        model: TrainableModel,
        val_loaders: list[Any],
        tb_logger: Any,
        state: dict[str, Any] | None,
        interruption: Interruption,
    ):
        self.opt, self.model, self.val_loaders, self.tb_logger = opt, model, val_loaders, tb_logger
        self.interruption, self.state = interruption, state or {}
        self.iteration: int = self.state.get("iter", 0)
        self.place = Place(*self.state.get("place", (self.state.get("epoch", 0), 0)))
        self.history: dict[str, list[dict[str, Any]]] = self.state.get("history") or {
            "losses": [],
            "metrics": [],
        }
        inputs = self.history.get("inputs")
        # the model measures each input once, and writes what it finds into the history
        self.history["inputs"] = model.known_inputs = inputs if isinstance(inputs, dict) else {}
        self.report = LiveReport(opt, self.history, self.iteration)
        self.total_iter: int = opt["train"]["total_iter"]
        self.saved: int | None = self.state.get("iter")
        self.logger = get_root_logger()

    def train(self, loader: Iterable[dict[str, Any]], order: TrainOrder) -> None:
        """Do every iteration that is left, then save and validate the final weights.

        Args:
            loader: Gives a batch for each step of `order`.
            order: The steps that are left.

        Raises:
            Stopped: After a signal, with everything saved.
            UserError: The last checkpoint could not be saved, or a data worker died.
        """
        with batches_of(loader, lambda: cut_off(self.opt["datasets"]["train"])) as batches:
            self._train(self._batches(batches), order)

    def _train(self, batches: Iterator[dict[str, Any]], order: TrainOrder) -> None:
        start_time = time.time()
        if self.iteration >= self.total_iter:
            place = f"Already at iteration {self.iteration} of {self.total_iter}"
            self.logger.info(f"{place}; raise train:total_iter to continue")
        if "random" in self.state:
            # only now: starting the workers draws numbers too
            self._restore_random_states(self.state["random"])
        if self._validates_at(self.iteration) and self._unseen():
            self.validate()  # the state was saved before it
        # without a terminal the log lines show the progress
        bar = tqdm(
            total=self.total_iter,
            initial=self.iteration,
            unit="iter",
            desc=self.opt["name"],
            disable=None if self.opt["rank"] == 0 else True,
        )
        with bar:
            self._iterate(batches, order, bar)
            seconds = int(time.time() - start_time)
            self.logger.info(f"End of training. Time consumed: {datetime.timedelta(seconds=seconds)}")
            if self.iteration and self.saved != self.iteration:
                self.save()
            self.logger.info("Save the latest model.")
            # -1 is BasicSR's sign for net_g_latest.pth without a state
            failure = from_first_rank(self.model.save(epoch=-1, current_iter=-1))
            if self.val_loaders and self._unseen():
                # a longer run would not have this validation: the final state does not know of it
                self.validate(chooses_best=False)
        if not self.val_loaders:  # else the last validation has written it
            self.report.write(self.iteration)
        self.logger.info(f"Report: {self.opt['path']['experiments_root']}/report.html")
        if failure or self.saved != self.iteration:
            reason = failure or "the last checkpoint could not be saved"
            raise UserError(f"{reason}; make room and finish the run with --auto_resume")

    def _iterate(self, batches: Iterator[dict[str, Any]], order: TrainOrder, bar: tqdm) -> None:
        message = MessageLogger(self.opt, self.iteration + 1, self.tb_logger)
        message.max_iters += 1  # BasicSR leaves out one iteration, and ends with "eta: -1 day, 23:59:59"
        data_timer, iter_timer = AvgTimer(), AvgTimer()
        frequent, save_every = self.opt["logger"]["print_freq"], self.opt["logger"]["save_checkpoint_freq"]
        warmup_iter, stage = self.opt["train"].get("warmup_iter", -1), None
        for step, batch in zip(order.steps(), batches, strict=True):
            data_timer.record()
            stage = self._announce(step, stage, order)
            self.iteration, self.place = step.iteration, step.end
            self.model.update_learning_rate(self.iteration, warmup_iter=warmup_iter)
            self.model.feed_data(batch)
            self.model.optimize_parameters(self.iteration)
            iter_timer.record()
            rates, log = self.model.get_current_learning_rate(), self.model.get_current_log()
            shown = {name: f"{value:.2e}" for name, value in log.items() if name.startswith("l_")}
            bar.set_postfix(shown | {"lr": f"{rates[0]:.1e}"}, refresh=False)
            bar.update()
            if self.iteration % frequent == 0:
                timing = {"time": iter_timer.get_avg_time(), "data_time": data_timer.get_avg_time()}
                self.history["losses"].append({"iter": self.iteration, "lr": rates[0], **log})
                progress = {"epoch": self.place.epoch, "iter": self.iteration, "lrs": rates}
                message(progress | timing | log)
            if self.iteration % save_every == 0:
                self.logger.info("Saving models and training states.")
                self.save()
            if self._validates_at(self.iteration):
                self.validate()
            self.report.refresh(self.iteration, iter_timer.get_avg_time())
            if on_any_rank(self.interruption.received is not None):
                self.stop()
            data_timer.start()
            iter_timer.start()

    def save(self) -> None:
        """Write a checkpoint of this iteration."""
        run_state = {
            "place": list(self.place),
            "seed": self.opt["manual_seed"],
            "history": self.history,
            "random": gathered(random_state()),
        }
        failure = self.model.save(self.place.epoch, self.iteration, run_state)
        if from_first_rank(failure) is None:  # rank 0 is the one that writes
            self.saved = self.iteration

    def validate(self, *, chooses_best: bool = True) -> None:
        """Measure every validation set.

        Args:
            chooses_best: Whether these weights may become net_g_best.pth.
        """
        # one process stops at once; several have to agree on it between two pictures
        at_once, interrupted = self.interruption.at_once(), None
        if self.opt["dist"]:
            at_once, interrupted = contextlib.nullcontext(), lambda: self.interruption.received is not None
        try:
            with at_once:
                for loader in self.val_loaders:
                    found = self.model.validation(
                        loader,
                        self.iteration,
                        self.tb_logger,
                        self.opt["val"]["save_img"],
                        interrupted=interrupted,
                        chooses_best=chooses_best,
                    )
                    self.report.show(self.iteration, found)
                    entry = {"iter": self.iteration, "dataset": found.dataset}
                    self.history["metrics"].append(entry | found.means)
            self.report.write(self.iteration)
        except Stopped:
            # drop it: a resumed run validates again
            entries = self.history["metrics"]
            self.history["metrics"] = [entry for entry in entries if entry["iter"] < self.iteration]
            self.stop()

    def stop(self) -> None:
        """Save and raise Stopped."""
        if self.saved != self.iteration:
            self.save()
        if self.saved != self.iteration:
            text = "and could not save; --auto_resume continues from the checkpoint before"
        else:
            text = "and saved; --auto_resume continues from there"
        number = max(gathered(self.interruption.received or 0))
        message = f"stopped at iteration {self.iteration} by {signal.Signals(number).name}, {text}"
        self.report.write(self.iteration)
        self.logger.info(f"{message[0].upper()}{message[1:]}")
        raise Stopped(number, message)

    def _announce(self, step: PlannedStep, before: PatchStage | None, order: TrainOrder) -> PatchStage:
        """Log the sizes at the first iteration of each stage, if there are several stages."""
        if len(order.plan.stages) > 1 and step.stage != before:
            side, count = step.stage
            self.logger.info(
                f"From iteration {step.iteration} on: patches of {side}x{side}, batches of {count}"
            )
        return step.stage

    def _batches(self, workers: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The batches, through BasicSR's CUDAPrefetcher if the options ask for it."""
        # not BasicSR's CPUPrefetcher, which starts the workers twice
        if self.opt["datasets"]["train"].get("prefetch_mode") != "cuda":
            return workers
        return iter(CUDAPrefetcher(workers, self.opt).next, None)

    def _restore_random_states(self, states: list[dict[str, Any]]) -> None:
        if len(states) != self.opt["world_size"]:
            self.logger.warning(
                f"The training state is of {len(states)} processes, this run has {self.opt['world_size']}: "
                "it continues, but not with the same bits"
            )
        if self.opt["rank"] < len(states):
            restore_random_state(states[self.opt["rank"]])

    def _validates_at(self, iteration: int) -> bool:
        return bool(self.val_loaders) and iteration > 0 and iteration % self.opt["val"]["val_freq"] == 0

    def _unseen(self) -> bool:
        """Whether the history has no validation of this iteration."""
        return self.iteration not in {entry["iter"] for entry in self.history["metrics"]}
