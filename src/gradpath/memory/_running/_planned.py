"""The module that trains by a plan."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from gradpath.errors import PlanError
from gradpath.kernels import Fingerprint, norm_passes
from gradpath.memory._blocks._chain import check_plannable
from gradpath.memory._blocks._routing import Routing
from gradpath.memory._running._dense_stage import dense_stage
from gradpath.memory._running._module_moves import ModuleMoves
from gradpath.memory._running._run import Work
from gradpath.nets import LeanMoves, Moves, NormPasses, TorchPasses, form_of
from gradpath.record import BACKWARD, Plan
from gradpath.units import memory

_SHARED = (
    "_parameters _buffers _non_persistent_buffers_set _modules _state_dict_hooks _state_dict_pre_hooks "
    "_load_state_dict_pre_hooks _load_state_dict_post_hooks"
).split()
_OWN = ("_plain", "_plan", "_chain", "_plain_views", "_warned_of_size", "_is_full_backward_hook", "_compiled_call_impl")


def apply_plan(model: nn.Module, plan: Plan) -> nn.Module:
    """A module that computes what the model computes, and trains in the memory that the plan says.

    Loss, gradients and buffers are the model's own. Parameters, buffers, children and state dict are shared with the
    model, not copied; all other attributes are found through to it. The model itself stays as it is, and plain.
    Without grad mode the forward is the plain one, and so it is inside `with planned.plain_view():`.
    A forward allows one backward; gradients of gradients are refused.

    Raises PlanError when the plan is not for this model: at once where it names blocks that the model has not, at
    the forward where the model does not run them one after the other. Warns where the model's parameters take more
    than those that were planned for, and once of a larger input than planned. Of a planned model, its model is planned.
    """
    if not isinstance(plan, Plan):
        raise PlanError(f"apply_plan: a {type(plan).__name__} is no plan: give what gp.plan or gp.read returned")
    model = plain_of(model)
    check_plannable(model)
    return PlannedModel(model, plan)


def plain_of(model: nn.Module) -> nn.Module:
    """The model that a planned model runs; any other as it is."""
    return model._plain if isinstance(model, PlannedModel) else model


def moves_of(block: tuple[nn.Module, ...], passes: NormPasses | None = None) -> Moves:
    """The moves of a block: the lean ones where its form is proved, with these norm passes, else autograd's.

    A dense block's own are taken with compiled norm passes alone: neither is bitwise plain autograd.
    """
    form = form_of(block[0]) if len(block) == 1 else None
    if form is not None:
        return cast("Moves", LeanMoves(form, passes or TorchPasses()))
    compiled = passes is not None and passes.name != TorchPasses.name
    stage = dense_stage(block) if compiled else None
    return ModuleMoves(block) if stage is None else cast("Moves", stage)


class PlannedModel(nn.Module):
    """See `apply_plan`."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self.__dict__["_plain"] = model
        super().__init__()
        del self.__dict__["training"]
        self.__dict__.update({name: model.__dict__[name] for name in _SHARED})
        self._plan, self._plain_views, self._warned_of_size = plan, 0, False
        self._chain: PlannedChain | None = PlannedChain(model, plan)
        _warn_of_a_larger_model(model, plan)

    @_disable_dynamo
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self._plain_views or not torch.is_grad_enabled():
            return self._plain(*args, **kwargs)
        if self._chain is None:  # a copy, or read from a file
            self._chain = PlannedChain(self._plain, self._plan)
        works = self._chain.works()

        def run(index: int, x: Tensor) -> Tensor:
            if index == 0:
                self._check_size(x)
            return works[index](x)

        with Routing(self._chain.spans, run):
            return self._plain(*args, **kwargs)

    @property
    def plan(self) -> Plan:
        """The plan that it trains by."""
        return self._plan

    @contextmanager
    def plain_view(self) -> Iterator[None]:
        """Inside, the forward is the model's own: ordinary autograd operations on the same parameters and buffers."""
        self._plain_views += 1
        try:
            yield
        finally:
            self._plain_views -= 1

    def _check_size(self, x: Tensor) -> None:
        planned = self._plan.costs[self._plan.signatures[0]].input_bytes
        if x.nbytes > planned and not self._warned_of_size:
            self._warned_of_size = True
            warnings.warn(
                f"planned for a batch of {self._plan.batch}, fed a larger one ({x.nbytes / planned:.2f} times as large "
                "at the first planned block): it needs more memory than planned; plan for the largest batch",
                stacklevel=4,
            )

    # All else is the model's.

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_plain" not in self.__dict__:
                raise
            return getattr(self._plain, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._plain, name, value)

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *dir(self._plain)})

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_chain": None}
        state.pop("_compiled_call_impl", None)
        return state

    def extra_repr(self) -> str:
        return f"{type(self._plain).__name__}, planned: {len(self._plan.blocks)} blocks"

    def train(self, mode: bool = True) -> PlannedModel:
        self._plain.train(mode)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self._plain.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self._plain.load_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._plain._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> PlannedModel:
        self._plain._apply(*args, **kwargs)
        return self

    def _replicate_for_data_parallel(self) -> Any:
        raise PlanError("a planned model does not run under DataParallel: use DistributedDataParallel")


