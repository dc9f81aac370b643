//! Edit distance between two words, and spelling suggestions made from it.
//!
//! The Levenshtein distance is the smallest number of single-character insertions, deletions and
//! substitutions that turn one string into the other: `kitten` becomes `sitting` in three steps.
//!
//! The textbook solution fills a table with one row for each character of the first word and one
//! column for each character of the second. As every row depends only on the one above, we keep just
//! a single row. The time is O(n * m), the memory O(min(n, m)).
//!
//! Build with `rustc -O levenshtein.rs`, and run the tests with `rustc --test levenshtein.rs`.

use std::env;

/// Number of edits between two strings, counted in characters and not in bytes.
pub fn distance(a: &str, b: &str) -> usize {
    let (mut long, mut short): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if long.len() < short.len() {
        std::mem::swap(&mut long, &mut short);
    }
    // row[j] is the distance between the part of `long` read so far and the first j of `short`.
    let mut row: Vec<usize> = (0..=short.len()).collect();
    for (i, &x) in long.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in short.iter().enumerate() {
            let substitution = diagonal + usize::from(x != y);
            let insertion = row[j] + 1;
            let deletion = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(insertion).min(deletion);
        }
    }
    row[short.len()]
}

/// A score from 0.0 (nothing in common) to 1.0 (equal) that allows for the length of the words.
pub fn similarity(a: &str, b: &str) -> f64 {
    let longest = a.chars().count().max(b.chars().count());
    if longest == 0 {
        return 1.0;
    }
    1.0 - distance(a, b) as f64 / longest as f64
}

/// "Did you mean ...?" Return the known words within `limit` edits, closest first.
///
/// Words whose length differs by more than the limit are skipped without computing anything, since
/// each missing character costs at least one edit.
pub fn suggest<'a>(typed: &str, known: &[&'a str], limit: usize) -> Vec<&'a str> {
    let length = typed.chars().count();
    let mut found: Vec<(usize, &str)> = known
        .iter()
        .filter(|word| word.chars().count().abs_diff(length) <= limit)
        .map(|word| (distance(typed, word), *word))
        .filter(|(edits, _)| *edits <= limit)
        .collect();
    found.sort();
    found.into_iter().map(|(_, word)| word).collect()
}

fn main() {
    let commands = ["park", "shutter", "status", "start", "stop", "slew"];
    match env::args().nth(1) {
        Some(typed) => {
            let hits = suggest(&typed, &commands, 2);
            println!("{typed}: did you mean {hits:?}?");
            for word in hits {
                println!("  {word}: similarity {:.2}", similarity(&typed, word));
            }
        }
        None => eprintln!("usage: levenshtein <word>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_examples() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("größe", "grosse"), 3);
    }

    #[test]
    fn closest_command_comes_first() {
        assert_eq!(
            suggest("stat", &["stop", "start", "park"], 2),
            ["start", "stop"]
        );
    }
}
