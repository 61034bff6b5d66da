-- Who may do what in schema `taped`: run once by its owner, after `taped sync init`, where the owner may
-- create roles; else by a superuser. Both roles are groups without a login: give each daemon and each person
-- a user of their own, such as
--
--   CREATE ROLE pi_kitchen LOGIN PASSWORD '...' IN ROLE taped_ship;
--   CREATE ROLE grafana    LOGIN PASSWORD '...' IN ROLE taped_read;

DO $$
BEGIN
    CREATE ROLE taped_ship NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
    CREATE ROLE taped_read NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

-- taped_ship: what a daemon needs. It adds rows and moves its watermark; it can change or remove no event, so
-- that whoever takes the Pi cannot take the past away. An instrument's row follows its last definition.
GRANT USAGE ON SCHEMA taped TO taped_ship;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA taped TO taped_ship;
GRANT UPDATE ON taped.watermarks, taped.instruments TO taped_ship;
REVOKE INSERT ON taped.schema_versions FROM taped_ship;

-- taped_read: what dashboards and people need, bars of later versions included.
GRANT USAGE ON SCHEMA taped TO taped_read;
GRANT SELECT ON ALL TABLES IN SCHEMA taped TO taped_read;
ALTER DEFAULT PRIVILEGES IN SCHEMA taped GRANT SELECT ON TABLES TO taped_read;
