//! Passages of a page that are written from the published numbers, between markers that Markdown does not show:
//!
//! ```text
//! <!-- = RUN | ROW | COLUMN -->98.56 ± 0.05<!-- / -->             mean and deviation over the seeds
//! <!-- = RUN | ROW | COLUMN | mean 1 -->98.6<!-- / -->            the mean alone, with so many digits or the column's
//! <!-- = RUN | ROW minus ROW | COLUMN -->0.37 (0.25 to 0.49)<!-- / -->  the paired difference and its interval of 95 %
//! <!-- = RUN | minutes -->46<!-- / -->                            of training, for all seeds and rows
//! <!-- table RUN | COLUMN, COLUMN | ROW, ROW -->                  a table, of all rows where none are named
//! <!-- / -->
//! <!-- source: WORDS -->1.5<!-- / -->                             a number that is from elsewhere, and from where
//! ```
//!
//! A row is named by its model, in tables also by `*` for all, and, where several rows have that, units and readout behind slashes.
//! A column is a key of the rows, or `test`, `validation` or `train`.

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::runs::{Runs, row, rows, selected, values};
use super::statistics::{mean, paired_interval};
use super::table::{column, table};

const BEGIN: &str = "<!-- ";
const END: &str = " -->";
const CLOSE: &str = "<!-- / -->";

/// A part of a page.
enum Part<'p> {
    /// What somebody wrote.
    Text(&'p str),
    /// What stands between markers: what the first one says, and the text.
    Passage { marker: &'p str, text: &'p str },
}

/// The page with all its passages written anew.
///
/// # Errors
/// Names the line of the first marker that cannot be followed.
pub(super) fn filled(page: &str, runs: &Runs) -> Result<String> {
    let mut filled = String::new();
    for part in parts(page)? {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Passage { marker, text } => {
                let place = || format!("line {}: {BEGIN}{marker}{END}", 1 + filled.matches('\n').count());
                let prefix = last_line(&filled).to_owned();
                let begins_a_line = prefix.trim().is_empty() && !marker.starts_with("table ");
                ensure!(
                    !begins_a_line || text.starts_with('\n'),
                    "{}: it begins a line, which would end the paragraph for Markdown",
                    place()
                );
                let text = written(marker, text, &prefix, runs).with_context(place)?;
                filled.extend([BEGIN, marker, END, &text, CLOSE]);
            }
        }
    }
    Ok(filled)
}

/// The first number with a point in it that stands in no passage and in no code, with its line.
pub(super) fn unsourced(page: &str) -> Result<Option<String>> {
    let mut line = 1;
    for part in parts(page)? {
        let (Part::Text(text) | Part::Passage { text, .. }) = part;
        if let Part::Text(text) = part
            && let Some((at, number)) = decimal(text)
        {
            return Ok(Some(format!("line {}: {number}", line + text[..at].matches('\n').count())));
        }
        line += text.matches('\n').count();
    }
    Ok(None)
}

