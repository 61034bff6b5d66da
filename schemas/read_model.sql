-- The read model: what the journal says, as tables. Derived; `taped replay rebuild` makes it again.
--
-- Written by one connection (apsw, WAL, synchronous=NORMAL), one transaction for each group of durable
-- batches, with meta.applied_seq in the same transaction. Every row is a function of the events 1 to
-- applied_seq and of meta.keep_ticks alone, however the stream was cut into batches.
--
-- Units. *_ns: integer nanoseconds since 1970 UTC. Prices and quantities: integers scaled by the
-- instrument's price_scale and quantity_scale. Money (cost, fees, profit, cash): decimal TEXT with 18
-- places, because it outgrows 64 bits. seq: sequence number of an event in the journal.
-- Enumerations hold the numbers of schemas/events.py, except orders.status, which is a word.
--
-- Limits, applied whenever seq passes a multiple of 16,384, so that they too depend on seq alone:
--   trades, quotes, bars_received   the last meta.keep_ticks sequence numbers
--   bars of 1 s / 1 min             7 / 400 days before the instrument's latest tick
--   events                          the last 1,000,000
--   sensors                         the last 100,000
--   equity, equity_total            the last 400 days, one row a minute at most
-- Longer bars, orders, fills and imports stay.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
-- journal_id, schema_version, keep_ticks, applied_seq, applied_ns (time of that event), events_total,
-- first_currency (of the first deposit), currency (in which all is summed up: that of the setting
-- account.currency, else the first)

CREATE TABLE instruments (
    instrument_id  INTEGER PRIMARY KEY,
    symbol         TEXT NOT NULL,
    venue          TEXT NOT NULL,
    asset_class    INTEGER NOT NULL,
    base_currency  TEXT NOT NULL,
    quote_currency TEXT NOT NULL,
    price_scale    INTEGER NOT NULL,
    quantity_scale INTEGER NOT NULL,
    tick_size      INTEGER NOT NULL,
    lot_size       INTEGER NOT NULL,
    multiplier     INTEGER NOT NULL,
    session_zone   TEXT NOT NULL,
    defined_seq    INTEGER NOT NULL,
    defined_ns     INTEGER NOT NULL
) STRICT;

-- Market data -------------------------------------------------------------------------------------

CREATE TABLE trades (
    seq           INTEGER PRIMARY KEY,
    instrument_id INTEGER NOT NULL,
    ts_ns         INTEGER NOT NULL,
    received_ns   INTEGER NOT NULL,
    price         INTEGER NOT NULL,
    quantity      INTEGER NOT NULL,
    aggressor     INTEGER NOT NULL,
    trade_id      ANY,               -- the venue's: number, text, or none
    conditions    INTEGER NOT NULL,
    exchange      TEXT NOT NULL
) STRICT;
CREATE INDEX trades_of_instrument ON trades (instrument_id);

CREATE TABLE quotes (
    seq           INTEGER PRIMARY KEY,
    instrument_id INTEGER NOT NULL,
    ts_ns         INTEGER NOT NULL,
    received_ns   INTEGER NOT NULL,
    bid_price     INTEGER,           -- NULL: the quote did not tell this side
    bid_quantity  INTEGER,
    ask_price     INTEGER,
    ask_quantity  INTEGER,
    conditions    INTEGER NOT NULL,
    exchange      TEXT NOT NULL
) STRICT;
CREATE INDEX quotes_of_instrument ON quotes (instrument_id);

CREATE TABLE last_trade (
    instrument_id INTEGER PRIMARY KEY,
    seq           INTEGER NOT NULL,
    ts_ns         INTEGER NOT NULL,
    received_ns   INTEGER NOT NULL,
    price         INTEGER NOT NULL,
    quantity      INTEGER NOT NULL,
    aggressor     INTEGER NOT NULL
) STRICT;

-- The last told bid and the last told ask; seq, ts_ns and received_ns are those of the later quote.
CREATE TABLE last_quote (
    instrument_id INTEGER PRIMARY KEY,
    seq           INTEGER NOT NULL,
    ts_ns         INTEGER NOT NULL,
    received_ns   INTEGER NOT NULL,
    bid_price     INTEGER,
    bid_quantity  INTEGER,
    bid_seq       INTEGER,
    ask_price     INTEGER,
    ask_quantity  INTEGER,
    ask_seq       INTEGER
) STRICT;