class PlannedChain:
    """The planned blocks of one model, with the moves that run them."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self.segments = plan.segments
        self.passes = passes_of(plan)
        named = [[(name, _module(model, name)) for name in names.split("+")] for names in plan.blocks]
        _check_segments(plan)
        self.spans = [[one for block in named[s.start : s.stop] for one in block] for s in plan.segments]
        self.blocks = [tuple(module for _, module in block) for block in named]
        if len({module for block in self.blocks for module in block}) != sum(map(len, self.blocks)):
            raise PlanError("plan: it names a module twice: make it anew with gp.plan")
        self.seen = [Fingerprint(block) for block in self.blocks]
        self.moves = [moves_of(block, self.passes) for block in self.blocks]
        self._works = [Work(segment, self.moves) for segment in self.segments]

    def works(self) -> list[Work]:
        """One for each segment. A block that has changed since the last forward is looked at anew."""
        changed = [index for index, seen in enumerate(self.seen) if not seen.still_holds()]
        for index in changed:
            self.seen[index] = Fingerprint(self.blocks[index])
            self.moves[index] = moves_of(self.blocks[index], self.passes)
        if changed:
            self._works = [Work(segment, self.moves) for segment in self.segments]
        return self._works


def passes_of(plan: Plan) -> NormPasses:
    """The norm passes that a plan was made for; torch's, which any plan can run on, where they are not to be had."""
    if plan.kernels == TorchPasses.name:
        return TorchPasses()
    return norm_passes().passes


def _module(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        near = get_close_matches(name, [known for known, _ in model.named_modules()], 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise PlanError(
            f"plan: it plans a block {name!r}, which this {type(model).__name__} has not{hint}: "
            "make the plan for this model with gp.plan"
        ) from None


def _warn_of_a_larger_model(model: nn.Module, plan: Plan) -> None:
    held, planned = sum(parameter.nbytes for parameter in model.parameters()), plan.predicted.parameters
    if planned and held > 1.05 * planned:  # a plan made by hand may not say
        warnings.warn(
            f"planned for {plan.name} with {memory(planned)} of parameters, applied to a {type(model).__name__} with "
            f"{memory(held)}: it needs more memory than planned; make the plan for this model with gp.plan",
            stacklevel=4,
        )


def _check_segments(plan: Plan) -> None:
    """Segments follow each other, play their own blocks, and take each back once. Raises PlanError."""
    at = 0
    for segment in plan.segments:
        back = sorted(block for block, mode, _ in segment.backward if mode == BACKWARD)
        if segment.start != at or back != list(range(segment.start, segment.stop)):
            raise PlanError(f"plan: its segment of blocks {segment.start} to {segment.stop - 1} is not whole")
        at = segment.stop
    if plan.segments and at != len(plan.blocks):
        raise PlanError(f"plan: it has {len(plan.blocks)} blocks and segments for {at}: make it anew with gp.plan")
