"""A private view of a model: modules of its own that share the weights, so that nothing done to it is seen by others.

Threads may use one model at once: what explains puts its hooks, its evaluation mode and its padding token on a view
that is made for one call. Making one copies no weight; for BERT-base it takes a few milliseconds.
"""

import dis
import functools
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, cast
from weakref import ref

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from narrows.errors import ModelError
from narrows.models.cut.blocks import Module, identify, text_config, unwrapped

NO_TOKEN = -1  # as padding token: no token of a text is mistaken for it, so that each row is read at its last position
_ORIGIN = "_narrows_origin"
_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, type, torch.Size))


def origin(model: Module) -> Module:
    """Return the model that a view was made of, the model itself if it is none: what is known of it is kept there."""
    known = model.__dict__.get(_ORIGIN)
    found = model if known is None else known()
    return model if found is None else found


def weights_state(model: PreTrainedModel) -> tuple[Any, ...]:
    """Give what changes when weights, dtype or device do: to know whether what was found of a model still holds."""
    weights = list(origin(model).parameters())
    if any(weight.is_inference() for weight in weights):  # they count no changes
        return model.dtype, model.device, *identify(model).probe.tolist()
    return model.dtype, model.device, sum(weight._version for weight in weights)


def is_view(model: nn.Module) -> bool:
    """Tell whether a model is a private view."""
    return _ORIGIN in model.__dict__


def borrowed(model: PreTrainedModel) -> PreTrainedModel:
    """Make a private view of a model: in evaluation mode, frozen, with a padding token; of a view, itself."""
    if is_view(model):
        return model
    model = unwrapped(model)
    with torch.inference_mode(False), torch.no_grad():
        copier = _Copier()
        view = copier.module(model)
        copier.rebind()
    view.__dict__[_ORIGIN] = ref(model)
    config = text_config(view)
    if getattr(config, "pad_token_id", None) is None:  # decoders refuse several texts, but read their last token
        config.pad_token_id = NO_TOKEN
    return view


