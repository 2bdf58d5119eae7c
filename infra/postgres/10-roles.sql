-- Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
-- Runs once, when the data folder is empty. The application gets a role of its own that owns its database and nothing else.
\set ON_ERROR_STOP on
\set password `cat /run/secrets/postgres_password`
CREATE ROLE pretamane LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 45 PASSWORD :'password';
ALTER ROLE pretamane SET statement_timeout = '30s';
ALTER ROLE pretamane SET idle_in_transaction_session_timeout = '60s';
CREATE DATABASE pretamane OWNER pretamane;
REVOKE ALL ON DATABASE pretamane FROM PUBLIC;
\set password `cat /run/secrets/postgres_monitoring_password`
CREATE ROLE monitoring LOGIN NOSUPERUSER CONNECTION LIMIT 5 PASSWORD :'password';
GRANT pg_monitor TO monitoring;
GRANT CONNECT ON DATABASE pretamane TO monitoring;
