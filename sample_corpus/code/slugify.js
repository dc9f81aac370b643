'use strict';

/**
 * Turn a title into the part of a URL that people can read, type and send by post.
 *
 *   slugify('Crème brûlée & other sins')  ->  'creme-brulee-and-other-sins'
 *
 * Letters with accents are reduced to plain ones by Unicode decomposition. A few letters do not
 * decompose (ß, ø, æ, ł ...) and are replaced from a table. What remains and is neither a letter nor
 * a digit becomes a hyphen. Titles in scripts without a Latin form keep their letters, because a
 * Chinese or Arabic address is better than an empty one.
 */

const REPLACEMENTS = new Map([
  ['ß', 'ss'],
  ['æ', 'ae'],
  ['œ', 'oe'],
  ['ø', 'o'],
  ['ł', 'l'],
  ['đ', 'd'],
  ['þ', 'th'],
  ['&', ' and '],
  ['@', ' at '],
  ['%', ' percent '],
]);

// German readers expect ä to become ae, everybody else expects a.
const GERMAN = new Map([
  ['ä', 'ae'],
  ['ö', 'oe'],
  ['ü', 'ue'],
]);

/**
 * @param {string} title
 * @param {{maxLength?: number, language?: string}} [options]
 * @returns {string}
 */
function slugify(title, { maxLength = 60, language = 'en' } = {}) {
  const table = language === 'de' ? new Map([...REPLACEMENTS, ...GERMAN]) : REPLACEMENTS;
  const replaced = Array.from(title.normalize('NFC').toLowerCase(), (c) => table.get(c) ?? c).join('');

  const slug = replaced
    .normalize('NFD')
    .replace(/(\p{Script=Latin})\p{Mn}+/gu, '$1') // drop accents from Latin letters only
    .normalize('NFC')
    .replace(/['’]/g, '') // don't -> dont, not don-t
    .replace(/[^\p{L}\p{N}\p{M}]+/gu, '-')
    .replace(/^-+|-+$/g, '');

  return shorten(slug, maxLength);
}

/** Cut at a hyphen, so that no word is chopped in half. A single endless word is cut anyway. */
function shorten(slug, maxLength) {
  if (slug.length <= maxLength) return slug;
  const cut = slug.lastIndexOf('-', maxLength);
  return slug.slice(0, cut > 0 ? cut : maxLength);
}

/** Append -2, -3 ... until the slug is not among those already taken. */
function uniqueSlug(title, taken, options) {
  const base = slugify(title, options) || 'untitled';
  let candidate = base;
  for (let n = 2; taken.has(candidate); n += 1) candidate = `${base}-${n}`;
  return candidate;
}

module.exports = { slugify, uniqueSlug };

if (require.main === module) {
  const assert = require('node:assert');
  assert.strictEqual(slugify('Crème brûlée & other sins'), 'creme-brulee-and-other-sins');
  assert.strictEqual(slugify("Don't panic!"), 'dont-panic');
  assert.strictEqual(slugify('Große Bären', { language: 'de' }), 'grosse-baeren');
  assert.strictEqual(slugify('温泉 マナー'), '温泉-マナー');
  assert.strictEqual(slugify('one two three', { maxLength: 9 }), 'one-two');
  assert.strictEqual(uniqueSlug('News', new Set(['news', 'news-2'])), 'news-3');
  console.log('slugify: ok');
}
