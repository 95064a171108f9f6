"""Everything gradpath raises on purpose.

    GradpathError
    ├── UserError            the user's input: the command line prints one line and exits with 2
    │   ├── SpecError        a network that cannot be built
    │   ├── DataError        images or labels that cannot be read
    │   ├── RecordError      a record that cannot be read
    │   ├── WeightsError     weights that do not fit
    │   ├── SnapshotError    a run that cannot be gone on with
    │   ├── CircuitError     a circuit that does not exist, or a value it cannot take
    │   ├── TraceError       a model or a loss that cannot be traced
    │   └── KernelError      compiled kernels that this machine cannot have
    └── MissingExtraError    an optional dependency is not installed

Every message is one line: what was asked, what was seen, what to do.
"""


def first_line(error: BaseException) -> str:
    """What an error says, for a message of one line; its type's name where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


class GradpathError(Exception):
    """Base of all errors raised on purpose by gradpath."""


class UserError(GradpathError, ValueError):
    """Something the user gave cannot be used; the message says what to give instead."""


class SpecError(UserError):
    """A network specification that cannot be built."""


class DataError(UserError):
    """Images or labels that cannot be read; the message names the file."""


class RecordError(UserError):
    """A record file that cannot be read; the message names the file."""


class WeightsError(UserError):
    """Weights that do not fit the network."""


class SnapshotError(UserError):
    """A run that cannot be gone on with; the message names its folder or file."""


class CircuitError(UserError):
    """A circuit that does not exist, or a value it cannot take."""


class TraceError(UserError):
    """A model, batch or loss that cannot be traced."""


class KernelError(UserError):
    """Compiled kernels that were asked for and that this machine cannot have."""


class PlanError(UserError):
    """A model, a batch or a plan that do not go together."""


class MemoryBudgetError(PlanError):
    """No training step fits the memory; the message says how much is needed and what would make it fit."""

    smallest_bytes: int | None = None
    """The least memory for which there is a plan, where it is known."""


class MissingExtraError(GradpathError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed: pip install 'gradpath[{extra}]'")
        self._given = package, extra, purpose

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        """One process of several hands it to the others."""
        return type(self), self._given
