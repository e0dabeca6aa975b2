"""Read attention rows while a model runs with its own fast kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from headatlas.errors import HeadAtlasError
from headatlas.heads.address import TEXT_TOWERS, Heads, HeadSet, Tower
from headatlas.heads.attention.agree import Comparisons
from headatlas.heads.attention.call import AttentionCall, Masks
from headatlas.heads.attention.sites import WindowWatch, first_key, observed, places
from headatlas.heads.grid import HeadGrid, Site
from headatlas.heads.scope import Window
from headatlas.printing import brief


@dataclass(frozen=True, eq=False)
class AttentionRows:
    """Attention rows of one call of one layer.

    Attributes:
        site: the layer.
        heads: the n heads, by number within the layer.
        weights: a[l,h](q, .), `[B, n, Q, K]`, float32. A row sums to 1, or, where the family has a sink, to 1 less its share.
        at: the query positions in the full sequence, cached tokens included, `[B, Q]`.
        real: False where a row of the batch has fewer query positions and is filled up, `[B, Q]`.
        first_key: the sequence position of key 0; above 0 where a sliding cache has dropped the oldest keys.
    """

    site: Site
    heads: tuple[int, ...]
    weights: Float[Tensor, "B n Q K"]
    at: Int[Tensor, "B Q"]
    real: Bool[Tensor, "B Q"]
    first_key: int

    __repr__ = brief

    @property
    def sink(self) -> Float[Tensor, "B n Q"]:
        """The share of the sink: 1 minus the sum of the weights."""
        return 1 - self.weights.sum(-1)


class AttentionReader:
    """Context manager that computes chosen attention rows beside the model's own kernel on each forward.

    ```python
    with AttentionReader(model, grid, HeadSet.parse("L4.H2 L5.H0"), queries=batch.predict_mask()) as reader:
        model(**inputs)
    reader.rows[4].weights  # [B, 1, Q, K]
    ```

    The kernel, its masks and its output are unchanged; the requested rows are computed in float32 from the kernel's inputs.
    Opened within edits of attention, the reader reads the edited rows. In every call a . V is compared with the kernel's
    output, so that an unknown addition to a family's attention gives an error and not a wrong number. The comparisons are
    read at the end of the forward, all together, so that the host waits for the device once and not at every layer; what
    `on_rows` has taken before that is not checked yet.

    `rows[layer]` are the rows of the last call of a layer, `calls[layer]` of every call since the last forward of the language
    model (towers that attend window by window call several times). With `on_rows(rows)` every call is handed over and nothing
    is kept.

    Args:
        model: the model that `grid` was found in.
        grid: its heads.
        heads: which heads, all of one tower; by default every head of the language model.
        queries: bool `[B, T]` over the full sequence of the batch, padding included: where rows are wanted. None: everywhere,
            which is `T x T` numbers per head. Tokens that `generate` decodes after it are always read. May be set again as
            `reader.queries` before each batch. Vision towers, text encoders and connectors are read everywhere.
        on_rows: see above.

    Raises:
        HeadAtlasError: heads of several towers or that the model lacks; in the forward, attention that does not go through
            transformers' interface; at its end, attention whose rows are not finite or do not give the kernel's output.
    """

    def __init__(
        self,
        model: nn.Module,
        grid: HeadGrid,
        heads: Heads | None = None,
        queries: Bool[Tensor, "B T"] | None = None,
        on_rows: Callable[[AttentionRows], object] | None = None,
    ) -> None:
        chosen = grid.heads("L") if heads is None else HeadSet(heads)
        if len(chosen.towers()) != 1:
            raise HeadAtlasError(f"attention is read in one tower at a time, got heads of {chosen.towers() or 'none'}")
        grid.check(chosen)
        self.tower: Tower = chosen.towers()[0]
        if queries is not None and self.tower not in TEXT_TOWERS:
            raise HeadAtlasError(f"query positions are the text's, got heads of tower {self.tower}; leave queries out")
        self.queries = queries
        self._calls: dict[int, list[AttentionRows]] = {}
        self._comparisons, self._masks = Comparisons(), Masks()
        self._places: dict[tuple[torch.device, int, int, bool], tuple[Tensor, Tensor]] = {}
        """Where rows are wanted in the current forward, and which places are real, by device, size of the call and whether it
        runs in inference mode."""
        self._model, self._grid, self._on_rows = model, grid, on_rows
        self._heads: dict[Site, list[int]] = {}
        for head in chosen.sorted():
            self._heads.setdefault(grid.site(head), []).append(head.head)
        self._watch = WindowWatch()
        self._window: Window | None = None
        self._open: ExitStack | None = None

    @property
    def calls(self) -> dict[int, list[AttentionRows]]:
        """The rows of every call since the last forward of the language model, by layer."""
        self._comparisons.require()
        return self._calls

    @property
    def rows(self) -> dict[int, AttentionRows]:
        """The rows of the last call, by layer."""
        return {layer: calls[-1] for layer, calls in self.calls.items()}

    def __enter__(self) -> AttentionReader:
        if self._open is not None:
            raise HeadAtlasError("this AttentionReader is already open; make a second one")
        self._forget()
        stack = ExitStack()
        if self._grid.language is not None:
            stack.enter_context(self._watch.on(self._grid.language))
            end = self._grid.language.register_forward_hook(lambda module, args, output: self._comparisons.require())
            stack.callback(end.remove)
        stack.enter_context(observed(self._model, list(self._heads), self._see))
        self._open = stack
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._open is not None
        self._open.close()
        self._open = None
        self._masks.clear()
        self._places.clear()
        if error is None:
            self._comparisons.require()

    def _forget(self) -> None:
        """Drop what belongs to the forward before."""
        self._calls.clear()
        self._comparisons.clear()
        self._masks.clear()
        self._places.clear()

    def _see(self, site: Site, call: AttentionCall) -> None:
        window = self._watch.window
        if window is not self._window:  # the first call since the language model was last run
            self._window = window
            self._comparisons.require()
            self._forget()
        at, real = self._placed(site, call, window)
        heads = self._heads[site]
        weights = call.weights(heads, at, self._masks)
        if at.shape[1]:
            must_agree = None if self.queries is None else real
            self._comparisons.add(call.kernel, *call.largest(weights, heads, at, self._masks, must_agree))
        past = window.past if window is not None and self.tower in TEXT_TOWERS else 0
        start = first_key(call, window) if self.tower == "L" else 0
        rows = AttentionRows(site, tuple(heads), weights, at + past if past else at, real, start)
        if self._on_rows is None:
            self._calls.setdefault(site.layer, []).append(rows)
        else:
            self._on_rows(rows)

    def _placed(self, site: Site, call: AttentionCall, window: Window | None) -> tuple[Tensor, Tensor]:
        """The call's own query positions at which rows are wanted, and which of them are real, both [B, Q]."""
        device, n_rows = call.query.device, call.query.shape[0]
        key = device, n_rows, call.length, torch.is_inference_mode_enabled()
        if key not in self._places:
            if self.queries is None:
                at = torch.arange(call.length, device=device).expand(n_rows, -1)
                self._places[key] = at, torch.ones_like(at, dtype=torch.bool)
            else:
                at, real = places(self._wanted(site, call, self.queries, window))
                self._places[key] = at.to(device), real.to(device)
        return self._places[key]

    def _wanted(self, site: Site, call: AttentionCall, queries: Tensor, window: Window | None) -> Tensor:
        """Where rows are wanted among the call's own query positions."""
        if window is None or window.length != call.length:
            raise HeadAtlasError(
                f"query positions cannot be placed: {site.owner} asks with {call.length} positions, the language model's own "
                f"forward saw {window.length if window else 'none'}; call the model itself, or leave queries out"
            )
        rows, total = queries.shape
        end = window.past + window.length
        if rows != call.query.shape[0] or (window.past == 0 and end != total):
            raise HeadAtlasError(
                f"queries must be [B, T] = [{call.query.shape[0]}, {end}] of this batch, got {list(queries.shape)}"
            )
        now = queries[:, window.past : end]
        if now.shape[1] < window.length:  # decoded after the mask's end
            more = torch.ones(rows, window.length - now.shape[1], dtype=torch.bool, device=now.device)
            now = torch.cat([now, more], 1)
        return now