fn parts(page: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = page;
    while let Some(begin) = next_marker(rest) {
        let (before, passage) = rest.split_at(begin);
        let line = || 1 + page[..page.len() - passage.len()].matches('\n').count();
        let (marker, after) = passage[BEGIN.len()..].split_once(END).context("a marker has no end")?;
        let (text, after) =
            after.split_once(CLOSE).ok_or_else(|| anyhow!("line {}: no {CLOSE} follows", line()))?;
        ensure!(next_marker(text).is_none(), "line {}: another marker comes before {CLOSE}", line());
        parts.extend([Part::Text(before), Part::Passage { marker, text }]);
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

fn next_marker(text: &str) -> Option<usize> {
    ["= ", "table ", "source: "].iter().filter_map(|kind| text.find(&format!("{BEGIN}{kind}"))).min()
}

fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or_default()
}

/// What belongs between the `marker` and its end, which holds `text` now; the lines of a table begin with `prefix`.
fn written(marker: &str, text: &str, prefix: &str, runs: &Runs) -> Result<String> {
    if let Some(words) = marker.strip_prefix("source: ") {
        ensure!(!words.trim().is_empty(), "it names no source");
        return Ok(text.to_owned());
    }
    let (kind, rest) = marker.split_once(' ').unwrap_or((marker, ""));
    let words: Vec<&str> = rest.split('|').map(str::trim).collect();
    let run = runs.get(words[0])?;
    match (kind, &words[1..]) {
        ("=", ["minutes"]) => {
            let seconds = run["training_seconds"].as_f64().context("no `training_seconds`")?;
            Ok(format!("{:.0}", seconds / 60.0))
        }
        ("=", [selector, name]) => {
            let column = column(run, name)?;
            let values = |selector: &str| values(row(run, selector)?, &column.key);
            let Some((one, other)) = selector.split_once(" minus ") else {
                return Ok(column.of(&values(selector)?));
            };
            let interval = paired_interval(&values(one)?, &values(other)?);
            let (mean, [least, most]) = interval.context("the rows have no 2 to 20 seeds in common")?;
            let [mean, least, most] = [mean, least, most].map(|value| column.number(value, None));
            Ok(format!("{mean} ({least} to {most})"))
        }
        ("=", [selector, name, how]) => {
            let digits =
                how.strip_prefix("mean").context("allowed behind the column: mean, or mean N")?.trim();
            let digits = if digits.is_empty() { None } else { Some(digits.parse()?) };
            let column = column(run, name)?;
            Ok(column.number(mean(&values(row(run, selector)?, &column.key)?), digits))
        }
        ("table", [names, selectors @ ..]) => {
            let columns = names.split(',').map(|name| column(run, name.trim()));
            let selectors = selectors.first().map(|text| text.split(',').map(str::trim));
            let rows = match selectors {
                Some(selectors) => {
                    selectors.map(|selector| selected(run, selector)).collect::<Result<Vec<_>>>()?.concat()
                }
                None => rows(run)?.iter().collect::<Vec<_>>(),
            };
            let lines = table(&columns.collect::<Result<Vec<_>>>()?, &rows);
            Ok(format!(
                "\n{}{prefix}",
                lines.lines().map(|line| format!("{prefix}{line}\n")).collect::<String>()
            ))
        }
        _ => {
            bail!("allowed: = RUN | ROW | COLUMN, = RUN | minutes, table RUN | COLUMNS | ROWS, source: WORDS")
        }
    }
}

/// The first number with digits on both sides of a point, and where it is, in what is no code. One that is glued to a word, as
/// that of a version, is none.
fn decimal(text: &str) -> Option<(usize, &str)> {
    let mut code = None;
    let mut at = 0;
    while let Some(sign) = text[at..].chars().next() {
        let ticks = text[at..].len() - text[at..].trim_start_matches('`').len();
        match code {
            _ if ticks > 0 => {
                code = if code == Some(ticks) { None } else { code.or(Some(ticks)) };
                at += ticks;
                continue;
            }
            None if sign.is_ascii_digit() => {
                let end = text[at..].find(|sign: char| !(sign.is_ascii_digit() || sign == '.'));
                let number = text[at..].get(..end.unwrap_or(text.len() - at)).unwrap_or_default();
                let is_glued =
                    text[..at].ends_with(|sign: char| sign.is_alphabetic() || "-_/".contains(sign));
                if number.trim_end_matches('.').contains('.') && !is_glued {
                    return Some((at, number.trim_end_matches('.')));
                }
                at += number.len();
                continue;
            }
            _ => at += sign.len_utf8(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Runs {
        let folder = tempfile::tempdir().unwrap();
        let row = |model: &str, test: [f64; 3]| {
            let mean = mean(&test);
            serde_json::json!({"model": model, "units": 20, "test_accuracy": mean, "by_seed": {"test_accuracy": test}})
        };
        let rows = [row("oja", [0.9, 0.92, 0.94]), row("random", [0.85, 0.87, 0.88])];
        let run = serde_json::json!({"training_seconds": 150.0, "rows": rows});
        std::fs::write(folder.path().join("first.json"), run.to_string()).unwrap();
        Runs::read(folder.path()).unwrap()
    }

    #[test]
    fn passages_are_written_from_the_numbers_and_nothing_else_changes() {
        let page = "Oja's rule has <!-- = first | oja | test -->?<!-- / --> %, in <!-- = first | minutes -->9<!-- / --> minutes, \
                    about <!-- = first | oja | test | mean 0 -->1<!-- / -->; \
                    better by <!-- = first | oja minus random | test --><!-- / -->.\n";
        let expected = "Oja's rule has <!-- = first | oja | test -->92.00 ± 2.00<!-- / --> %, in \
                        <!-- = first | minutes -->2<!-- / --> minutes, about \
                        <!-- = first | oja | test | mean 0 -->92<!-- / -->; better by \
                        <!-- = first | oja minus random | test -->5.33 (3.90 to 6.77)<!-- / -->.\n";
        assert_eq!(filled(page, &runs()).unwrap(), expected);
        assert_eq!(filled(expected, &runs()).unwrap(), expected);
    }

    #[test]
    fn a_table_has_the_columns_and_rows_that_are_named_also_in_a_comment() {
        let page = "# <!-- table first | model, test | random -->\n# <!-- / -->\n";
        let expected = "# <!-- table first | model, test | random -->\n# | model | test % |\n# |---|---:|\n\
                        # | random | 86.67 ± 1.53 |\n# <!-- / -->\n";
        assert_eq!(filled(page, &runs()).unwrap(), expected);
        assert!(
            filled("<!-- table first | model --><!-- / -->", &runs())
                .unwrap()
                .contains("| oja |\n| random |")
        );
    }

    #[test]
    fn a_marker_that_cannot_be_followed_is_named_with_its_line() {
        let refused = |page: &str| format!("{:#}", filled(page, &runs()).unwrap_err());
        assert_eq!(refused("\n<!-- = first | oja | test -->"), "line 2: no <!-- / --> follows");
        assert!(
            refused("\n\na <!-- = second | oja | test --><!-- / -->").starts_with("line 3: <!-- = second")
        );
        assert!(refused("a <!-- = first | ojas | test --><!-- / -->").ends_with("there is no row `ojas`"));
        assert!(
            refused("a <!-- = first | oja | tests --><!-- / -->").ends_with("there is no column `tests`")
        );
        assert!(refused("a <!-- = first --><!-- / -->").contains("allowed: = RUN"));
        assert!(refused("a\n<!-- = first | oja | test -->1<!-- / -->").contains("it begins a line"));
    }

    #[test]
    fn a_number_without_a_source_is_found_unless_it_is_code() {
        let found = |page: &str| unsourced(page).unwrap();
        assert_eq!(
            found("Some\n`0.04` and <!-- source: the paper -->98.5<!-- / -->\n```\n1.5\n```\n3 of 4.\n"),
            None
        );
        assert_eq!(found("a\nb <!-- = x -->\n98.5<!-- / --> and 0.4 points").as_deref(), Some("line 3: 0.4"));
    }
}
