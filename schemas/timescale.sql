-- Schema `taped` of the PostgreSQL or TimescaleDB database that journals are shipped to, version 1.
--
-- The journal is the truth and this is a copy of it: each event becomes one row of one table, by its type.
--
--   Trade, Quote, Bar                      trades, quotes, bars_received
--   OrderFilled                            fills
--   every other event of an order          order_events
--   SensorsRead, ClockTicked               sensors, clock_ticks
--   all others, unknown types too          events
--
-- instruments, positions and equity are made of events beside that. Tables are plain here, so that any
-- PostgreSQL from 14 on holds them; what TimescaleDB adds (chunks, columns, bars that keep themselves up to
-- date) is told in schemas/README.md and shown by `taped sync init --print`.
--
-- Columns every table of events has:
--   journal  uuid of the journal a row came from, so that several daemons may ship into one database
--   seq      sequence number of the event in that journal; (journal, seq) is a row's identity everywhere
--   ts       time of the event, for people, chunks and time_bucket: microseconds, rounded down
--   ts_ns    the same, exact: nanoseconds since 1970 UTC
-- ts stands in the keys because TimescaleDB wants the time in every unique key; the instrument stands there
-- so that one index serves uniqueness, queries by instrument, and the search for duplicates in compressed
-- chunks. As seq alone tells both, the keys mean (journal, seq).
--
-- Prices and quantities are integers, scaled by the price_scale and quantity_scale beside them: 12.34 at
-- scale 2 is 1234. NULL in a scale: the instrument was not defined when it was traded. Of each such table
-- NAME, view NAME_decimal shows decimal numbers, symbols and words. Enumerations hold the numbers of
-- schemas/events.py. Text cannot hold the character zero here; in its place stands U+2400.

CREATE SCHEMA IF NOT EXISTS taped;

