-- A registry of version 1, as Tenantry 0.1 made it, with a few tenants.
CREATE TABLE meta (id INTEGER NOT NULL CHECK (id = 1), schema_version INTEGER NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (id));
CREATE TABLE tenants (uid TEXT NOT NULL, name TEXT NOT NULL, application TEXT NOT NULL, status TEXT NOT NULL, revision INTEGER NOT NULL,
  moved INTEGER NOT NULL, title TEXT NOT NULL, reason TEXT NOT NULL, was TEXT DEFAULT '' NOT NULL, PRIMARY KEY (uid)) WITHOUT ROWID;
CREATE INDEX tenants_removed ON tenants (name, revision) WHERE status = 'removed';
CREATE INDEX tenants_revision ON tenants (revision);
CREATE UNIQUE INDEX tenants_name ON tenants (name) WHERE status <> 'removed';
CREATE TABLE retired (name TEXT NOT NULL, uid TEXT NOT NULL, until TEXT NOT NULL, PRIMARY KEY (name, uid)) WITHOUT ROWID;
CREATE INDEX ix_retired_until ON retired (until);
CREATE INDEX ix_retired_uid ON retired (uid);
CREATE TABLE tombstones (uid TEXT NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (uid)) WITHOUT ROWID;
CREATE INDEX ix_tombstones_revision ON tombstones (revision);
CREATE TABLE journal (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, revision INTEGER, at TEXT NOT NULL, who TEXT NOT NULL, verb TEXT NOT NULL,
  uid TEXT NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX journal_uid ON journal (uid, id);
CREATE TABLE addresses ("key" TEXT NOT NULL, uid TEXT NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY ("key"),
  FOREIGN KEY(uid) REFERENCES tenants (uid) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX ix_addresses_uid ON addresses (uid);
INSERT INTO meta VALUES (1, 1, 9);
INSERT INTO tenants VALUES ('aaaaaaaaaaaa', 'acme', 'gazette', 'active', 2, 1, 'Acme', '', '');
INSERT INTO tenants VALUES ('bbbbbbbbbbbb', 'globex', 'gazette', 'suspended', 5, 3, '', 'unpaid', '');
INSERT INTO tenants VALUES ('cccccccccccc', 'initech', 'gazette', 'removed', 9, 9, '', '', 'active');
INSERT INTO addresses VALUES ('subdomain:acme', 'aaaaaaaaaaaa', 1), ('domain:acme.org', 'aaaaaaaaaaaa', 1);
INSERT INTO addresses VALUES ('subdomain:globex', 'bbbbbbbbbbbb', 3), ('domain:a.org', 'bbbbbbbbbbbb', 3), ('domain:b.org', 'bbbbbbbbbbbb', 3);
INSERT INTO retired VALUES ('initech', 'cccccccccccc', '2999-01-01T00:00:00Z');
INSERT INTO journal VALUES (1, 2, '2026-01-01T00:00:00Z', 'ada', 'add', 'aaaaaaaaaaaa', 'acme', '{"title": "Acme"}');
