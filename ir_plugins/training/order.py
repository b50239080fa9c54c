"""The pictures of each iteration, and the random numbers that crop and flip them.

Both follow from the seed, the epoch and the options; the workers, their speed and the number of processes
change nothing.  So a run that resumes in the middle of an epoch gets the same pictures as one that never
stopped, and two processes together get the pictures of one process with a batch twice as large.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch.utils.data import Dataset, Sampler

from basicsr.data.data_sampler import EnlargedSampler

from ..data.patch_plan import PatchPlan, PatchStage
from ..runtime.randomness import seeded


class Place(NamedTuple):
    """The place of a run in its data.

    Args:
        epoch: From 0.
        drawn: How many pictures of the epoch all ranks together have drawn.
    """

    epoch: int = 0
    drawn: int = 0


class Draw(NamedTuple):
    """One item that a worker has to make.

    Args:
        index: Index of the picture in the dataset.
        patch_size: Side of the GT patch, pixels; None: as the dataset's own options say.
        seed: Seeds the random numbers of this item.
    """

    index: int
    patch_size: int | None
    seed: tuple[int, ...]


class PlannedStep(NamedTuple):
    """One iteration.

    Args:
        iteration: From 1.
        stage: Its sizes.
        begin: Where its pictures begin.
        end: Where the next iteration's pictures begin.
    """

    iteration: int
    stage: PatchStage
    begin: Place
    end: Place


class TrainOrder(Sampler[list[Draw]]):
    """A DataLoader's `batch_sampler` for the iterations first, ..., total_iter of one rank.

    An epoch is BasicSR's: its shuffle, without the pictures at its end that do not fill a batch.

    Args:
        dataset: A `Drawn` dataset.
        plan: Its batch sizes are per rank and for a whole step.
        total_iter: The last iteration.
        first: The first iteration, from 1.
        place: Where the first iteration's pictures begin.
        ratio: How often an epoch goes through the dataset.
        seed: Seed of the run.
        rank: Rank of this process.
        world_size: How many processes there are.

    Raises:
        ValueError: An epoch is smaller than a batch of all ranks.
    """

    def __init__(
        self,
        dataset: Any,
        plan: PatchPlan,
        *,
        total_iter: int,
        first: int = 1,
        place: Place = Place(),  # noqa: B008  (immutable)
        ratio: float = 1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.dataset, self.shuffle = dataset, EnlargedSampler(dataset, 1, 0, ratio)  # pyright: ignore[reportArgumentType]
        largest = max(stage.batch_size for stage in plan.stages) * world_size
        if largest > len(self.shuffle):
            raise ValueError(f"an epoch of {len(self.shuffle)} pictures is smaller than a batch of {largest}")
        self.plan, self.first, self.total_iter, self.place = plan, first, total_iter, place
        self.seed, self.rank, self.world_size = seed, rank, world_size

    def __len__(self) -> int:
        return self.total_iter - self.first + 1

    def steps(self) -> Iterator[PlannedStep]:
        """Every iteration, without the pictures."""
        place = self.place
        for iteration in range(self.first, self.total_iter + 1):
            stage = self.plan.at(iteration)
            count = stage.batch_size * self.world_size
            if place.drawn + count > len(self.shuffle):
                place = Place(place.epoch + 1)
            end = Place(place.epoch, place.drawn + count)
            yield PlannedStep(iteration, stage, place, end)
            place = end

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, indices = -1, []
        for step in self.steps():
            if step.begin.epoch != epoch:
                epoch = step.begin.epoch
                self.shuffle.set_epoch(epoch)
                indices = list(self.shuffle)
            mine = range(step.begin.drawn + self.rank, step.end.drawn, self.world_size)
            yield [Draw(indices[n], step.stage.patch_size, (self.seed, epoch, n)) for n in mine]


class Drawn(Dataset):
    """A dataset that is indexed by `Draw`s: the same draw gives the same item in every process.

    Args:
        dataset: Of BasicSR's kind; it crops to `opt["gt_size"]`, which becomes the draw's patch size.
    """

    def __init__(self, dataset: Any):
        self.dataset, self.opt = dataset, dataset.opt

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> Any:
        if draw.patch_size is not None:
            self.dataset.opt["gt_size"] = draw.patch_size
        with seeded(*draw.seed):
            return self.dataset[draw.index]
