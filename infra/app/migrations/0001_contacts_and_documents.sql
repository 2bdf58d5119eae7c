-- Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
-- Contacts, documents, and the outbox that carries changes to the search index and the object store.
CREATE TABLE contacts (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email text NOT NULL CHECK (length(email) <= 254),
    company text CHECK (length(company) BETWEEN 1 AND 200),
    phone text CHECK (length(phone) <= 40),
    notes text NOT NULL DEFAULT '' CHECK (length(notes) <= 4000),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX contacts_newest_first ON contacts (created_at DESC, id DESC);

-- A document is pending until its content is in the object store; callers see it from then on.
CREATE TABLE documents (
    id uuid PRIMARY KEY,
    file_name text NOT NULL CHECK (length(file_name) BETWEEN 1 AND 200),
    content_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    description text NOT NULL DEFAULT '' CHECK (length(description) <= 4000),
    contact_id uuid REFERENCES contacts (id) ON DELETE SET NULL,
    stored boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    indexed_at timestamptz
);

CREATE INDEX documents_newest_first ON documents (created_at DESC, id DESC) WHERE stored;
CREATE INDEX documents_of_contact ON documents (contact_id, created_at DESC, id DESC) WHERE stored;
CREATE INDEX documents_pending ON documents (created_at) WHERE NOT stored;

-- One row for each change of a document. What is to be done follows from the document as it is then, not from the row.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id uuid NOT NULL,
    request_id text NOT NULL DEFAULT '',
    traceparent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text
);

CREATE INDEX outbox_due ON outbox (due_at, id);
CREATE INDEX outbox_of_document ON outbox (document_id, id);
