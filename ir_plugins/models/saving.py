"""Save checkpoints from which a run continues as if it had never stopped."""

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only

from ..archs.declaration import facts
from ..runtime.errors import file_fault
from ..runtime.storage import numbered_states, save_whole

RECIPE = ("optim_g", "scheduler", "warmup_iter")  # keys of `train` that a training state depends on

MOST_REPLAYED = 1_000_000  # iterations, a few seconds


class SavingModel(SRModel):
    """SRModel that writes net_g_N.pth and N.state whole, with everything that the next step needs."""

    scaler: torch.amp.GradScaler
    skipped: int
    skipped_in_row: int
    last_saved: int | None = None  # the iteration of the newest checkpoint
    run_state: dict[str, Any] | None = None  # for subclasses whose `save` does not take it
    best_metric_results: dict[str, dict[str, dict[str, Any]]]

    def save(self, epoch: int, current_iter: int, run_state: dict[str, Any] | None = None) -> str | None:
        """Write net_g_N.pth, then N.state, which says that both are there.

        If that fails, for example because the disk is full, the log says so, earlier checkpoints stay intact
        and training continues.

        Args:
            epoch: Where the run is; for the training state.
            current_iter: N; -1 for net_g_latest.pth, which has no training state.
            run_state: What the run keeps in the training state beside the model's own; default: nothing.

        Returns:
            What could not be saved, and why; None if all went well.
        """
        try:
            # not SRModel.save, which has no `run_state`
            self.save_networks(current_iter)
            self.save_training_state(epoch, current_iter, run_state or self.run_state or {})
        except OSError as error:
            what = "net_g_latest.pth" if current_iter == -1 else f"The checkpoint of iteration {current_iter}"
            failure = f"{what} could not be saved: {file_fault(error)}; earlier ones are intact"
            get_root_logger().error(f"{failure}, the run continues")
            self._remove_halves()
            return failure
        if current_iter != -1:
            self.last_saved = current_iter
            self._prune(current_iter)
        return None

    @master_only
    def save_network(self, net, net_label, current_iter, param_key: str | list[str] = "params") -> None:
        # BasicSR's tries three times, leaves a torn file behind and continues
        nets = net if isinstance(net, list) else [net]
        keys = param_key if isinstance(param_key, list) else [param_key]
        bare = [self.get_bare_model(net) for net in nets]
        content: dict[str, Any] = dict(zip(keys, map(_on_cpu, bare), strict=True))
        if net_label == "net_g":
            content["network"] = self._network()
        name = f"{net_label}_{'latest' if current_iter == -1 else current_iter}.pth"
        self.written = {name: save_whole(content, Path(self.opt["path"]["models"], name))}

    def _network(self) -> dict[str, Any]:
        """How to build the network of net_g_N.pth, in plain values, which are read without running code."""
        # through JSON: equal blocks give equal bytes, whatever their types
        block = json.loads(json.dumps(self.opt["network_g"], default=str))
        said = facts(type(self.get_bare_model(self.net_g)), self._arguments())
        scale = said.scale or self.opt.get("scale") or 1
        return {"network_g": block, "scale": scale, "value_range": [float(v) for v in said.value_range]}

    def _arguments(self) -> dict[str, Any]:
        """The arguments that the net was built with."""
        return {key: value for key, value in self.opt["network_g"].items() if key != "type"}

    @master_only
    def save_training_state(
        self, epoch: int, current_iter: int, run_state: dict[str, Any] | None = None
    ) -> None:
        if current_iter != -1:
            state = (run_state or {}) | self.training_state()
            state |= {"epoch": epoch, "iter": current_iter, "files": self.written}
            save_whole(state, Path(self.opt["path"]["training_states"], f"{current_iter}.state"))

    def training_state(self) -> dict[str, Any]:
        """What the next step needs beside net_g_N.pth, which holds the weights and their average."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "moments": [len(optimizer.state) for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "scaler": self.scaler.state_dict(),
            "skipped": [self.skipped, self.skipped_in_row],
            "best": getattr(self, "best_metric_results", {}),
            "recipe": self._recipe(),
        }

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Continue from a training state, BasicSR's own included.

        If `train:optim_g` or `train:scheduler` have changed, the new values count as if they had been there
        from the start; BasicSR would silently keep the old ones.

        Args:
            resume_state: The content of N.state.

        Raises:
            ValueError: The state belongs to another optimizer or network.
        """
        for optimizer, saved in zip(self.optimizers, resume_state["optimizers"], strict=False):
            for mine, theirs in zip(optimizer.param_groups, saved["param_groups"], strict=False):
                # BasicSR's is not fused, and GradScaler goes by how the optimizer was built
                theirs |= {key: mine[key] for key in ("fused", "foreach") if key in mine}
        if self.follows(resume_state):
            super().resume_training(resume_state)
        else:
            self._resume_with_another_recipe(resume_state)
        self._order_moments()
        if resume_state.get("scaler"):  # none if the run was not in fp16 before
            self.scaler.load_state_dict(resume_state["scaler"])
        self.skipped, self.skipped_in_row = resume_state.get("skipped", (0, 0))
        if resume_state.get("best"):
            self.best_metric_results = resume_state["best"]
        self.last_saved = resume_state["iter"]
        self._prune(resume_state["iter"])  # a run that is at its end does not save again

    def follows(self, resume_state: Mapping[str, Any]) -> bool:
        """Whether the run's optimizer and schedule go on as a training state left them.

        Args:
            resume_state: The content of N.state.

        Returns:
            False if `train:optim_g` or `train:scheduler` have changed since.

        Raises:
            ValueError: They have changed so much that the moments are of no use.
        """
        recipe = resume_state.get("recipe", self._recipe())
        if recipe == self._recipe():
            return True
        before, now = json.loads(recipe)["optim_g"], json.loads(self._recipe())["optim_g"]
        if before["type"] != now["type"]:
            raise ValueError(f"train:optim_g:type was {before['type']}; begin a new run with the weights")
        if before.get("no_decay") != now.get("no_decay"):
            raise ValueError("train:optim_g:no_decay has changed, and with it the groups of parameters")
        return False

    def last_good(self) -> str:
        """The newest checkpoint, in words for a message."""
        if self.last_saved is None:
            return "no checkpoint has been saved yet"
        return f"the last checkpoint is {self.opt['path']['training_states']}/{self.last_saved}.state"

    def _resume_with_another_recipe(self, state: dict[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            fresh = optimizer.state_dict()["param_groups"]
            if [len(group["params"]) for group in fresh] != [len(g["params"]) for g in saved["param_groups"]]:
                raise ValueError("it is of another network")
            optimizer.load_state_dict({"state": saved["state"], "param_groups": fresh})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about schedules that step without their optimizer
            # a crafted state may name any iteration; of one ahead of the run no step is taken
            last = min(state["iter"], max(self.opt["train"]["total_iter"], MOST_REPLAYED))
            for iteration in range(1, last + 1):
                self.update_learning_rate(iteration, self.opt["train"].get("warmup_iter", -1))
        rates = ", ".join(f"{rate:.3e}" for rate in self.get_current_learning_rate())
        get_root_logger().info(
            f"train:optim_g or train:scheduler differ from the training state and hold from now on: "
            f"learning rate {rates}"
        )

    def _order_moments(self) -> None:
        """Lay moments out in memory as their parameters are: `train:channels_last` may have changed.

        A fused step pairs numbers by their place in memory.
        """
        for optimizer in self.optimizers:
            for parameter, moments in optimizer.state.items():
                for name, value in moments.items():
                    alike = isinstance(value, Tensor) and value.shape == parameter.shape
                    if alike and value.stride() != parameter.stride():
                        moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    def _recipe(self) -> str:
        return json.dumps({key: self.opt["train"].get(key) for key in RECIPE}, sort_keys=True, default=str)

    def _initialize_best_metric_results(self, dataset_name: str) -> None:
        # a training state may hold other metrics than the options ask for now
        known = getattr(self, "best_metric_results", {}).pop(dataset_name, {})
        super()._initialize_best_metric_results(dataset_name)
        for metric, fresh in self.best_metric_results[dataset_name].items():
            if known.get(metric, fresh)["better"] == fresh["better"]:
                fresh.update(known.get(metric, {}))

    def _keep_best(self, dataset: str, before: dict[str, dict[str, Any]], current_iter: int) -> None:
        """Write net_g_best.pth if this validation is the best one so far.

        The first metric of the first validation set decides.

        Args:
            dataset: The validated dataset; `best_metric_results` includes this validation.
            before: Its best values before this validation.
            current_iter: The iteration of the validation.
        """
        deciding, metric = self._deciding()
        best = self.best_metric_results[dataset]
        if dataset != deciding or best[metric]["iter"] != current_iter:
            return
        try:
            self.save_networks("best")
        except OSError as error:
            get_root_logger().error(f"net_g_best.pth could not be saved: {file_fault(error)}")
            best[metric].update(before[metric])  # the file still holds those weights

    def save_networks(self, name: int | str) -> None:
        """Write net_g_NAME.pth: the weights and, if there is one, their average."""
        nets = {"params": self.net_g}
        if hasattr(self, "net_g_ema"):
            nets["params_ema"] = self.net_g_ema
        self.save_network([*nets.values()], "net_g", name, [*nets])

    def _deciding(self) -> tuple[str, str]:
        """The dataset and the metric that decide which weights are best."""
        blocks = (block for block in self.opt["datasets"].values() if block["phase"] == "val")
        return next(blocks)["name"], next(iter(self.opt["val"]["metrics"]))

    @master_only
    def _remove_halves(self) -> None:
        """Remove weights without a training state: the next checkpoint needs the room."""
        folders = self.opt["path"]
        for name in getattr(self, "written", {}):
            iteration = name.removeprefix("net_g_").removesuffix(".pth")
            if iteration.isdigit() and not Path(folders["training_states"], f"{iteration}.state").exists():
                Path(folders["models"], name).unlink(missing_ok=True)

    @master_only
    def _prune(self, current_iter: int) -> None:
        """Remove all but the newest `logger:keep_last` checkpoints, the training state first.

        Weights without a state go too: a process was killed before it wrote that, or after it removed it.
        Later checkpoints stay: they belong to a run that this one has gone back from.
        """
        if not (keep := self.opt["logger"].get("keep_last")):
            return
        states, models = (Path(self.opt["path"][key]) for key in ("training_states", "models"))
        try:
            found = [state for state in numbered_states(states) if int(state.stem) <= current_iter]
            for state in found[:-keep]:
                state.unlink(missing_ok=True)
            for weights in models.glob("net_g_*.pth"):
                number = weights.stem.removeprefix("net_g_")
                ours = re.fullmatch("[1-9][0-9]{0,17}", number) and int(number) <= current_iter
                # N.state.old is of such a run
                if ours and not any(Path(states, f"{number}.state{end}").exists() for end in ("", ".old")):
                    weights.unlink(missing_ok=True)
        except OSError as error:
            get_root_logger().warning(f"logger:keep_last: an older checkpoint stays: {file_fault(error)}")


def _on_cpu(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu() for name, value in net.state_dict().items()}
