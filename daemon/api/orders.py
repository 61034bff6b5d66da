"""Orders over HTTP: strict requests in, durable events behind, the same client id gives the same order."""

from __future__ import annotations

import time
from typing import Any

from msgspec import structs

from daemon.api import views
from daemon.api.access import Identity
from daemon.api.order_request import OCO, ORDER, REPLACE, OrderRequest, children
from daemon.api.order_terms import scaled_replacement, scaled_terms
from daemon.api.ports import Engine
from daemon.api.problems import Problem, unavailable
from daemon.api.reads import Reads
from daemon.engine import EngineStoppedError
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.reader import Batch
from daemon.trading.answers import REFUSED
from daemon.trading.orders import Order, OrderStatus
from schemas.events import (
    CancelRequested,
    Event,
    InstrumentDefined,
    NotificationQueued,
    OrderDenied,
    OrderHeld,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    ReplaceDenied,
    ReplaceRequested,
    Side,
    TimeInForce,
)

_SAME = (
    "instrument_id",
    "side",
    "order_type",
    "quantity",
    "price",
    "stop_price",
    "trail_amount",
    "trail_ppm",
    "time_in_force",
    "expire_ns",
    "post_only",
    "reduce_only",
    "tag",
)


class Orders:
    """Submits and cancels; whatever is refused before the core sees it leaves no trace in the journal."""

    def __init__(self, engine: Engine, reads: Reads) -> None:
        self._engine = engine
        self._reads = reads

    async def submit(self, body: bytes, identity: Identity) -> tuple[int, dict[str, Any]]:
        """Place an order; return the HTTP status and the order once it is durable.

        201 for a new order, 200 for one this client id placed before, 422 when a rule denied it (the
        order is recorded all the same, and the same client id will get the same answer).

        Raises:
            Problem: the request is malformed or clashes with a former one, or the daemon takes none.
        """
        self._refuse_when_down()
        asked = ORDER.parse(body)
        request = self._to_event(asked, identity)
        # No await between this look-up and the core's: of two posts at once the second finds the first.
        if request.client_id is not None:
            former = await self._former(request, self._children(asked, identity))
            if former is not None:
                return (422 if former["status"] == "denied" else 200), {
                    **former,
                    "children": self._reads.children(former["order_id"]),
                }
        batch = await self._execute([request, *self._children(asked, identity)])
        first, *others = self._documents(batch)
        first["children"] = others
        return (422 if first["status"] == "denied" else 201), first

    async def submit_group(self, body: bytes, identity: Identity) -> tuple[int, dict[str, Any]]:
        """Place orders of one OCO group: what one of them fills, the others no longer have to.

        Returns as `submit`, with all orders; 422 when a rule denied the first, and so all of them.

        Raises:
            Problem: as `submit`; a group has no client ids and no children.
        """
        self._refuse_when_down()
        asked = OCO.parse(body).orders
        for each in asked:
            if each.client_id is not None or each.take_profit is not None or each.stop_loss is not None:
                detail = "orders of a group have no client_id, take_profit or stop_loss"
                raise Problem(422, detail, code="invalid-order", extra={"field": "orders"})
        group = self._engine.core.next_seq
        requests: list[Event] = [
            structs.replace(self._to_event(each, identity), oco_group=group) for each in asked
        ]
        documents = self._documents(await self._execute(requests))
        denied = documents[0]["status"] == "denied"
        return (422 if denied else 201), {"oco_group": group, "orders": documents}

    def _children(self, asked: OrderRequest, identity: Identity) -> list[OrderRequested]:
        """Return the orders that close what the next order opens, to be taken right behind it."""
        parent_id = self._engine.core.next_seq
        events = [self._to_event(child, identity) for child in children(asked)]
        group = parent_id if len(events) > 1 else None
        return [structs.replace(event, parent_id=parent_id, oco_group=group) for event in events]

    def _documents(self, batch: Batch) -> list[dict[str, Any]]:
        """Return the orders that a batch requests, each with its verdict."""
        verdicts = {
            event.order_id: event
            for event in batch.events
            if isinstance(event, OrderDenied | OrderHeld | OrderSubmitted)
        }
        numbered = enumerate(batch.events, batch.first_seq)
        return [
            self._record(seq, event, verdicts.get(seq))
            for seq, event in numbered
            if isinstance(event, OrderRequested)
        ]

    async def cancel(self, order_id: int, identity: Identity) -> dict[str, Any]:
        """Ask for an order's end; returns once the wish is durable, before the venue has answered.

        Raises:
            Problem: no such order, it is over already, or the daemon takes no commands.
        """
        self._refuse_when_down()
        self._working(order_id)
        source = f"operator:{identity.name}"
        await self._execute([CancelRequested(ts_ns=time.time_ns(), order_id=order_id, source=source)])
        return {"order_id": order_id, "status": "pending_cancel"}

    async def replace(self, order_id: int, body: bytes, identity: Identity) -> tuple[int, dict[str, Any]]:
        """Ask for other terms of an order; return once the wish is durable.

        202 when it is on its way to the venue, whose answer follows; 422 when a rule denied it: then the
        order goes on as before, and `rule` and `reason` say why.

        Raises:
            Problem: no such order, it is over or cannot be changed now, or the request is malformed.
        """
        self._refuse_when_down()
        asked = REPLACE.parse(body)
        order = self._working(order_id)
        defined = self._engine.core.instruments[order.request.instrument_id]
        terms = scaled_replacement(asked, defined)
        wish = ReplaceRequested(
            ts_ns=time.time_ns(),
            order_id=order_id,
            quantity=terms.quantity,
            price=terms.price,
            stop_price=terms.stop_price,
            source=f"operator:{identity.name}",
        )
        batch = await self._execute([wish])
        for event in batch.events:
            if isinstance(event, NotificationQueued) and event.subject == REFUSED:
                raise Problem(409, event.body, code="refused")
            if isinstance(event, ReplaceDenied) and event.order_id == order_id:
                return 422, {
                    "order_id": order_id, "status": "denied", "rule": event.rule, "reason": event.reason
                }  # fmt: skip
        return 202, {"order_id": order_id, "status": "pending_replace", "rule": None, "reason": None}

    def _working(self, order_id: int) -> Order:
        """Return an order that is not over.

        Raises:
            Problem: 404 or 409.
        """
        order = self._engine.core.orders.get(order_id)
        if order is None and self._reads.order(order_id) is None:
            raise Problem(404, f"there is no order {order_id}", code="no-such-order")
        if order is None or order.status.is_terminal:
            raise Problem(409, f"order {order_id} is over", code="order-over")
        return order

    async def find(self, order_id: int) -> dict[str, Any] | None:
        """Return an order; one that is durable but not projected yet is told from the core."""
        document = self._reads.order(order_id)
        if document is not None or order_id > self._engine.durable_seq:
            return document
        order = self._engine.core.orders.get(order_id)
        return None if order is None else self._from_core(order)

    async def _former(self, request: OrderRequested, children: list[OrderRequested]) -> dict[str, Any] | None:
        assert request.client_id is not None
        order = self._engine.core.order_by_client_id(request.client_id)
        document = None
        if order is not None:
            same = _is_same(order.request, request) and self._has_children(order.order_id, children)
        else:
            # The core keeps the last 50,000 closed orders; older ones are compared as they were asked for.
            former = self._reads.request_of_client_id(request.client_id)
            if former is None:
                return None
            document = self._reads.order_by_client_id(request.client_id)
            same = all(former[name] == getattr(request, name) for name in _SAME)
        if not same:
            raise Problem(
                409,
                f"client id {request.client_id} was used for another order",
                code="client-id-reused",
                extra={"order_id": order.order_id if order else document["order_id"] if document else None},
            )
        if order is None:
            return document
        # A decision stands right behind its request, so both are durable with the number after it.
        await self._durable(min(order.order_id + 1, self._engine.next_seq - 1))
        return self._reads.order(order.order_id) or self._from_core(order)

    def _has_children(self, order_id: int, wanted: list[OrderRequested]) -> bool:
        """Return whether an order was placed with these children, which stand right behind it."""
        orders = self._engine.core.orders
        behind = (orders.get(seq) for seq in range(order_id + 1, order_id + _EVENTS_OF_A_BRACKET))
        placed = [each.request for each in behind if each is not None and each.request.parent_id == order_id]
        return len(placed) == len(wanted) and all(map(_is_same, placed, wanted))

    def _from_core(self, order: Order) -> dict[str, Any]:
        decision: Event | None = None
        if order.status is OrderStatus.DENIED:
            decision = OrderDenied(
                ts_ns=order.updated_ns, order_id=order.order_id, rule=order.rule, reason=order.reason
            )
        elif order.status is not OrderStatus.REQUESTED:
            decision = OrderSubmitted(
                ts_ns=order.request.ts_ns,
                order_id=order.order_id,
                client_order_id=order.client_order_id,
                venue=order.venue,
            )
        return self._record(order.order_id, order.request, decision)

    def _record(self, order_id: int, request: OrderRequested, decision: Event | None) -> dict[str, Any]:
        core = self._engine.core
        row = _row(order_id, request, decision)
        return views.order(row, core.instruments.get(request.instrument_id), venue=core.venue)

    def _refuse_when_down(self) -> None:
        if self._engine.failed is not None:
            raise unavailable("the journal stopped, no order can be made durable; see /health")
        if self._engine.stopping:
            raise unavailable("taped is stopping")

    async def _execute(self, inputs: list[Event]) -> Batch:
        try:
            return await self._engine.execute(inputs)
        except JournalPoisonedError:
            raise _not_known() from None
        except EngineStoppedError as error:
            raise unavailable(error.message) from None

    async def _durable(self, seq: int) -> None:
        try:
            await self._engine.durable(seq)
        except JournalPoisonedError:
            raise _not_known() from None

    def _to_event(self, asked: OrderRequest, identity: Identity) -> OrderRequested:
        defined = self._instrument(asked)
        terms = scaled_terms(asked, defined)
        return OrderRequested(
            ts_ns=time.time_ns(),
            instrument_id=defined.instrument_id,
            side=Side.BUY if asked.side == "buy" else Side.SELL,
            order_type=OrderType[asked.type.upper()],
            quantity=terms.quantity,
            price=terms.price,
            stop_price=terms.stop_price,
            trail_amount=terms.trail_amount,
            trail_ppm=terms.trail_ppm,
            time_in_force=TimeInForce[asked.time_in_force.upper()],
            expire_ns=asked.expire_ns,
            post_only=asked.post_only,
            reduce_only=asked.reduce_only,
            source=f"operator:{identity.name}",
            client_id=asked.client_id,
            tag=asked.tag,
        )

    def _instrument(self, asked: OrderRequest) -> InstrumentDefined:
        return find_instrument(self._engine, str(asked.instrument), asked.venue, status=422)