-- Bars built from ticks by the venue's time: buckets [start_ns, start_ns + interval_ns) aligned to UTC;
-- open is the first to arrive, close the last. volume is 0 for bid and ask, and decimal TEXT beyond
-- 64 bits. Every trade counts, those of quantity zero too.
CREATE TABLE bars (
    instrument_id INTEGER NOT NULL,
    interval_ns   INTEGER NOT NULL,  -- 1 s, 1 min, 1 h or 1 day
    side          INTEGER NOT NULL,  -- 0 trade, 1 bid, 2 ask
    start_ns      INTEGER NOT NULL,
    open          INTEGER NOT NULL,
    high          INTEGER NOT NULL,
    low           INTEGER NOT NULL,
    close         INTEGER NOT NULL,
    volume        ANY NOT NULL,
    count         INTEGER NOT NULL,
    PRIMARY KEY (instrument_id, interval_ns, side, start_ns)
) STRICT, WITHOUT ROWID;

-- Finished bars that came from outside (event Bar); never mixed with those above.
CREATE TABLE bars_received (
    seq           INTEGER PRIMARY KEY,
    instrument_id INTEGER NOT NULL,
    interval_ns   INTEGER NOT NULL,
    side          INTEGER NOT NULL,
    start_ns      INTEGER NOT NULL,
    open          INTEGER NOT NULL,
    high          INTEGER NOT NULL,
    low           INTEGER NOT NULL,
    close         INTEGER NOT NULL,
    volume        INTEGER
) STRICT;

-- Trading -----------------------------------------------------------------------------------------

