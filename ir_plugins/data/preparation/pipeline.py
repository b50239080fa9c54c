"""Prepare a set from beginning to end: check everything, write, verify, count."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ...pictures.files import existing_folder, files_in
from ...runtime.errors import UserError, listed
from ...runtime.locks import alone
from ...runtime.output import flush_output, lenient_output
from ...runtime.regular import real
from ...runtime.shortages import shortage
from .jobs import Job, Journal, make, outdated, pack, refuse_foreign, verify
from .parts import Plan
from .presets import PRESETS, Part, Preset
from .sources import Source

JOURNAL = ".prepared.jsonl"  # hidden: the output may itself be what a dataset reads


def exit_status(program: str, work: Callable[[], object]) -> int:
    """Run a script; print the error that ends it.

    Args:
        program: The script's name; messages begin with it.
        work: What the script does, called without arguments.

    Returns:
        The exit status: 0 on success, 2 for the user's mistakes and if the machine runs short of something,
        130 for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path may hold what no text can
            stream.reconfigure(errors="backslashreplace")
    try:
        # the sets are written before a line of the report is lost
        with lenient_output():
            work()
        status, text = 0, ""
    except KeyboardInterrupt:
        status, text = 130, "interrupted; run the same command again: it continues"
    except UserError as error:
        status, text = 2, f"error: {error}"
    except Exception as error:
        reason = shortage(error, "lmdb") or (str(error) if isinstance(error, OSError) else None)
        if reason is None:
            raise
        status, text = 2, f"error: {reason}; mend that and run the same command again: it continues"
    flush_output()
    with suppress(OSError, ValueError):
        if text:
            print(f"{program}: {text}", file=sys.stderr)
    return status


def prepare(
    name: str,
    folders: Sequence[str | Path],
    output: Path,
    *,
    workers: int | None = None,
    lmdb: bool = False,
    codec: str = "png",
) -> list[str]:
    """Make a set.  When interrupted, call it again to continue.

    Nothing is written before every picture has been checked.

    Args:
        name: Name of the set, a key of PRESETS.
        folders: Where it was unpacked.
        output: Where to write.
        workers: Threads; default: one per usable core.
        lmdb: Also pack each folder into FOLDER.lmdb.
        codec: Codec of the LMDBs, png or raw.

    Returns:
        What to report, line by line.

    Raises:
        UserError: The folders do not hold the whole set, or the output holds something else.
    """
    preset = PRESETS[name]
    sources = [Source(existing_folder(folder, "--source")) for folder in folders]
    plan = _plan(name, preset, sources, output, workers)
    resolved = {real(folder): folder for folder in plan.folders}
    plan.jobs = [_settled(job, resolved) for job in plan.jobs]
    to_fill = [folder for folder in plan.folders if any(_fills(job, folder) for job in plan.jobs if job.make)]
    if lmdb and not plan.folders:
        raise UserError(f"--lmdb: {name} is read by its lists and stays where it is; leave --lmdb out")
    if lmdb or preset.sr:
        _refuse_names(plan)
    for link, target in plan.links.items():
        if os.path.lexists(link) and real(link) != target:
            raise UserError(f"--output: {link} is there already and is not {target}; move it away")
    _refuse_twins(plan.jobs)
    journal = Journal(output / JOURNAL)
    # a set that is in its place already is only checked
    if lmdb or plan.links or any(job.make for job in plan.jobs):
        refuse_foreign({"preset": name}, journal, plan.jobs, to_fill)
        output.mkdir(parents=True, exist_ok=True)
        with alone(journal.path, f"--output: another process is writing to {output}; wait for it"):
            if journal.settings is None:
                journal.add(settings={"preset": name})
            for link, target in plan.links.items():
                if not os.path.lexists(link):
                    link.symlink_to(target, target_is_directory=True)
            make(plan.jobs, journal, workers, option="--source")
            verify(plan.jobs, workers)
            if lmdb:
                pack(plan.jobs, plan.folders, journal, workers, codec)
            for database in outdated(plan.jobs, plan.folders, journal):
                text = "holds other pictures than its folder now; delete it and pack again"
                plan.notes.append(f"{database} {text}")
    return _report(output, plan)


