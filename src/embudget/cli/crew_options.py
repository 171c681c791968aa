"""Options by which `embudget sweep` and `embudget spend` have an engine hire their workers elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.errors import ConfigError

if TYPE_CHECKING:
    from embudget.study.executors.base import CrewOf

Slurm = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        metavar="OPTIONS",
        help="Hire --workers workers as jobs of Slurm, each with these options, as partition=gpu,gpus=1,time=4h.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Hire --workers workers on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT."
    ),
]
RayResources = Annotated[
    str | None,
    typer.Option("--ray-options", help="What each worker gets of the Ray cluster, as num_gpus=1,num_cpus=4."),
]


def crew_of(slurm: str | None, ray: str | None, ray_options: str | None, logs: Path) -> "CrewOf | None":
    """What makes the crew that these options ask for; None without any.

    Args:
        slurm: options of a job.
        ray: address of a cluster.
        ray_options: what a worker gets of it.
        logs: folder for the logs of jobs, which all nodes see.

    Raises:
        ConfigError: both engines are asked for, or an option breaks its rule.
    """
    if slurm is not None and ray is not None:
        raise ConfigError("give one of --slurm and --ray, not both")
    if ray_options is not None and ray is None:
        raise ConfigError("--ray-options needs --ray ADDRESS")
    if slurm is not None:
        from embudget.study.executors.slurm import SlurmCrew
        from embudget.study.executors.slurm_options import SlurmOptions

        of_jobs = SlurmOptions.read(slurm)
        return lambda store: SlurmCrew(store, of_jobs, logs)
    if ray is not None:
        from embudget.study.executors.ray import RayCrew
        from embudget.study.executors.ray_options import RayOptions

        of_workers = RayOptions.read(ray_options or "")
        return lambda store: RayCrew(store, ray, of_workers)
    return None
