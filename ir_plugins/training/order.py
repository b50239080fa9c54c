"""Which pictures each iteration trains on, and by which random numbers they are cut and turned.

All of it follows from the seed, the epoch and the options: no worker, no chance and no number of processes
has a say.  So a run that begins in the middle of an epoch meets what it would have met, and two processes
meet, between them, what one would with a batch twice as large.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch.utils.data import Dataset, Sampler

from basicsr.data.data_sampler import EnlargedSampler

from ..data.patch_plan import PatchPlan, Stage
from ..runtime.randomness import seeded


class Place(NamedTuple):
    """Where a run stands in its data: the epoch, and how many of its pictures all ranks have drawn."""

    epoch: int = 0
    drawn: int = 0


class Draw(NamedTuple):
    """What a worker is told of one picture: which it is, how large a patch, and its random numbers' seed."""

    index: int
    patch_size: int | None
    seed: tuple[int, ...]


class Step(NamedTuple):
    """One iteration: its number, its sizes, where its pictures begin, and where the next one's do."""

    iteration: int
    stage: Stage
    begin: Place
    end: Place


class TrainOrder(Sampler[list[Draw]]):
    """A DataLoader's `batch_sampler` for the iterations first, ..., total_iter of one rank.

    dataset: a `Drawn` one.  ratio: an epoch goes through it that often.  plan: its batch sizes are those of a
    rank and a whole step.  place: where the first iteration's pictures begin.

    An epoch is BasicSR's: its shuffle, and pictures at its end that do not fill a batch are left out.  Raises
    ValueError where an epoch is smaller than a batch of all ranks.
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

    def steps(self) -> Iterator[Step]:
        """Every iteration, without the pictures."""
        place = self.place
        for iteration in range(self.first, self.total_iter + 1):
            stage = self.plan.at(iteration)
            count = stage.batch_size * self.world_size
            if place.drawn + count > len(self.shuffle):
                place = Place(place.epoch + 1)
            end = Place(place.epoch, place.drawn + count)
            yield Step(iteration, stage, place, end)
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
    """A dataset of BasicSR's kind, asked for `Draw`s: the same draw gives the same item wherever it is made.

    The patch size becomes the dataset's `opt["gt_size"]`, which is what BasicSR's datasets and ours cut by.
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
