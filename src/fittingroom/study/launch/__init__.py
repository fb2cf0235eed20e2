"""Who executes jobs: this process, a local pool, a Ray cluster, a team of workers that shares each job.

launcher   what they have in common, and `launch`, which runs jobs by one of them
local      this process, or one process a core
ray_cluster, ray_team   any node of a cluster; needs the extra `ray`
"""

from fittingroom.spec.errors import FittingroomError
from fittingroom.study.launch.launcher import Failed, Launcher, ListenToJob, Outcome, Stopped, launch, run_and_wait
from fittingroom.study.launch.local import InThisProcess, LocalPool


def choose_launcher(name: str, at_once: int, workers: int = 1) -> Launcher:
    """The launcher of this name: "local", which runs so many jobs `at_once`; "ray" or "ray=ADDRESS".

    With several `workers`, Ray trains each job with so many processes together. Raises `FittingroomError` for an unknown one.
    """
    kind, _, address = name.partition("=")
    if name != "local" and kind != "ray":
        raise FittingroomError(f'unknown launcher "{name}"; it is one of: local, ray, ray=ADDRESS')
    if workers > 1:
        from fittingroom.study.launch.ray_team import RayTeam

        return RayTeam(address)
    if kind == "ray":
        from fittingroom.study.launch.ray_cluster import RayCluster

        return RayCluster(address)
    return LocalPool(at_once) if at_once > 1 else InThisProcess()


__all__ = [
    "Failed",
    "InThisProcess",
    "Launcher",
    "ListenToJob",
    "LocalPool",
    "Outcome",
    "Stopped",
    "choose_launcher",
    "launch",
    "run_and_wait",
]
