"""What a user may set for a simulation, under the names of the shell's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from nnshell.chips.model.chip import Chip
from nnshell.chips.model.kernels import KernelTable
from nnshell.support.errors import UsageError
from nnshell.support.settings import Settings

FC_HZ = 250e6
LEFT_ALONE = -1.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """Budgets in bytes, clocks in hertz, ``voltage`` in volt (0: the lowest that runs the clocks).

    ``l1_size`` includes the cluster's stacks, as the tools' setting does; ``l2_size`` 0 and an
    ``fc_freq`` left alone take what the kernel library takes; ``kernels`` names a kernel table or
    a TOML file.
    """

    l1_size: int = 64_000
    l2_size: int = 0
    l3_size: int = 8_000_000
    l3_flash_mb: int = 64
    cluster_stack_size: int = 4096
    cluster_slave_stack_size: int = 1024
    cluster_num_cores: int = 8
    fc_freq: float = LEFT_ALONE
    cl_freq: float = 175e6
    voltage: float = 0.0
    kernels: str = "autotiler-sq8"

    @classmethod
    def from_settings(cls, settings: Settings) -> Parameters:
        """The session's settings; an ``l2_size`` or ``fc_freq`` nobody changed is left to the
        library."""
        usual = Settings()
        return cls(
            l1_size=settings.l1_size,
            l2_size=settings.l2_size if settings.l2_size != usual.l2_size else 0,
            l3_size=settings.l3_size,
            l3_flash_mb=settings.l3_flash_mb,
            cluster_stack_size=settings.cluster_stack_size,
            cluster_slave_stack_size=settings.cluster_slave_stack_size,
            cluster_num_cores=settings.cluster_num_cores,
            fc_freq=float(settings.fc_freq) if settings.fc_freq != usual.fc_freq else LEFT_ALONE,
            cl_freq=float(settings.cl_freq),
            kernels=settings.kernels,
        )

    @property
    def stack_bytes(self) -> int:
        """Stacks of the cluster's cores, which lie in L1."""
        slaves = max(0, self.cluster_num_cores - 1)
        return self.cluster_stack_size + slaves * self.cluster_slave_stack_size

    def l1_budget(self) -> int:
        """L1 left for tiles."""
        return self.l1_size - self.stack_bytes

    def resolve(self, table: KernelTable) -> Parameters:
        """The parameters with what was left to the kernel library filled in."""
        usual = self.cl_freq if table.fc_as_cluster else FC_HZ
        return replace(
            self,
            l2_size=self.l2_size or table.l2_size,
            fc_freq=usual if self.fc_freq == LEFT_ALONE else self.fc_freq,
        )

    def validate(self, chip: Chip) -> None:
        """Refuse values the chip cannot have.

        Raises:
            UsageError: naming the setting, its value and what is accepted.
        """
        _within("cluster_num_cores", self.cluster_num_cores, 1, chip.cores)
        _within("l1_size", self.l1_size, 1, chip.l1_bytes)
        _within("l2_size", self.l2_size, 1, chip.l2_bytes)
        _within("l3_size", self.l3_size, 0, chip.l3_ram_bytes)
        _within("l3_flash_mb", self.l3_flash_mb, 0, chip.l3_flash_bytes // 2**20)
        _within("cluster_stack_size", self.cluster_stack_size, 0, chip.l1_bytes)
        _within("cluster_slave_stack_size", self.cluster_slave_stack_size, 0, chip.l1_bytes)
        for name, value in (("fc_freq", self.fc_freq), ("cl_freq", self.cl_freq)):
            if not (math.isfinite(value) and 1e3 <= value <= 1e10):
                raise UsageError(
                    f"{name} is {value}, not a frequency in Hz",
                    hint=f"set {name} between 1e3 and 1e10, for example 175e6",
                )
        self._check_voltage(chip)
        if self.l1_budget() <= 0:
            raise UsageError(
                f"l1_size {self.l1_size} is smaller than the cluster's stacks of "
                f"{self.stack_bytes} bytes",
                hint=f"set l1_size above {self.stack_bytes}",
            )

    def _check_voltage(self, chip: Chip) -> None:
        if not self.voltage:
            return
        point = chip.at_voltage(self.voltage)
        limits = (("fc_freq", point.fc_max_hz), ("cl_freq", point.cluster_max_hz))
        for name, limit in limits:
            if getattr(self, name) > limit:
                raise UsageError(
                    f"{name} {getattr(self, name):g} is too fast for {self.voltage:g} V",
                    hint=f"{name} may be {limit:g} there",
                )


def too_fast(parameters: Parameters, chip: Chip) -> str:
    """Says so where a clock is beyond what the chip runs at any voltage; else empty."""
    fc_max = max(point.fc_max_hz for point in chip.operating_points)
    cluster_max = max(point.cluster_max_hz for point in chip.operating_points)
    clocks = (
        ("fc_freq", parameters.fc_freq, fc_max),
        ("cl_freq", parameters.cl_freq, cluster_max),
    )
    return "; ".join(
        f"{name} {hertz / 1e6:g} MHz: {chip.name} runs at most {most / 1e6:g} MHz"
        for name, hertz, most in clocks
        if hertz > most
    )


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(
            f"{name} is {value}, accepted are {low} to {high}",
            hint=f"set {name} {min(max(value, low), high)}",
        )
