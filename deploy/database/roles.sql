-- The database's roles, made or brought up to date; run as its superuser, as often as one likes:
--   cxr_owner     owns the tables; nobody logs in as it
--   cxr_migrator  acts as the owner: migrate, restore, `audit keep`
--   cxr_app       the gateway: no right to change or remove the audit log, to make or drop a table
-- What cxr_app may do to each table, `cxr-gateway migrate` grants.
\set ON_ERROR_STOP on
\getenv migrator_password CXR_DATABASE_MIGRATOR_PASSWORD
\getenv app_password CXR_DATABASE_APP_PASSWORD
SET client_min_messages = warning;
BEGIN;
SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['cxr_owner', 'cxr_migrator', 'cxr_app']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE cxr_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE cxr_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'migrator_password';
ALTER ROLE cxr_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app_password';
GRANT cxr_owner TO cxr_migrator;
ALTER ROLE cxr_migrator SET role = 'cxr_owner';
-- A restore looks whether a gateway is connected.
GRANT pg_read_all_stats TO cxr_owner;

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO cxr_migrator, cxr_app;
GRANT CREATE, TEMPORARY ON DATABASE :"DBNAME" TO cxr_owner;
ALTER SCHEMA public OWNER TO cxr_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO cxr_app;

-- What an older installation's one role had made. A sequence goes with its table, so it comes last.
SELECT format('ALTER TABLE public.%I OWNER TO cxr_owner', relname) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relowner <> 'cxr_owner'::regrole \gexec
SELECT format('ALTER FUNCTION %s OWNER TO cxr_owner', oid::regprocedure) FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace AND proowner <> 'cxr_owner'::regrole \gexec
SELECT format('ALTER SEQUENCE public.%I OWNER TO cxr_owner', relname) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' AND relowner <> 'cxr_owner'::regrole \gexec
COMMIT;