-- One row for each migration that was applied.
CREATE TABLE taped.schema_versions (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- How far each journal is shipped: rows of all its events up to seq are here.
CREATE TABLE taped.watermarks (
    journal    uuid        PRIMARY KEY,
    name       text        NOT NULL DEFAULT '',  -- of the machine, for people
    first_seq  bigint      NOT NULL DEFAULT 1,   -- the first event the journal still had when shipping began
    seq        bigint      NOT NULL DEFAULT 0,
    ts_ns      bigint,                           -- time of that event
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Events that are not here because the journal had lost them: [first_seq, next_seq).
CREATE TABLE taped.gaps (
    journal   uuid   NOT NULL,
    first_seq bigint NOT NULL,
    next_seq  bigint NOT NULL,
    reason    text   NOT NULL,
    PRIMARY KEY (journal, first_seq)
);

-- Each instrument as it was defined last; all its definitions are in events.
CREATE TABLE taped.instruments (
    journal        uuid     NOT NULL,
    instrument_id  integer  NOT NULL,
    symbol         text     NOT NULL,
    venue          text     NOT NULL,
    asset_class    smallint NOT NULL,
    base_currency  text     NOT NULL,
    quote_currency text     NOT NULL,
    price_scale    smallint NOT NULL,
    quantity_scale smallint NOT NULL,
    tick_size      bigint   NOT NULL,
    lot_size       bigint   NOT NULL,
    multiplier     bigint   NOT NULL,
    session_zone   text     NOT NULL,
    defined_seq    bigint   NOT NULL,
    defined_ns     bigint   NOT NULL,
    PRIMARY KEY (journal, instrument_id)
);

-- Market data -------------------------------------------------------------------------------------

CREATE TABLE taped.trades (
    journal        uuid        NOT NULL,
    seq            bigint      NOT NULL,
    ts             timestamptz NOT NULL,
    ts_ns          bigint      NOT NULL,
    received_ns    bigint      NOT NULL,
    price          bigint      NOT NULL,
    quantity       bigint      NOT NULL,
    conditions     bigint      NOT NULL,
    instrument_id  integer     NOT NULL,
    aggressor      smallint    NOT NULL,  -- -1 sell, 0 not told, 1 buy
    price_scale    smallint,
    quantity_scale smallint,
    trade_id       text,                  -- the venue's; a number as its digits
    exchange       text        NOT NULL,
    PRIMARY KEY (journal, instrument_id, ts, seq)
);

CREATE TABLE taped.quotes (
    journal        uuid        NOT NULL,
    seq            bigint      NOT NULL,
    ts             timestamptz NOT NULL,
    ts_ns          bigint      NOT NULL,
    received_ns    bigint      NOT NULL,
    bid_price      bigint,                -- NULL: the quote did not tell this side
    bid_quantity   bigint,
    ask_price      bigint,
    ask_quantity   bigint,
    conditions     bigint      NOT NULL,
    instrument_id  integer     NOT NULL,
    price_scale    smallint,
    quantity_scale smallint,
    exchange       text        NOT NULL,
    PRIMARY KEY (journal, instrument_id, ts, seq)
);

-- Finished bars that came from outside; those made of trades here are bars_1min and its like.
CREATE TABLE taped.bars_received (
    journal        uuid        NOT NULL,
    seq            bigint      NOT NULL,
    ts             timestamptz NOT NULL,  -- its end
    ts_ns          bigint      NOT NULL,
    received_ns    bigint      NOT NULL,
    interval_ns    bigint      NOT NULL,
    open           bigint      NOT NULL,
    high           bigint      NOT NULL,
    low            bigint      NOT NULL,
    close          bigint      NOT NULL,
    volume         bigint,
    instrument_id  integer     NOT NULL,
    side           smallint    NOT NULL,  -- 0 trade, 1 bid, 2 ask, 3 mid
    price_scale    smallint,
    quantity_scale smallint,
    PRIMARY KEY (journal, instrument_id, ts, seq)
);

-- Trading -----------------------------------------------------------------------------------------

-- What happened to orders, but for their fills. What an event does not tell is NULL; body holds all of its
-- fields by name.
CREATE TABLE taped.order_events (
    journal         uuid        NOT NULL,
    seq             bigint      NOT NULL,
    ts              timestamptz NOT NULL,
    ts_ns           bigint      NOT NULL,
    order_id        bigint      NOT NULL,  -- seq of its OrderRequested; 0 where no order is concerned
    quantity        bigint,
    price           bigint,
    stop_price      bigint,
    type_id         smallint    NOT NULL,
    instrument_id   integer,               -- told by OrderRequested and ReconciliationFound
    price_scale     smallint,
    quantity_scale  smallint,
    side            smallint,
    order_type      smallint,
    time_in_force   smallint,
    name            text        NOT NULL,  -- OrderRequested, OrderDenied, ...
    source          text,
    strategy_id     text,
    client_id       text,
    client_order_id text,
    venue           text,
    venue_order_id  text,
    rule            text,
    reason          text,
    body            jsonb       NOT NULL,
    PRIMARY KEY (journal, ts, seq)
);
CREATE INDEX order_events_of_order ON taped.order_events (journal, order_id);

CREATE TABLE taped.fills (
    journal        uuid        NOT NULL,
    seq            bigint      NOT NULL,
    ts             timestamptz NOT NULL,
    ts_ns          bigint      NOT NULL,
    received_ns    bigint      NOT NULL,
    order_id       bigint      NOT NULL,
    price          bigint      NOT NULL,
    quantity       bigint      NOT NULL,
    fee            bigint      NOT NULL,  -- divided by 10^fee_scale, in fee_currency
    instrument_id  integer     NOT NULL,
    side           smallint    NOT NULL,
    price_scale    smallint,
    quantity_scale smallint,
    fee_scale      smallint    NOT NULL,
    liquidity      smallint    NOT NULL,  -- 1 maker, 2 taker
    fee_currency   text        NOT NULL,
    venue_trade_id text        NOT NULL,
    PRIMARY KEY (journal, instrument_id, ts, seq)
);
CREATE INDEX fills_of_order ON taped.fills (journal, order_id);

-- A position after the event seq, in units of the instrument and of its quote currency.
CREATE TABLE taped.positions (
    journal         uuid        NOT NULL,
    seq             bigint      NOT NULL,
    ts              timestamptz NOT NULL,
    ts_ns           bigint      NOT NULL,
    instrument_id   integer     NOT NULL,
    quantity        numeric     NOT NULL,  -- negative: short
    cost_basis      numeric     NOT NULL,  -- what the open quantity cost on average, negative when short
    realised        numeric     NOT NULL,  -- profit at average cost, before fees
    cost_basis_fifo numeric     NOT NULL,  -- the same two by lots, first in first out
    realised_fifo   numeric     NOT NULL,
    PRIMARY KEY (journal, instrument_id, ts, seq)
);

-- Cash and marked positions of one currency after the event seq.
CREATE TABLE taped.equity (
    journal      uuid        NOT NULL,
    seq          bigint      NOT NULL,
    ts           timestamptz NOT NULL,
    ts_ns        bigint      NOT NULL,
    currency     text        NOT NULL,
    cash         numeric     NOT NULL,
    market_value numeric     NOT NULL,
    equity       numeric     NOT NULL,
    gross        numeric     NOT NULL,  -- value of all positions without signs; market_value is the net
    initial      numeric     NOT NULL,  -- margin that opening the positions needs
    maintenance  numeric     NOT NULL,  -- and that keeping them needs
    PRIMARY KEY (journal, currency, ts, seq)
);

-- System ------------------------------------------------------------------------------------------

CREATE TABLE taped.sensors (
    journal  uuid        NOT NULL,
    seq      bigint      NOT NULL,
    ts       timestamptz NOT NULL,
    ts_ns    bigint      NOT NULL,
    readings jsonb       NOT NULL,  -- by sensor name; null where a sensor could not be read
    PRIMARY KEY (journal, ts, seq)
);

CREATE TABLE taped.clock_ticks (
    journal      uuid        NOT NULL,
    seq          bigint      NOT NULL,
    ts           timestamptz NOT NULL,
    ts_ns        bigint      NOT NULL,
    synchronized boolean     NOT NULL,
    PRIMARY KEY (journal, ts, seq)
);

CREATE TABLE taped.events (
    journal       uuid        NOT NULL,
    seq           bigint      NOT NULL,
    ts            timestamptz NOT NULL,
    ts_ns         bigint      NOT NULL,
    type_id       integer     NOT NULL,
    instrument_id integer,
    name          text        NOT NULL,  -- Unknown, where this taped does not know the type
    body          jsonb       NOT NULL,  -- its fields by name; an array of values where it is not known
    PRIMARY KEY (journal, ts, seq)
);
CREATE INDEX events_of_type ON taped.events (journal, type_id, ts);

-- A range of sequence numbers is found without reading the table: rows arrive in the order of seq, and these
-- indexes hold no more than the least and greatest of each stretch of pages.
CREATE INDEX trades_by_seq ON taped.trades USING brin (seq);
CREATE INDEX quotes_by_seq ON taped.quotes USING brin (seq);
CREATE INDEX bars_received_by_seq ON taped.bars_received USING brin (seq);
CREATE INDEX order_events_by_seq ON taped.order_events USING brin (seq);
CREATE INDEX fills_by_seq ON taped.fills USING brin (seq);
CREATE INDEX sensors_by_seq ON taped.sensors USING brin (seq);
CREATE INDEX clock_ticks_by_seq ON taped.clock_ticks USING brin (seq);
CREATE INDEX events_by_seq ON taped.events USING brin (seq);

-- Decimal numbers, for people ---------------------------------------------------------------------

-- Exact: a product keeps all decimals, a quotient by a power of ten would keep 16 digits.
CREATE FUNCTION taped.unscaled(value numeric, scale integer) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT trim_scale(value * ('1e-' || scale)::numeric) $$;

CREATE FUNCTION taped.side_name(side integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT CASE side WHEN 1 THEN 'buy' WHEN -1 THEN 'sell' END $$;

CREATE VIEW taped.trades_decimal AS
SELECT t.ts, i.symbol, i.venue,
       taped.unscaled(t.price, t.price_scale) AS price,
       taped.unscaled(t.quantity, t.quantity_scale) AS quantity,
       taped.side_name(t.aggressor) AS aggressor,
       t.trade_id, t.exchange, t.conditions, t.instrument_id, t.journal, t.seq, t.ts_ns, t.received_ns
FROM taped.trades t LEFT JOIN taped.instruments i USING (journal, instrument_id);

CREATE VIEW taped.quotes_decimal AS
SELECT q.ts, i.symbol, i.venue,
       taped.unscaled(q.bid_price, q.price_scale) AS bid_price,
       taped.unscaled(q.bid_quantity, q.quantity_scale) AS bid_quantity,
       taped.unscaled(q.ask_price, q.price_scale) AS ask_price,
       taped.unscaled(q.ask_quantity, q.quantity_scale) AS ask_quantity,
       q.exchange, q.conditions, q.instrument_id, q.journal, q.seq, q.ts_ns, q.received_ns
FROM taped.quotes q LEFT JOIN taped.instruments i USING (journal, instrument_id);

CREATE VIEW taped.bars_received_decimal AS
SELECT b.ts - make_interval(secs => b.interval_ns / 1e9) AS start, b.ts, i.symbol, i.venue,
       CASE b.side WHEN 0 THEN 'trade' WHEN 1 THEN 'bid' WHEN 2 THEN 'ask' WHEN 3 THEN 'mid' END AS side,
       taped.unscaled(b.open, b.price_scale) AS open,
       taped.unscaled(b.high, b.price_scale) AS high,
       taped.unscaled(b.low, b.price_scale) AS low,
       taped.unscaled(b.close, b.price_scale) AS close,
       taped.unscaled(b.volume, b.quantity_scale) AS volume,
       b.interval_ns, b.instrument_id, b.journal, b.seq, b.ts_ns, b.received_ns
FROM taped.bars_received b LEFT JOIN taped.instruments i USING (journal, instrument_id);

CREATE VIEW taped.fills_decimal AS
SELECT f.ts, i.symbol, i.venue, taped.side_name(f.side) AS side,
       taped.unscaled(f.price, f.price_scale) AS price,
       taped.unscaled(f.quantity, f.quantity_scale) AS quantity,
       taped.unscaled(f.fee, f.fee_scale) AS fee, f.fee_currency,
       CASE f.liquidity WHEN 1 THEN 'maker' WHEN 2 THEN 'taker' END AS liquidity,
       f.order_id, f.venue_trade_id, f.instrument_id, f.journal, f.seq, f.ts_ns, f.received_ns
FROM taped.fills f LEFT JOIN taped.instruments i USING (journal, instrument_id);

-- Each order as it was asked for, what of it was filled, and what was heard of it last.
CREATE VIEW taped.orders_decimal AS
SELECT o.ts AS requested_at, i.symbol, i.venue, taped.side_name(o.side) AS side,
       CASE o.order_type WHEN 1 THEN 'market' WHEN 2 THEN 'limit' WHEN 3 THEN 'stop'
                         WHEN 4 THEN 'stop_limit' WHEN 5 THEN 'trailing_stop' END AS order_type,
       taped.unscaled(o.quantity, o.quantity_scale) AS quantity,
       taped.unscaled(o.price, o.price_scale) AS price,
       taped.unscaled(o.stop_price, o.price_scale) AS stop_price,
       coalesce(filled.quantity, 0) AS filled_quantity,
       filled.average_price,
       latest.name AS last_event, latest.ts AS last_event_at, latest.rule, latest.reason,
       o.source, o.strategy_id, o.client_id, o.order_id, o.instrument_id, o.journal
FROM taped.order_events o
LEFT JOIN taped.instruments i USING (journal, instrument_id)
LEFT JOIN LATERAL (
    SELECT taped.unscaled(sum(f.quantity), min(f.quantity_scale)) AS quantity,
           sum(taped.unscaled(f.price, f.price_scale) * f.quantity) / nullif(sum(f.quantity), 0)
               AS average_price,
           max(f.seq) AS seq, max(f.ts) AS ts
    FROM taped.fills f WHERE f.journal = o.journal AND f.order_id = o.order_id
) filled ON true
LEFT JOIN LATERAL (
    SELECT e.seq, e.ts, e.name, e.rule, e.reason
    FROM taped.order_events e WHERE e.journal = o.journal AND e.order_id = o.order_id
    UNION ALL
    SELECT filled.seq, filled.ts, 'OrderFilled', NULL, NULL WHERE filled.seq IS NOT NULL
    ORDER BY seq DESC LIMIT 1
) latest ON true
WHERE o.type_id = 20;

CREATE VIEW taped.sensor_readings AS
SELECT s.ts, r.key AS sensor, (r.value #>> '{}')::double precision AS value, s.journal, s.seq
FROM taped.sensors s CROSS JOIN LATERAL jsonb_each(s.readings) r;