class _Copier:
    """Copies the modules of a tree, and whatever leads from one to another; `known` maps ids to the copies."""

    def __init__(self) -> None:
        self.known: dict[int, Any] = {}
        self.copies: list[nn.Module] = []

    def module(self, module: Module) -> Module:
        """Copy a module and those below it; a module, a weight or a configuration in two places stays one."""
        module = unwrapped(module)
        if (known := self.known.get(id(module))) is not None:
            return cast("Module", known)
        if isinstance(module, torch.jit.ScriptModule):
            if any(parameter.requires_grad for parameter in module.parameters()) or module.training:
                advice = "freeze it first, with .eval().requires_grad_(False)"
                raise ModelError(f"{type(module).__name__} is compiled by torch.jit and not frozen: {advice}")
            return module
        copy = object.__new__(type(module))
        self.known[id(module)] = copy
        own = copy.__dict__
        own.update(module.__dict__)
        own["training"] = False
        own["_compiled_call_impl"] = None  # of the module itself, by module.compile()
        for kind in ("_parameters", "_buffers"):
            own[kind] = tensors = own[kind].copy()
            for name, tensor in tensors.items():
                tensors[name] = tensor if tensor is None else self.tensor(tensor)
        own["_modules"] = modules = own["_modules"].copy()
        for name, child in modules.items():
            modules[name] = child if child is None else self.module(child)
        self.copies.append(copy)
        return copy

    def tensor(self, tensor: Tensor) -> Tensor:
        """Share a tensor as it is, or, if it would collect gradients or cannot, as another one in the same memory."""
        if not tensor.requires_grad and not tensor.is_inference():
            return tensor
        if (known := self.known.get(id(tensor))) is None:
            known = _normal(tensor) if tensor.is_inference() else tensor.detach()
            if isinstance(tensor, nn.Parameter):
                known = nn.Parameter(known, requires_grad=False)
                known.__dict__.update(tensor.__dict__)
            self.known[id(tensor)] = known
        return cast("Tensor", known)

    def rebind(self) -> None:
        """Lead everything else that the copies hold, hooks and exchanged forwards among it, to the copies."""
        for copy in self.copies:
            own = copy.__dict__
            for name, value in own.items():
                if type(value) in _PLAIN or name in ("_parameters", "_buffers", "_modules"):
                    continue
                if "hooks" in name and isinstance(value, dict):  # of its own: a hook on the copy is none elsewhere
                    own[name] = hooks = value.copy()
                    if hooks:
                        hooks.update([(key, self.value(hook)) for key, hook in value.items()])
                else:
                    own[name] = self.value(value)

    def value(self, value: Any) -> Any:
        """Return a value with all modules, weights and configurations in it exchanged, itself if there is none."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if (known := self.known.get(id(value))) is not None:
            return known
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, PretrainedConfig):
            return self.config(value)
        if kind is types.MethodType:
            parts = (self.value(value.__func__), self.value(value.__self__))
            return types.MethodType(*parts) if _differ(parts, (value.__func__, value.__self__)) else value
        if (exchange := self._EXCHANGES.get(kind)) is None:
            return value
        self.known[id(value)] = value  # it may hold itself
        self.known[id(value)] = exchanged = exchange(self, value)
        return exchanged

    def several(self, values: Any) -> Any:
        """Exchange what a list, tuple or set holds."""
        parts = [self.value(part) for part in values]
        return type(values)(parts) if _differ(parts, values) else values

    def mapping(self, values: Any) -> Any:
        """Exchange the values of a dictionary."""
        parts = [self.value(part) for part in values.values()]
        return type(values)(zip(values, parts, strict=True)) if _differ(parts, values.values()) else values

    def config(self, config: PretrainedConfig) -> PretrainedConfig:
        """Copy a configuration and those in it."""
        copy = object.__new__(type(config))
        self.known[id(config)] = copy
        copy.__dict__.update(config.__dict__)
        for name, value in config.__dict__.items():
            if isinstance(value, PretrainedConfig):
                copy.__dict__[name] = self.value(value)
        return copy

    def partial(self, partial: Any) -> Any:
        """Exchange the arguments of a `functools.partial`, as accelerate puts it on modules."""
        before = (partial.func, partial.args, partial.keywords)
        function, args, keywords = parts = [self.value(part) for part in before]
        if not _differ(parts, before):
            return partial
        copy = functools.partial(function, *args, **keywords)
        copy.__dict__.update(partial.__dict__)
        return copy

    def function(self, function: Any) -> Any:
        """Exchange what a function has from where it was made: variables around it, defaults, global modules."""
        if (compiled := getattr(function, "_torchdynamo_orig_callable", None)) is not None:
            return self.value(compiled)  # torch.compile knows only the original's modules
        cells = tuple(map(self.cell, function.__closure__ or ()))
        before = (function.__defaults__, function.__kwdefaults__)
        defaults, keywords = after = [self.value(part) for part in before]
        names = self.globals(function)
        moved = names is not function.__globals__ or _differ(after, before)
        if not moved and not _differ(cells, function.__closure__ or ()):
            return function
        copy = types.FunctionType(function.__code__, names, function.__name__, defaults, cells or None)
        copy.__kwdefaults__ = keywords
        copy.__dict__.update(function.__dict__)
        return copy

    def cell(self, cell: types.CellType) -> types.CellType:
        """Exchange the content of a variable of an enclosing function; others stay shared, so writing is seen."""
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            return cell
        exchanged = self.value(content)
        return cell if exchanged is content else types.CellType(exchanged)

    def globals(self, function: Any) -> dict[str, Any]:
        """Exchange global variables that a function reads, as in a notebook; one that writes some keeps them all."""
        names: dict[str, Any] = function.__globals__
        kinds = (nn.Module, types.MethodType, functools.partial)
        codes = list(_codes(function.__code__))
        read = {name: names[name] for code in codes for name in code.co_names if isinstance(names.get(name), kinds)}
        exchanged = {name: self.value(value) for name, value in read.items()}
        if not _differ(exchanged.values(), read.values()) or any(map(_writes_globals, codes)):
            return names
        return {**names, **exchanged}

    _EXCHANGES: ClassVar[Mapping[type, Callable[["_Copier", Any], Any]]] = {
        **dict.fromkeys((list, tuple, set, frozenset), several),
        **dict.fromkeys((dict, OrderedDict), mapping),
        functools.partial: partial,
        types.FunctionType: function,
    }


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the code of a function and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _writes_globals(code: types.CodeType) -> bool:
    return any(step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") for step in dis.get_instructions(code))


def _differ(new: Any, old: Any) -> bool:
    return any(one is not other for one, other in zip(new, old, strict=True))


def _normal(tensor: Tensor) -> Tensor:
    """Make an ordinary tensor in the memory of one made under `torch.inference_mode`, which autograd refuses."""
    if type(tensor.data) is not Tensor or tensor.layout is not torch.strided:
        return tensor.clone()
    place = (tensor.storage_offset(), tensor.size(), tensor.stride())
    return torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage(), *place)