def find_instrument(
    engine: Engine, name: str, venue: str | None = None, *, status: int = 404
) -> InstrumentDefined:
    """Return the instrument of that id or symbol.

    Raises:
        Problem: there is none, or more than one.
    """
    instruments = engine.core.instruments
    if name.isascii() and name.isdigit() and len(name) < 20:  # noqa: PLR2004  # digits of 64 bits
        found = [each for each in (instruments.get(int(name)),) if each is not None]
    else:
        found = []
    found = found or [each for each in instruments.values() if each.symbol == name]
    found = [each for each in found if venue is None or each.venue == venue]
    if len(found) == 1:
        return found[0]
    where = f" at {venue}" if venue else ""
    if not found:
        detail = f"instrument {name}{where} is not known; see /api/v1/instruments"
        raise Problem(status, detail, code="no-such-instrument")
    venues = sorted(each.venue for each in found)
    raise Problem(
        422, f"{name} is traded at {', '.join(venues)}; say which", code="venue", extra={"venues": venues}
    )


_EVENTS_OF_A_BRACKET = 16
"""An order, at most two children and their verdicts are six events; the rest is room for what rules add."""


def _is_same(former: OrderRequested, now: OrderRequested) -> bool:
    return all(getattr(former, name) == getattr(now, name) for name in _SAME)


_VERDICTS: dict[type, str] = {OrderDenied: "denied", OrderHeld: "held", OrderSubmitted: "submitted"}


def _row(order_id: int, request: OrderRequested, decision: Event | None) -> dict[str, Any]:
    """Return the order as it stood when it was decided upon; what the venue did since is not in it."""
    denied = decision if isinstance(decision, OrderDenied) else None
    submitted = decision if isinstance(decision, OrderSubmitted) else None
    return {
        **{name: getattr(request, name) for name in request.__struct_fields__},
        "order_id": order_id,
        "client_order_id": submitted.client_order_id if submitted else None,
        "venue": submitted.venue if submitted else None,
        "status": _VERDICTS.get(type(decision), "requested"),
        "filled_quantity": 0,
        "filled_value": 0,
        "trigger_price": None,
        "rule": denied.rule if denied else None,
        "reason": denied.reason if denied else None,
        "requested_ns": request.ts_ns,
        "updated_ns": decision.ts_ns if decision else request.ts_ns,
    }


def _not_known() -> Problem:
    return unavailable(
        "the journal failed while this was written: whether it was kept shows after the restart;"
        " post it again then, with the same client_id"
    )