def _plan(name: str, preset: Preset, sources: Sequence[Source], output: Path, workers: int | None) -> Plan:
    plan, missing = Plan(), []
    for part in preset.parts:
        if found := part.plan(sources, output, workers):
            plan += found
        else:
            missing.append(part)
    if any(not part.optional for part in missing) or len(missing) == len(preset.parts):
        lines = [
            f"--source: no {name} as it is known here; correct the path or arrange it in one of these ways",
            *layouts(missing),
        ]
        lines += [f"  but {source}" for source in sources]
        raise UserError("\n".join(lines))
    for part in missing:
        expected = part.expected()[0]
        plan.notes.append(f"{part.folder or expected}: not in --source and left out (expected: {expected})")
    return plan


def layouts(parts: Sequence[Part]) -> list[str]:
    """How parts of a set may lie below --source, a line each."""
    return [
        f"    {part.folder}: {text}" if part.folder else f"    {text}"
        for part in parts
        for text in part.expected()
    ]


def _fills(job: Job, folder: Path) -> bool:
    return any(folder in output.file.parents for output in job.outputs)


def _settled(job: Job, folders: dict[Path, Path]) -> Job:
    """The job, with nothing to make if its sources are its outputs.

    Args:
        job: As planned.
        folders: That are written, by resolved path.

    Raises:
        UserError: A source lies in a folder that is written, which would then hold two kinds of pictures.
    """
    outputs = [output.file for output in job.outputs]
    pairs = zip(job.sources, outputs, strict=False)
    if len(outputs) == len(job.sources) and all(b.exists() and os.path.samefile(a, b) for a, b in pairs):
        # a text in its place may need mending
        return job if not job.outputs[0].height else job._replace(make=None)
    for source in job.sources:
        if inside := [folders[parent] for parent in real(source).parents if parent in folders]:
            raise UserError(
                f"--output: {source} lies in {inside[0]}, which is to be written; move the source away or "
                "take another --output"
            )
    return job


def _refuse_twins(jobs: Sequence[Job]) -> None:
    seen: dict[Path, Job] = {}
    for job in jobs:
        for output in job.outputs:
            # datasets find pictures by the name without the extension
            key = output.file.with_suffix("")
            if key in seen:
                raise UserError(
                    f"--source: {seen[key].sources[0]} and {job.sources[0]} are both to become {key}; "
                    "rename one"
                )
            seen[key] = job


def _refuse_names(plan: Plan) -> None:
    stems = [output.file.stem for job in plan.jobs for output in job.outputs]
    if bad := [ascii(stem) for stem in stems if "." in stem or not (stem.isascii() and stem.isprintable())]:
        raise UserError(
            f"--source: names with a dot or beyond ASCII, which no LMDB of BasicSR can have: {listed(bad)}; "
            "rename them"
        )


def _report(output: Path, plan: Plan) -> list[str]:
    lines = []
    for folder in plan.folders:
        packed = f", packed into {folder}.lmdb" if Path(f"{folder}.lmdb").exists() else ""
        lines.append(f"{folder}: {len(files_in(folder, recursive=True))} pictures{packed}")
    lines += [f"{link} -> {target}" for link, target in plan.links.items()]
    for count in plan.counts:
        same = ", as published" if count.found == count.published else ""
        lines.append(f"{count.where}: {count.found} pictures or pairs of --source{same}")
        if count.published not in (None, count.found):
            lines.append(
                f"warning: {count.where}: {count.found}, where the published set has {count.published}; "
                "copies of a set differ, and so do results"
            )
    return lines + [f"note: {note}" for note in plan.notes]