CREATE TABLE orders (
    order_id        INTEGER PRIMARY KEY, -- seq of its OrderRequested
    client_id       TEXT UNIQUE,         -- the caller's id; NULL where a former order has it already
    client_order_id TEXT,                -- the id the venue knows it by, once submitted
    venue_order_id  TEXT,
    venue           TEXT,
    instrument_id   INTEGER NOT NULL,
    strategy_id     TEXT,
    source          TEXT NOT NULL,
    tag             TEXT NOT NULL,
    side            INTEGER NOT NULL,
    order_type      INTEGER NOT NULL,
    quantity        INTEGER NOT NULL,    -- quantity and prices in force, as the venue has them
    price           INTEGER,
    stop_price      INTEGER,
    requested_quantity   INTEGER NOT NULL, -- and as they were asked for at first
    requested_price      INTEGER,
    requested_stop_price INTEGER,
    trail_amount    INTEGER,             -- in price units
    trail_ppm       INTEGER,             -- in millionths of the price
    time_in_force   INTEGER NOT NULL,
    expire_ns       INTEGER,
    post_only       INTEGER NOT NULL,
    reduce_only     INTEGER NOT NULL,
    parent_id       INTEGER,             -- the order whose fill releases this one
    oco_group       INTEGER,             -- orders of one group take each other's place
    status          TEXT NOT NULL,
    is_open         INTEGER NOT NULL,    -- 1 until a terminal status
    filled_quantity INTEGER NOT NULL,
    filled_value    TEXT NOT NULL,       -- sum of price x quantity of its fills, an integer scaled by
                                         -- price_scale + quantity_scale; divided by filled_quantity
                                         -- it is the average price
    excess_quantity ANY NOT NULL,        -- filled beyond the quantity; decimal TEXT beyond 64 bits
    trigger_price   INTEGER,             -- what reached its stop
    replacing       TEXT,                -- JSON of the ReplaceRequested that is not answered yet
    canceling       TEXT,                -- who asked for its end, until that is answered
    rule            TEXT,                -- the risk rule that denied it
    reason          TEXT,                -- why it was denied, rejected, canceled or expired
    requested_ns    INTEGER NOT NULL,
    submitted_ns    INTEGER,
    accepted_ns     INTEGER,
    closed_ns       INTEGER,
    updated_ns      INTEGER NOT NULL,
    updated_seq     INTEGER NOT NULL
) STRICT;
CREATE INDEX open_orders ON orders (order_id) WHERE is_open = 1;
CREATE INDEX orders_of_instrument ON orders (instrument_id);
CREATE INDEX orders_of_parent ON orders (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE fills (
    seq            INTEGER PRIMARY KEY,
    order_id       INTEGER NOT NULL,
    venue_trade_id TEXT NOT NULL,
    instrument_id  INTEGER NOT NULL,
    side           INTEGER NOT NULL,
    price          INTEGER NOT NULL,
    quantity       INTEGER NOT NULL,
    fee            INTEGER NOT NULL,     -- divided by 10**fee_scale, in fee_currency
    fee_scale      INTEGER NOT NULL,
    fee_currency   TEXT NOT NULL,
    liquidity      INTEGER NOT NULL,
    realised       TEXT NOT NULL,        -- profit this fill realised at average cost, before its fee, in the
                                         -- quote currency
    realised_fifo  TEXT NOT NULL,        -- the same by lots, first in first out
    strategy_id    TEXT,
    ts_ns          INTEGER NOT NULL,
    received_ns    INTEGER NOT NULL,
    UNIQUE (order_id, venue_trade_id)    -- a fill counts once
) STRICT;

CREATE TABLE positions (
    instrument_id INTEGER PRIMARY KEY,
    quantity        ANY NOT NULL,        -- negative: short; decimal TEXT beyond 64 bits
    cost_basis      TEXT NOT NULL,       -- what the open quantity cost on average, negative when short
    realised        TEXT NOT NULL,       -- profit at average cost, before fees
    cost_basis_fifo TEXT NOT NULL,       -- what the open lots cost together
    realised_fifo   TEXT NOT NULL,       -- profit by lots, first in first out, before fees
    lots_closed     INTEGER NOT NULL,    -- lots that are gone; the oldest open one bears this number
    updated_ns      INTEGER NOT NULL,
    updated_seq     INTEGER NOT NULL
) STRICT;

-- What is open of each position, by the fills that opened it: at most 1,000, then the newest takes more in.
CREATE TABLE lots (
    instrument_id INTEGER NOT NULL,
    number        INTEGER NOT NULL,      -- from 0, in order of opening; never given twice
    quantity      ANY NOT NULL,          -- as in positions
    cost          TEXT NOT NULL,         -- negative when short
    opened_ns     INTEGER NOT NULL,      -- time of the fill
    PRIMARY KEY (instrument_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    currency    TEXT PRIMARY KEY,
    cash        TEXT NOT NULL,
    deposits    TEXT NOT NULL,
    withdrawals TEXT NOT NULL,
    fees        TEXT NOT NULL,           -- paid so far; they are out of the cash already
    maker_fees  TEXT NOT NULL,           -- the part of them for fills that had rested
    updated_ns  INTEGER NOT NULL,
    updated_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Cash and marked positions of one currency, at the first clock tick of a minute and after each fill of it.
CREATE TABLE equity (
    currency     TEXT NOT NULL,
    minute_ns    INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    cash         TEXT NOT NULL,
    market_value TEXT NOT NULL,
    equity       TEXT NOT NULL,
    gross        TEXT NOT NULL,          -- value of all positions without signs; market_value is the net
    -- Margin that opening the positions needs, and that keeping them needs. Rows of a taped from before
    -- that say zero.
    initial      TEXT NOT NULL DEFAULT '0.000000000000000000',
    maintenance  TEXT NOT NULL DEFAULT '0.000000000000000000',
    PRIMARY KEY (currency, minute_ns)
) STRICT, WITHOUT ROWID;

-- The same in one currency (meta.currency), at the marks of instruments that trade one for another.
CREATE TABLE equity_total (
    minute_ns    INTEGER PRIMARY KEY,
    seq          INTEGER NOT NULL,
    currency     TEXT NOT NULL,
    market_value TEXT NOT NULL,
    equity       TEXT NOT NULL,
    gross        TEXT NOT NULL,
    initial      TEXT NOT NULL DEFAULT '0.000000000000000000',
    maintenance  TEXT NOT NULL DEFAULT '0.000000000000000000',
    unknown      TEXT NOT NULL           -- JSON array of currencies that no price leads from; they are left out
) STRICT;

CREATE TABLE strategies (
    strategy_id    TEXT PRIMARY KEY,
    kind           TEXT NOT NULL,
    parameters     TEXT NOT NULL,        -- JSON object
    instrument_ids TEXT NOT NULL,        -- JSON array
    running        INTEGER NOT NULL,
    reason         TEXT,                 -- why it stopped
    started_ns     INTEGER NOT NULL,
    stopped_ns     INTEGER,
    updated_seq    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Limits of risk by name: as the last start had them, as they were set since (NULL: not; 'null': switched off),
-- and what is in force (NULL: off). All three are JSON.
CREATE TABLE risk_limits (
    name       TEXT PRIMARY KEY,
    configured TEXT,
    changed    TEXT,
    value      TEXT
) STRICT, WITHOUT ROWID;

-- Pauses after losses that were not over when the last one was recorded; NULL stands for all.
CREATE TABLE pauses (
    seq           INTEGER PRIMARY KEY,
    instrument_id INTEGER,
    strategy_id   TEXT,
    until_ns      INTEGER NOT NULL,
    rule          TEXT NOT NULL,
    reason        TEXT NOT NULL,
    ts_ns         INTEGER NOT NULL
) STRICT;

-- Session calendars in force, of a venue or of one instrument; the lists are JSON, as in the event.
CREATE TABLE calendars (
    seq           INTEGER PRIMARY KEY,
    venue         TEXT NOT NULL,
    instrument_id INTEGER,
    zone          TEXT NOT NULL,
    opens         TEXT NOT NULL,
    closes        TEXT NOT NULL,
    holidays      TEXT NOT NULL,
    early_days    TEXT NOT NULL,
    early_closes  TEXT NOT NULL
) STRICT;

-- One row, the current state; former ones are in events.
CREATE TABLE trading_state (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    state  INTEGER NOT NULL,
    reason TEXT NOT NULL,
    source TEXT NOT NULL,
    ts_ns  INTEGER NOT NULL,
    seq    INTEGER NOT NULL
) STRICT;

-- Instruments that may not be traded as trading_state allows; one that may has no row.
CREATE TABLE instrument_states (
    instrument_id INTEGER PRIMARY KEY,
    state         INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    source        TEXT NOT NULL,
    ts_ns         INTEGER NOT NULL,
    seq           INTEGER NOT NULL
) STRICT;

-- History -----------------------------------------------------------------------------------------

-- Every event but Trade, Quote, Bar, ClockTicked and SensorsRead.
CREATE TABLE events (
    number        INTEGER PRIMARY KEY,   -- 1, 2, 3 ... without gaps, in order of seq
    seq           INTEGER NOT NULL UNIQUE,
    ts_ns         INTEGER NOT NULL,
    type_id       INTEGER NOT NULL,
    name          TEXT NOT NULL,         -- the record's name, or Unknown
    order_id      INTEGER,
    instrument_id INTEGER,
    text          TEXT NOT NULL          -- name and fields, for people and for searching
) STRICT;
CREATE INDEX events_of_order ON events (order_id) WHERE order_id IS NOT NULL;

CREATE VIRTUAL TABLE events_text USING fts5 (text, content = 'events', content_rowid = 'number');

CREATE TABLE sensors (
    seq      INTEGER PRIMARY KEY,
    ts_ns    INTEGER NOT NULL,
    readings TEXT NOT NULL               -- JSON object
) STRICT;

CREATE TABLE breakers (
    breaker  TEXT PRIMARY KEY,
    state    INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    ts_ns    INTEGER NOT NULL,
    seq      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE imports (
    start_seq INTEGER PRIMARY KEY,       -- seq of its import.start command
    file      TEXT NOT NULL,
    sha256    TEXT NOT NULL,
    format    TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER,                   -- NULL while it runs, or where it was cut off
    events    INTEGER,
    finished  INTEGER NOT NULL
) STRICT;
CREATE INDEX imports_of_content ON imports (sha256);
