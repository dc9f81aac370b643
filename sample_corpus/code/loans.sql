-- The lending library of the observatory: books, members and loans.
--
-- Written for SQLite 3.35 or later. Try it with:  sqlite3 :memory: < loans.sql
-- Dates are kept as text in the form YYYY-MM-DD, which sorts correctly.

PRAGMA foreign_keys = ON;

CREATE TABLE member (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL,
    joined_on TEXT NOT NULL
);

CREATE TABLE book (
    id     INTEGER PRIMARY KEY,
    title  TEXT NOT NULL,
    author TEXT NOT NULL,
    shelf  TEXT NOT NULL
);

CREATE TABLE loan (
    id          INTEGER PRIMARY KEY,
    book_id     INTEGER NOT NULL REFERENCES book (id),
    member_id   INTEGER NOT NULL REFERENCES member (id),
    lent_on     TEXT NOT NULL,
    due_on      TEXT NOT NULL,
    returned_on TEXT,
    CHECK (due_on > lent_on),
    CHECK (returned_on IS NULL OR returned_on >= lent_on)
);

-- A book can be out only once. The partial unique index looks at open loans alone, so the history
-- of a book may be as long as it likes, and two people lending it at the same second cannot both win.
CREATE UNIQUE INDEX one_open_loan_per_book ON loan (book_id) WHERE returned_on IS NULL;

CREATE INDEX loan_by_member ON loan (member_id, lent_on);

INSERT INTO member VALUES
    (1, 'Fenja',  '2022-09-01'),
    (2, 'Oskar',  '2019-04-15'),
    (3, 'Signe',  '2023-01-10');

INSERT INTO book VALUES
    (1, 'Grinding Your Own Mirror',      'A. Pellworm',  'B2'),
    (2, 'The Moth and the Floodlight',   'J. Ostrander', 'C1'),
    (3, 'Clouds for Impatient People',   'R. Vey',       'A4'),
    (4, 'A Field Guide to Lichens',      'T. Mossbury',  'D3');

INSERT INTO loan (book_id, member_id, lent_on, due_on, returned_on) VALUES
    (1, 1, '2024-01-08', '2024-02-05', '2024-01-30'),
    (1, 2, '2024-02-12', '2024-03-11', NULL),
    (2, 1, '2024-03-01', '2024-03-29', '2024-04-09'),
    (3, 3, '2024-05-20', '2024-06-17', NULL),
    (2, 2, '2024-05-02', '2024-05-30', '2024-05-28');

-- Who has kept a book beyond its due date, and for how many days? The day of the report is fixed here
-- so that the output stays the same; use date('now') in real life.
SELECT member.name,
       book.title,
       CAST(julianday('2024-06-01') - julianday(loan.due_on) AS INTEGER) AS days_late
FROM loan
JOIN member ON member.id = loan.member_id
JOIN book ON book.id = loan.book_id
WHERE loan.returned_on IS NULL
  AND loan.due_on < '2024-06-01'
ORDER BY days_late DESC;

-- Books that nobody has ever borrowed: the left join leaves NULL where there is no loan.
SELECT book.title, book.shelf
FROM book
LEFT JOIN loan ON loan.book_id = book.id
WHERE loan.id IS NULL;

-- For each member the most recent loan, found by numbering the loans of each person from the newest.
WITH numbered AS (
    SELECT loan.*,
           ROW_NUMBER() OVER (PARTITION BY member_id ORDER BY lent_on DESC) AS position
    FROM loan
)
SELECT member.name, book.title, numbered.lent_on
FROM numbered
JOIN member ON member.id = numbered.member_id
JOIN book ON book.id = numbered.book_id
WHERE numbered.position = 1
ORDER BY member.name;
