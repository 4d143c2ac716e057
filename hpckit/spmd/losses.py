"""Doing collective work again when ranks are lost on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hpckit.errors import RankLost

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

T = TypeVar("T")


def in_spite_of_losses(ctx: Context, work: Callable[[], T], take_over: Callable[[], None] | None = None) -> T:
    """What `work` returns, done once by all ranks of the end: again from its start after each loss. Collective.

    `take_over` is called by all survivors before they start again. Without survival it is just `work()`.
    """
    while True:
        try:
            made = work()
            ctx.settle()  # all ranks have it, or none takes it for done
            return made
        except RankLost:
            _recover(ctx, take_over)


def _recover(ctx: Context, take_over: Callable[[], None] | None) -> None:
    while True:
        try:
            loss = ctx.recover()
            if ctx.is_root:
                print(f"hpckit: {loss}", file=sys.stderr, flush=True)
            if take_over is not None:
                take_over()
            return
        except RankLost:
            continue
