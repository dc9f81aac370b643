'use strict';

/**
 * A parser for comma-separated values that follows RFC 4180 and the habits of real files.
 *
 * - A field may be enclosed in double quotes. It may then contain the delimiter and line breaks.
 * - Inside a quoted field two quotes in a row stand for one.
 * - Lines may end in LF or CRLF, and the last line may lack an ending.
 * - A byte-order mark at the beginning is skipped.
 *
 * Splitting on commas is not enough, which is why this is a small state machine that looks at one
 * character at a time.
 */

/**
 * Parse a whole text into an array of rows, each an array of strings.
 *
 * @param {string} text
 * @param {{delimiter?: string}} [options]
 * @returns {string[][]}
 */
function parseCsv(text, options = {}) {
  const delimiter = options.delimiter ?? ',';
  const rows = [];
  let row = [];
  let field = '';
  let quoted = false; // are we inside a quoted field?
  let line = 1;
  let i = text.charCodeAt(0) === 0xfeff ? 1 : 0;

  const endField = () => {
    row.push(field);
    field = '';
  };
  const endRow = () => {
    endField();
    rows.push(row);
    row = [];
  };

  for (; i < text.length; i += 1) {
    const c = text[i];
    if (c === '\n') line += 1;

    if (quoted) {
      if (c !== '"') {
        field += c;
      } else if (text[i + 1] === '"') {
        field += '"'; // an escaped quote
        i += 1;
      } else {
        quoted = false;
      }
    } else if (c === '"' && field === '') {
      quoted = true;
    } else if (c === delimiter) {
      endField();
    } else if (c === '\n') {
      endRow();
    } else if (c === '\r' && text[i + 1] === '\n') {
      // the LF that follows ends the row
    } else {
      field += c;
    }
  }

  if (quoted) {
    throw new SyntaxError(`unterminated quoted field, end of input at line ${line}`);
  }
  if (field !== '' || row.length > 0) endRow();
  return rows;
}

/**
 * Parse a text whose first row holds the column names into an array of objects.
 * A row with too few or too many fields is an error that names the row.
 */
function parseRecords(text, options) {
  const [header, ...rows] = parseCsv(text, options);
  if (header === undefined) return [];
  return rows.map((row, index) => {
    if (row.length !== header.length) {
      throw new RangeError(
        `row ${index + 2}: expected ${header.length} fields, found ${row.length}`,
      );
    }
    return Object.fromEntries(header.map((name, column) => [name, row[column]]));
  });
}

/** Guess the delimiter from the first line: the candidate that occurs most often outside quotes. */
function guessDelimiter(text) {
  const firstLine = text.split(/\r?\n/, 1)[0].replace(/"[^"]*"/g, '');
  const count = (d) => firstLine.split(d).length - 1;
  return [',', ';', '\t', '|'].sort((a, b) => count(b) - count(a))[0];
}

module.exports = { parseCsv, parseRecords, guessDelimiter };

if (require.main === module) {
  const assert = require('node:assert');
  assert.deepStrictEqual(parseCsv('a,b\r\n"1,5","say ""hi"""\r\n'), [
    ['a', 'b'],
    ['1,5', 'say "hi"'],
  ]);
  assert.deepStrictEqual(parseRecords('star;mag\nVega;0.03\n', { delimiter: ';' }), [
    { star: 'Vega', mag: '0.03' },
  ]);
  assert.strictEqual(guessDelimiter('"x,y,z";b;c\n'), ';');
  assert.throws(() => parseCsv('"open'), /unterminated/);
  console.log('csv parser: ok');
}
